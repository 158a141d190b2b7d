"""A FIFO queue: one node at a time, in order, whatever happens to it (D26)."""

from __future__ import annotations

import asyncio
import contextlib
import logging

import pytest
from rabbit_queues import Broker, a_mapping, a_queue, on_broker, until_heard

from penstock.api import Outgoing, ReceiptExpired, RecordRefused
from penstock_rabbitmq.receiver import Receiver
from penstock_rabbitmq.settings import Settings

pytestmark = pytest.mark.rabbitmq
PATIENCE_S = 60.0


@pytest.fixture
def fifo(queue_source):
    return queue_source(FifoQueue=True)


@contextlib.asynccontextmanager
async def _receiver(source, **options):
    receiver = Receiver(Settings.of(source), a_mapping(), **options)
    try:
        await receiver.open()
        yield receiver
    finally:
        await receiver.close()


async def _receive(receiver, count):
    messages = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            messages += await receiver.receive(messages_max=count - len(messages), wait_ms=500)
    return messages


def _numbers(messages):
    return [int(message.body) for message in messages]


async def _send(source, numbers, group="g"):
    async with a_queue(source).writer() as writer:
        await writer.send([Outgoing(value=str(number).encode(), group=group) for number in numbers])


def test_messages_come_with_their_group_and_deduplication_id(fifo):
    async def run():
        async with a_queue(fifo).writer() as writer, _receiver(fifo) as receiver:
            await writer.send([Outgoing(value=b"1", group="Ünï", deduplication_id="d"), Outgoing(value=b"2")])
            first, second = await _receive(receiver, 2)
            assert (first.group, first.deduplication_id, first.attributes) == ("Ünï", "d", {})
            assert (second.group, second.deduplication_id) == ("", None)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("group_from", "sent"),
    [("customer", {"headers": {"customer": "c7"}}), ("properties.correlation_id", {"correlation_id": "c7"})],
    ids=["a header", "a property"],
)
def test_the_group_is_where_the_source_says(group_from, sent, queue_source, broker):
    source = queue_source(FifoQueue=True, GroupFrom=group_from)
    broker.publish(source.settings["Queue"], b"1", **sent)

    async def run():
        async with a_queue(source).writer() as writer, _receiver(source) as receiver:
            await writer.send([Outgoing(value=b"2", group="c8")])
            assert [message.group for message in await _receive(receiver, 2)] == ["c7", "c8"]

    asyncio.run(run())


def test_the_group_may_be_the_routing_key(queue_source, broker):
    source = queue_source(FifoQueue=True, GroupFrom="routing_key")
    with broker.channel() as channel:
        channel.queue_bind(source.settings["Queue"], "amq.topic", "orders.#")
    broker.publish("orders.c7", b"1", exchange="amq.topic")

    async def run():
        async with a_queue(source).writer() as writer, _receiver(source) as receiver:
            (message,) = await _receive(receiver, 1)
            assert message.group == "orders.c7"
            (answer,) = await writer.send([Outgoing(value=b"2", group="c8")])
            assert isinstance(answer, RecordRefused)

    asyncio.run(run())


def test_what_is_given_back_comes_again_in_its_place_and_by_another_receipt(fifo):
    async def run():
        await _send(fifo, range(30))
        async with _receiver(fifo) as receiver:
            held = await _receive(receiver, 20)
            await receiver.ack([message.receipt for message in held[:5]])
            # As the engine gives a group back: the rest first, then what failed.
            await receiver.nack([message.receipt for message in held[8:]], delay_ms=0, counted=False)
            await receiver.nack([message.receipt for message in held[5:8]], delay_ms=0, counted=True)
            again = await _receive(receiver, 25)
            assert _numbers(again) == list(range(5, 30))
            assert [message.receive_count for message in again] == [2] * 3 + [1] * 22
            with pytest.raises(ReceiptExpired):
                await receiver.ack([held[5].receipt])
            await receiver.ack([message.receipt for message in again])
            assert await a_queue(fifo).is_empty(receiver)

    asyncio.run(run())


