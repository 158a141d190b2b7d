"""Queues whose server may be replaced: how they are named, and what their users do meanwhile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from redis import Redis
from redis_queues import KINDS, a_queue, of_kind, settings_of

from contract import queue_contract
from penstock.api import Outgoing, ReceiptExpired, SourceContext, SourceError

# Two receivers at once: of a FIFO queue one receives, and the other stands by.
_OF_TWO_RECEIVERS = {
    queue_contract.a_held_message_comes_to_nobody_else,
    queue_contract.a_lapsed_lease_gives_the_message_to_another,
    queue_contract.an_extended_lease_does_not_lapse,
}


async def each_kind_keeps(check: Any, make: Callable[..., SourceContext]) -> None:
    """Check queues of each kind at the same time."""
    kinds = [kind for kind in KINDS if kind != "fifo" or check not in _OF_TWO_RECEIVERS]
    async with asyncio.TaskGroup() as tasks:
        for kind in kinds:
            tasks.create_task(check(of_kind(kind, make(**settings_of(kind)))), name=kind)


def source_of(connection: Mapping[str, Any], folder: Path, **settings: Any) -> SourceContext:
    """A source with a key of its own, through these settings of a connection."""
    key = settings.pop("Key", f"test-{uuid.uuid4().hex[:12]}")
    settings = {**connection, "Key": key, **settings}
    return SourceContext(project="tests", name="jobs", settings=settings, data_dir=folder)


def run(work: Awaitable[None], *, within_s: float = 60) -> None:
    """Carry out a test's work, which ends in time or fails."""

    async def within() -> None:
        async with asyncio.timeout(within_s):
            await work

    asyncio.run(within())


async def persistently(call: Callable[[], Awaitable[Any]], raised: list[str] | None = None) -> Any:
    """Call until it works, as the engine does; what it raises until then is a SourceError, and is noted."""
    async with asyncio.timeout(45):
        while True:
            try:
                return await call()
            except ReceiptExpired:
                raise
            except SourceError as error:
                if raised is not None:
                    raised.append(str(error))
                await asyncio.sleep(0.05)


async def send(subject: Any, *bodies: bytes) -> None:
    """Send by a writer of its own."""

    async def once() -> None:
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=body) for body in bodies])

    await persistently(once)


async def receive_all(receiver: Any, wanted: set[bytes], raised: list[str] | None = None) -> list[bytes]:
    """Receive and settle until each of these bodies came; give all that came, in order."""
    bodies: list[bytes] = []
    async with asyncio.timeout(50):
        while not wanted <= set(bodies):
            messages = await persistently(lambda: receiver.receive(messages_max=10, wait_ms=2_000), raised)
            bodies += [message.body for message in messages]
            for message in messages:
                try:
                    await persistently(lambda given=message: receiver.ack([given.receipt]), raised)
                except ReceiptExpired:
                    continue  # acked before, and its answer was lost
    return bodies


def numbers(first: int, last: int) -> set[bytes]:
    """Bodies that are numbers."""
    return {str(number).encode() for number in range(first, last)}


def replicated(server: Any) -> None:
    """Return when the server's replica has all that was written there."""
    with Redis.from_url(server.url) as client:
        assert client.wait(1, 30_000) == 1


async def together(barrier: asyncio.Barrier, tasks: Sequence[asyncio.Task[Any]]) -> None:
    """Wait until all but one stand at a barrier; what fails meanwhile fails here."""
    async with asyncio.timeout(45):
        while barrier.n_waiting < barrier.parties - 1:
            for task in tasks:
                if task.done():
                    task.result()
            await asyncio.sleep(0.02)


def fails(kind: type[Exception], source: SourceContext, *, why: str) -> None:
    """Whoever wants to receive from a source is refused in one sentence, without its secrets."""

    async def receive() -> None:
        async with a_queue(source).receiver():
            pass

    with pytest.raises(kind, match=why) as raised:
        run(receive())
    assert "\n" not in str(raised.value)
    assert "secret" not in str(raised.value)
