"""A broker that does not answer keeps nobody waiting but its own mapping.

How late the loop is meanwhile is nothing to test on a machine that others use too: `make bench WHAT=lag` prints it.
Here a call is held for as long as the other mapping needs, so that a loop that stood still would never end the test.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import pytest

from penstock.api import FunctionFailed, Invocation, InvocationResult, Message, Returned
from penstock.core.settings import QueueSettings
from shell.node_of_twins import node_of_twins
from shell.twins import QUICK, QueueBroker, QueueTwin, queue_config, run, stream_config, until
from shell.twins import StreamBroker as Stream

HELD = "held.From"
OTHERS = 50


@dataclass
class Gated(QueueBroker):
    """A broker one of whose calls is not answered until `gate` is set."""

    holds: str = ""
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    is_held: asyncio.Event = field(default_factory=asyncio.Event)

    async def pass_gate(self, call: str) -> None:
        if call == self.holds:
            self.is_held.set()
            await self.gate.wait()


class GatedTwin(QueueTwin):
    """A source on it."""

    broker: Gated

    async def open(self) -> None:
        await self.broker.pass_gate("open")
        await super().open()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        await self.broker.pass_gate("receive")
        return await super().receive(messages_max=messages_max, wait_ms=wait_ms)

    async def ack(self, receipts: Sequence[str]) -> None:
        await self.broker.pass_gate("ack")
        await super().ack(receipts)

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        await self.broker.pass_gate("nack")
        await super().nack(receipts, delay_ms=delay_ms, counted=counted)

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:
        await self.broker.pass_gate("extend")
        await super().extend(receipts, lease_ms=lease_ms)


async def handle(invocation: Invocation) -> InvocationResult:
    if b"broken" in invocation.event:
        return FunctionFailed("KeyError", "'id'", b"{}", 1)
    if b"long" in invocation.event:
        await asyncio.sleep(0.5)
    return Returned(b"null", 1)


@pytest.mark.parametrize(
    ("call", "body"), [("open", b"one"), ("receive", b"one"), ("ack", b"one"), ("nack", b"broken"), ("extend", b"long")]
)
def test_a_call_that_is_not_answered_keeps_no_other_mapping_waiting(call, body, tmp_path):
    async def scenario() -> None:
        held, queue, stream = Gated(holds=call), QueueBroker(), Stream()
        held.put(body)
        # A lease so short that it is extended while the function works.
        settings = QueueSettings(batch_size=1, visibility_timeout_ms=1_000, backoff=QUICK)
        config = queue_config(held, name=HELD, settings=settings)
        kind = replace(config.source.type, open_queue=lambda *_: GatedTwin(held))
        config = replace(config, source=replace(config.source, type=kind))
        others = (queue_config(queue, name="queue.From"), stream_config(stream, name="stream.From"))
        async with node_of_twins(tmp_path, config, *others, handler=handle) as running:
            await asyncio.wait_for(held.is_held.wait(), 10)
            for number in range(OTHERS):
                # One after another, each once the one before is done.
                queue.put(b"message")
                stream.put(b"record")
                await until(
                    lambda number=number: len(queue.acked) > number and stream.committed() == number, seconds=10
                )
            assert not held.gate.is_set()
            assert running.mapping(HELD)["name"] == HELD
            held.gate.set()
            wanted = held.nacked if call == "nack" else held.acked
            await until(lambda: wanted, seconds=10)

    run(scenario())
