"""FIFO queues: one active node, the stream's order, deduplication."""

from __future__ import annotations

import asyncio

import pytest
from redis_queues import a_queue, abandon

from penstock.api import Outgoing, SourceError
from penstock_redis.owner import now_s

pytestmark = pytest.mark.redis


def _run(work):
    async def within():
        async with asyncio.timeout(40):
            await work

    asyncio.run(within())


async def _send(subject, *messages):
    async with subject.writer() as writer:
        sent = [
            Outgoing(value=body.encode(), group=group, deduplication_id=name)
            for body, group, name in ((*message, None)[:3] for message in messages)
        ]
        assert await writer.send(sent) == [None] * len(sent)


def _numbered(count):
    return [(str(number), f"group-{number % 3}") for number in range(count)]


def _bodies(messages):
    return [message.body.decode() for message in messages]


def test_messages_come_in_the_streams_order_with_their_groups(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(25))
        async with subject.receiver() as first:
            messages = await subject.receive(first, 25)
        assert _bodies(messages) == [str(number) for number in range(25)]
        assert [message.group for message in messages] == [f"group-{number % 3}" for number in range(25)]
        sequences = [message.sequence for message in messages]
        assert sequences == sorted(sequences)
        assert {len(sequence) for sequence in sequences} == {len(sequences[0])}

    _run(work())


def test_another_node_stands_by_and_takes_over_in_order_when_the_active_one_leaves(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(10))
        async with subject.receiver("first") as first, subject.receiver("other") as other:
            held = await first.receive(messages_max=4, wait_ms=1_000)
            waiting = asyncio.create_task(other.receive(messages_max=10, wait_ms=30_000))
            await asyncio.sleep(0.3)
            assert not waiting.done()
            await first.ack([held[0].receipt])
            await first.nack([held[2].receipt], delay_ms=0, counted=True)
            await first.nack([held[1].receipt, held[3].receipt], delay_ms=0, counted=False)
            await first.close()
            messages = await asyncio.wait_for(waiting, 5)
            messages += await subject.receive(other, 9 - len(messages))
            assert _bodies(messages) == [str(number) for number in range(1, 10)]
            assert [message.receive_count for message in messages] == [1, 2, *[1] * 7]

    _run(work())


def test_what_a_dead_active_node_held_comes_before_all_else_in_order(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(10))
        async with subject.receiver("first", 1_000) as first, subject.receiver("other") as other:
            held = await first.receive(messages_max=6, wait_ms=1_000)
            await first.ack([held[1].receipt, held[4].receipt])
            abandon(first)
            messages = await subject.receive(other, 8)
            assert _bodies(messages) == ["0", "2", "3", "5", "6", "7", "8", "9"]
            assert [message.receive_count for message in messages] == [2, 2, 2, 2, 1, 1, 1, 1]

    _run(work())


def test_what_is_returned_comes_before_what_was_never_received(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(6))
        async with subject.receiver() as first:
            held = await first.receive(messages_max=3, wait_ms=1_000)
            for message in reversed(held):
                await first.nack([message.receipt], delay_ms=0, counted=False)
            assert _bodies(await subject.receive(first, 6)) == [str(number) for number in range(6)]

    _run(work())


def test_later_ones_of_a_group_wait_for_one_that_is_not_due_and_other_groups_do_not(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *((f"{group}{number}", group) for number in range(12) for group in "ab"))
        async with subject.receiver("first") as first:
            held = await subject.receive(first, 16)
            others = [message for message in held if message.body != b"a0"]
            await first.nack([message.receipt for message in others], delay_ms=0, counted=False)
            await first.nack([held[0].receipt], delay_ms=600_000, counted=True)
        async with subject.receiver("second") as second:
            # Fewer at a time than there are of the group that waits: what stands behind them is found nevertheless.
            messages = []
            while len(messages) < 12:
                messages += await subject.receive(second, 1)
            assert _bodies(messages) == [f"b{number}" for number in range(12)]
            assert await second.receive(messages_max=10, wait_ms=0) == []
            backlog = await second.backlog()
            assert backlog.count == 0

    _run(work())


def test_what_has_lapsed_is_back_before_anything_new_is_taken(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(4))
        async with subject.receiver(lease_ms=100) as receiver:
            abandon(receiver)
            await subject.receive(receiver, 2)
            while not receiver._book.lapsed(int(now_s() * 1000)):  # noqa: ASYNC110 - it is a matter of time alone
                await asyncio.sleep(0.02)
            assert _bodies(await receiver.receive(messages_max=2, wait_ms=1_000)) == ["0", "1"]

    _run(work())