def test_a_second_node_stands_by_until_the_first_leaves(fifo):
    async def run():
        await _send(fifo, range(30))
        async with contextlib.AsyncExitStack() as stack:
            first_stack = await stack.enter_async_context(contextlib.AsyncExitStack())
            first = await first_stack.enter_async_context(_receiver(fifo))
            second = await stack.enter_async_context(_receiver(fifo))
            held = await _receive(first, 10)
            await first.ack([message.receipt for message in held[:4]])
            assert not await second.receive(messages_max=10, wait_ms=1500)
            await first_stack.aclose()
            assert _numbers(await _receive(second, 26)) == list(range(4, 30))

    asyncio.run(run())


def test_order_is_kept_when_the_owner_is_cut_off_again_and_again(breakable, tmp_path):
    """Nobody begins before all that the one before held is back in the queue."""
    source = on_broker(breakable.url, tmp_path, FifoQueue=True)
    Broker(breakable.url).declare(source.settings["Queue"])
    count = 3_000

    async def run():
        await _send(source, range(count))
        begun = 0
        async with _receiver(source) as one, _receiver(source) as other:
            owner, standing_by = one, other
            for turn in range(12):
                held = await _receive(owner, 20)
                assert _numbers(held) == list(range(begun, begun + 20))
                await owner.ack([message.receipt for message in held[:10]])
                await until_heard(owner)
                begun += 10
                owner._session.connection._pika._terminate_stream(OSError("cut by the test"))
                (first,) = await _receive(standing_by, 1)
                assert int(first.body) == begun, turn
                await standing_by.nack([first.receipt], delay_ms=0, counted=False)
                owner, standing_by = standing_by, owner

    asyncio.run(run())


def test_a_stranger_who_reads_the_queue_is_waited_for(fifo, broker, caplog, monkeypatch):
    monkeypatch.setattr("penstock_rabbitmq.session.STRANGER_S", 0.1)
    queue = fifo.settings["Queue"]

    async def run():
        await _send(fifo, range(3))
        async with contextlib.AsyncExitStack() as stack:
            with broker.channel() as channel:
                channel.basic_qos(prefetch_count=1)
                channel.basic_consume(queue, lambda *_: None)
                receiver = await stack.enter_async_context(_receiver(fifo))
                assert not await receiver.receive(messages_max=3, wait_ms=2000)
                channel.connection.process_data_events(0)
            assert _numbers(await _receive(receiver, 3)) == [0, 1, 2]

    with caplog.at_level(logging.WARNING, logger="penstock_rabbitmq"):
        asyncio.run(run())


class _Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize("settles", [True, False])
def test_order_is_kept_when_the_channel_is_replaced(settles, fifo):
    clock = _Clock()

    async def run():
        await _send(fifo, range(30))
        async with _receiver(fifo, now_s=clock) as receiver:
            held = await _receive(receiver, 10)
            lane = receiver._session.lanes[-1]
            clock.now_s += 901
            receiver._full.set()
            async with asyncio.timeout(PATIENCE_S):
                while not lane.is_paused:  # noqa: ASYNC110 - what is waited for has no event
                    await asyncio.sleep(0.02)
            assert not await receiver.receive(messages_max=10, wait_ms=50)
            begin = 0
            if settles:
                await receiver.ack([message.receipt for message in held])
                begin = 10
            else:
                clock.now_s += 61
            assert _numbers(await _receive(receiver, 30 - begin)) == list(range(begin, 30))

    asyncio.run(run())


@pytest.mark.parametrize("settles", [True, False])
def test_a_deduplication_id_outlives_the_channel_it_came_by(settles, fifo):
    clock = _Clock()

    async def run():
        async with a_queue(fifo).writer() as writer, _receiver(fifo, now_s=clock) as receiver:
            await writer.send([Outgoing(value=each, group="g", deduplication_id="one") for each in (b"1", b"2")])
            await writer.send([Outgoing(value=b"3", group="g")])
            first, third = await _receive(receiver, 2)
            assert (first.body, third.body) == (b"1", b"3")
            clock.now_s += 901
            receiver._full.set()
            if settles:
                await receiver.ack([first.receipt, third.receipt])
            else:
                async with asyncio.timeout(PATIENCE_S):
                    while not any(lane.is_paused for lane in receiver._session.lanes):  # noqa: ASYNC110 - no event
                        await asyncio.sleep(0.02)
                clock.now_s += 61
                first, third = await _receive(receiver, 2)
                assert (first.body, third.body) == (b"1", b"3")
                await receiver.ack([first.receipt, third.receipt])
            assert await a_queue(fifo).is_empty(receiver)

    asyncio.run(run())
