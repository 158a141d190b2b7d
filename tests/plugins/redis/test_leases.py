"""What happens to messages whose owner dies, stands still, or gives them back."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from redis_queues import KINDS, abandon, of_kind, settings_of

from penstock.api import Outgoing, ReceiptExpired

pytestmark = pytest.mark.redis

_HERE = Path(__file__).parent
_LEASE_MS = 1_500


class _Node:
    """A process that holds the first message it gets until it is told to go on."""

    def __init__(self, kind, source):
        path = os.pathsep.join(str(folder) for folder in (_HERE, _HERE.parent.parent))
        settings = {name: value for name, value in source.settings.items() if name != "Url"}
        arguments = [kind, source.settings["Url"], json.dumps(settings), "child", str(_LEASE_MS)]
        self.process = subprocess.Popen(
            [sys.executable, str(_HERE / "node.py"), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": path},
        )

    def says(self):
        return json.loads(self.process.stdout.readline())

    def go_on(self):
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def __enter__(self):
        assert self.says() == "ready"
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
        with contextlib.suppress(OSError):
            self.process.stdin.close()


def _run(work):
    async def within():
        async with asyncio.timeout(40):
            await work

    asyncio.run(within())


async def _send(subject, *bodies):
    async with subject.writer() as writer:
        await writer.send([Outgoing(value=body) for body in bodies])


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_killed_node_held_comes_to_another_within_the_lease_and_two_seconds(queue_source, kind):
    source = queue_source(**settings_of(kind))
    subject = of_kind(kind, source)

    async def work():
        await _send(subject, b"held")
        async with subject.receiver("other", _LEASE_MS) as other:
            with _Node(kind, source) as node:
                # Of a FIFO queue the first to ask is the active one.
                assert node.says() == ["held", 1]
                node.process.kill()
                killed_s = time.monotonic()
                (message,) = await subject.receive(other, 1)
                assert time.monotonic() - killed_s <= _LEASE_MS / 1000 + 2
            assert (message.body, message.receive_count) == (b"held", 2)
            await other.ack([message.receipt])
            assert await subject.is_empty(other)

    _run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_node_that_wakes_too_late_can_not_settle(queue_source, kind):
    source = queue_source(**settings_of(kind))
    subject = of_kind(kind, source)

    async def work():
        await _send(subject, b"held")
        async with subject.receiver("other", _LEASE_MS) as other:
            with _Node(kind, source) as node:
                assert node.says() == ["held", 1]
                os.kill(node.process.pid, signal.SIGSTOP)
                (message,) = await subject.receive(other, 1)
                os.kill(node.process.pid, signal.SIGCONT)
                node.go_on()
                assert await asyncio.to_thread(node.says) == "expired"
                backlog = await other.backlog()
                assert (backlog.count, backlog.delayed) == (0, 1)
                await other.ack([message.receipt])
                assert await subject.is_empty(other)

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_a_stopped_node_is_handed_nothing_more(queue_source, kind):
    source = queue_source()
    subject = of_kind(kind, source)

    async def work():
        async with subject.receiver("other", _LEASE_MS) as other:
            with _Node(kind, source) as node:
                os.kill(node.process.pid, signal.SIGSTOP)
                await _send(subject, *(str(number).encode() for number in range(5)))
                messages = await subject.receive(other, 5)
                assert {message.receive_count for message in messages} == {1}
                await other.ack([message.receipt for message in messages])

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_a_message_is_its_owners_for_as_long_as_it_is_extended(queue_source, kind):
    subject = of_kind(kind, queue_source())

    async def work():
        async with subject.receiver("first", 1_000) as first, subject.receiver("other", 1_000) as other:
            await _send(subject, b"long")
            (message,) = await subject.receive(first, 1)
            waiting = asyncio.create_task(other.receive(messages_max=1, wait_ms=4_000))
            while not waiting.done():
                await first.extend([message.receipt], lease_ms=1_000)
                await asyncio.sleep(0.2)
            assert list(await waiting) == []
            await first.ack([message.receipt])
            assert await subject.is_empty(first)

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_what_was_never_run_is_given_to_others_at_once(queue_source, kind):
    subject = of_kind(kind, queue_source())

    async def work():
        async with subject.receiver("first") as first, subject.receiver("other") as other:
            await _send(subject, b"never run")
            (message,) = await subject.receive(first, 1)
            waiting = asyncio.create_task(other.receive(messages_max=1, wait_ms=30_000))
            await asyncio.sleep(0.1)
            assert not waiting.done()
            await first.nack([message.receipt], delay_ms=0, counted=False)
            (again,) = await asyncio.wait_for(waiting, 5)
            assert (again.body, again.receive_count) == (b"never run", 1)
            await other.ack([again.receipt])

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_a_delayed_return_outlives_its_owner_with_its_delay_and_its_count(queue_source, kind):
    subject = of_kind(kind, queue_source())

    async def work():
        await _send(subject, b"failing")
        async with subject.receiver("first") as first:
            (message,) = await subject.receive(first, 1)
            await first.nack([message.receipt], delay_ms=1_500, counted=True)
            returned_s = time.monotonic()
        async with subject.receiver("other", _LEASE_MS) as other:
            (again,) = await subject.receive(other, 1)
            assert time.monotonic() - returned_s >= 1.4
            assert again.receive_count == 2

    _run(work())


def test_a_node_that_leaves_in_order_leaves_no_trace(queue_source, server):
    source = queue_source()
    subject = of_kind("standard", source)

    async def work():
        await _send(subject, b"one", b"two")
        async with subject.receiver("first") as first:
            one, two = await subject.receive(first, 2)
            await first.ack([one.receipt])
            await first.nack([two.receipt], delay_ms=0, counted=False)
        names = [consumer["name"] for consumer in server.xinfo_consumers(source.settings["Key"], "tests")]
        assert names == [b"returned"]
        async with subject.receiver("next") as following:
            (again,) = await subject.receive(following, 1)
            assert (again.body, again.receive_count) == (b"two", 1)

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_the_runs_that_are_over_are_counted_through_deaths(queue_source, kind):
    subject = of_kind(kind, queue_source())

    async def work():
        await _send(subject, b"poison")
        async with subject.receiver("first", 1_000) as first:
            (message,) = await subject.receive(first, 1)
            for _ in range(2):
                await first.count([message.receipt], receive_count=2)
            await first.count([message.receipt], receive_count=3)
            abandon(first)
            async with subject.receiver("other", _LEASE_MS) as other:
                (again,) = await subject.receive(other, 1)
                # Two runs that are over, and the third that its owner died in.
                assert again.receive_count == 4
                with pytest.raises(ReceiptExpired):
                    await first.ack([message.receipt])
                await other.ack([again.receipt])
                assert await subject.is_empty(other)

    _run(work())