def test_an_extension_that_is_answered_late_does_not_hold_what_was_returned(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, *_numbered(1))
        async with subject.receiver() as receiver:
            held = await subject.receive(receiver, 1)
            found = receiver._book.find([held[0].receipt])
            ends_ms = found[held[0].receipt].ends_ms
            # As a return leaves it whose answer is lost.
            receiver._let_go(found)
            await receiver.extend([held[0].receipt], lease_ms=600_000)
            assert found[held[0].receipt].ends_ms == ends_ms

    _run(work())


def test_a_deduplication_id_that_was_settled_is_not_delivered_again(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        async with subject.receiver() as first:
            await _send(subject, ("one", "g", "same"), ("two", "g", "other"))
            messages = await subject.receive(first, 2)
            await first.ack([message.receipt for message in messages])
            await _send(subject, ("again", "g", "same"), ("three", "g", "new"))
            messages = await subject.receive(first, 1)
            assert [(message.body, message.deduplication_id) for message in messages] == [(b"three", "new")]
            await first.ack([messages[0].receipt])
            assert await subject.is_empty(first)

    _run(work())


def test_a_deduplication_id_in_flight_twice_waits_for_the_first_and_is_settled_with_it(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        async with subject.receiver() as first:
            await _send(subject, ("one", "g", "same"), ("again", "g", "same"), ("two", "g", "other"))
            messages = await subject.receive(first, 2)
            assert _bodies(messages) == ["one", "two"]
            await _send(subject, ("and again", "g", "same"))
            assert list(await first.receive(messages_max=1, wait_ms=200)) == []
            await first.nack([messages[0].receipt], delay_ms=0, counted=True)
            (message,) = await subject.receive(first, 1)
            assert (message.body, message.receive_count) == (b"one", 2)
            await first.ack([message.receipt, messages[1].receipt])
            assert await subject.is_empty(first)

    _run(work())


def test_what_waits_for_a_deduplication_id_goes_on_waiting_when_a_receive_fails(queue_source, monkeypatch):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        await _send(subject, ("1", "a", "one"), ("again", "a", "one"), ("2", "b", "two"))
        async with subject.receiver() as receiver:
            held = await subject.receive(receiver, 1)
            ask = receiver._owner.ask

            async def fail_once(operation, *arguments):
                if operation == "seen":
                    monkeypatch.undo()
                    raise SourceError("the connection was lost")
                return await ask(operation, *arguments)

            monkeypatch.setattr(receiver._owner, "ask", fail_once)
            with pytest.raises(SourceError):
                await receiver.receive(messages_max=10, wait_ms=1_000)
            others = await subject.receive(receiver, 1)
            assert _bodies(others) == ["2"]
            assert await receiver.receive(messages_max=10, wait_ms=0) == []
            await receiver.ack([message.receipt for message in [*held, *others]])
            assert await subject.is_empty(receiver)
            assert await receiver.receive(messages_max=10, wait_ms=0) == []

    _run(work())


def test_what_waited_for_a_deduplication_id_survives_its_node_and_is_never_run(queue_source):
    subject = a_queue(queue_source(FifoQueue=True))

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, ("one", "g", "same"), ("again", "g", "same"))
            (message,) = await subject.receive(first, 1)
            await first.nack([message.receipt], delay_ms=0, counted=False)
        async with subject.receiver("other") as other:
            (message,) = await other.receive(messages_max=10, wait_ms=2_000)
            assert (message.body, message.receive_count) == (b"one", 1)
            await other.ack([message.receipt])
            assert await subject.is_empty(other)

    _run(work())


def test_the_group_may_be_another_field(queue_source, server):
    source = queue_source(FifoQueue=True, GroupFrom="customer")
    subject = a_queue(source)
    server.xadd(source.settings["Key"], {"body": "order", "customer": "c-7", "size": "3"})

    async def work():
        async with subject.receiver() as first:
            (message,) = await subject.receive(first, 1)
            assert (message.body, message.group) == (b"order", "c-7")
            assert {name: attribute.value for name, attribute in message.attributes.items()} == {
                "customer": "c-7",
                "size": "3",
            }
            await first.ack([message.receipt])
            await _send(subject, ("sent", "c-8"))
            (message,) = await subject.receive(first, 1)
            assert message.group == "c-8"

    _run(work())
