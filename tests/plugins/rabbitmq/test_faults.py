"""What becomes of messages when connections, channels, brokers and queues go away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random

import pytest
from rabbit_queues import Broker, a_mapping, a_queue, on_broker, settings_of, until_heard

from penstock.api import Outgoing, ReceiptExpired, SourceError, SourceMissing, SourceUnavailable
from penstock_rabbitmq import address
from penstock_rabbitmq.receiver import Receiver
from penstock_rabbitmq.settings import Settings

pytestmark = pytest.mark.rabbitmq
PATIENCE_S = 60.0


async def _receive(receiver, count):
    """Receive until there are so many, whatever the source says meanwhile."""
    messages = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            try:
                messages += await receiver.receive(messages_max=count - len(messages), wait_ms=500)
            except SourceError:
                await asyncio.sleep(0.1)
    return messages


@contextlib.asynccontextmanager
async def _receiver(source, **options):
    mapping = a_mapping(**{key: value for key, value in options.items() if key == "buffer_bytes_max"})
    clock = {key: value for key, value in options.items() if key == "now_s"}
    receiver = Receiver(Settings.of(source), mapping, **clock)
    try:
        await receiver.open()
        yield receiver
    finally:
        await receiver.close()


async def _until(is_true):
    async with asyncio.timeout(PATIENCE_S):
        while not is_true():  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.02)


def _on(breakable, tmp_path, kind="classic"):
    source = on_broker(breakable.url, tmp_path, **settings_of(kind))
    Broker(breakable.url).declare(source.settings["Queue"], source.settings["QueueType"])
    # What it knows of queues is on disk from here on, as it is of any that is not moments old.
    breakable.control("eval", "mnesia:sync_log().")
    return source


@pytest.mark.parametrize("kind", ["classic", "quorum", "fifo"])
def test_after_a_cut_connection_receipts_have_expired_and_everything_comes_anew(kind, breakable, tmp_path):
    source = _on(breakable, tmp_path, kind)

    async def run():
        bodies = [str(number).encode() for number in range(50)]
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=body) for body in bodies])
        async with _receiver(source) as receiver:
            first = await _receive(receiver, 20)
            await receiver.ack([message.receipt for message in first[:5]])
            await until_heard(receiver)
            await asyncio.to_thread(breakable.control, "close_all_connections", "test")
            again = await _receive(receiver, 45)
            for settle in (
                receiver.ack([first[5].receipt]),
                receiver.nack([first[6].receipt], delay_ms=0, counted=True),
                receiver.extend([first[7].receipt], lease_ms=1000),
                receiver.reject([first[8].receipt]),
            ):
                with pytest.raises(ReceiptExpired):
                    await settle
            assert sorted(int(message.body) for message in again) == list(range(5, 50))
            held = {message.message_id for message in first[5:]}
            assert {message.receive_count for message in again if message.message_id in held} == {2}
            assert all(message.redelivered for message in again if message.message_id in held)
            await receiver.ack([message.receipt for message in again])
            assert await a_queue(source).is_empty(receiver)

    asyncio.run(run())


# RabbitMQ 3.10 loses a quorum queue that was made moments before the broker is killed.
@pytest.mark.parametrize(("kind", "end"), [("classic", "kill"), ("fifo", "kill"), ("quorum", "stop")])
def test_a_broker_that_comes_back_has_everything_that_was_not_settled(kind, end, breakable, tmp_path):
    source = _on(breakable, tmp_path, kind)

    async def run():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(50)])
        async with _receiver(source) as receiver:
            first = await _receive(receiver, 20)
            await receiver.ack([message.receipt for message in first])
            await until_heard(receiver)
            await asyncio.to_thread(getattr(breakable, end))
            with pytest.raises(SourceUnavailable):
                await _until_it_fails(receiver)
            breakable.start()
            await asyncio.to_thread(breakable.wait_ready)
            again = await _receive_all(receiver, set(range(20, 50)))
            assert {int(message.body) for message in again} >= set(range(20, 50))

    asyncio.run(run())


async def _until_it_fails(receiver):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            # What comes is left unsettled, and comes again.
            await receiver.receive(messages_max=100, wait_ms=200)


async def _receive_all(receiver, wanted):
    messages = []
    async with asyncio.timeout(PATIENCE_S):
        while not {int(message.body) for message in messages} >= wanted:
            messages += await _receive(receiver, 1)
            await receiver.ack([messages[-1].receipt])
    return messages


def test_a_broker_that_falls_silent_is_found_out_by_its_heartbeats(breakable, tmp_path, monkeypatch):
    monkeypatch.setattr(address, "HEARTBEAT_S", 1)
    source = _on(breakable, tmp_path)

    async def run():
        async with _receiver(source) as receiver:
            breakable.freeze()
            try:
                with pytest.raises(SourceUnavailable):
                    await _until_it_fails(receiver)
            finally:
                breakable.thaw()
            async with a_queue(source).writer() as writer:
                await writer.send([Outgoing(value=b"1")])
            assert [message.body for message in await _receive(receiver, 1)] == [b"1"]

    asyncio.run(run())


def test_a_queue_that_is_deleted_is_said_and_one_that_is_made_again_is_received_from(queue_source, broker):
    source = queue_source()
    queue = source.settings["Queue"]

    async def run():
        async with _receiver(source) as receiver:
            await asyncio.to_thread(broker.publish, queue, b"gone")
            (gone,) = await _receive(receiver, 1)
            await asyncio.to_thread(broker.delete, queue)
            with pytest.raises(SourceMissing, match="there is no queue"):
                await _until_it_fails(receiver)
            with pytest.raises(ReceiptExpired):
                await receiver.ack([gone.receipt])
            await asyncio.to_thread(broker.declare, queue)
            await asyncio.to_thread(broker.publish, queue, b"new")
            assert [message.body for message in await _receive(receiver, 1)] == [b"new"]

    asyncio.run(run())


def test_what_the_brokers_consumer_timeout_takes_away_comes_anew(breakable, tmp_path):
    source = _on(breakable, tmp_path)
    for name, ms in (("consumer_timeout", 1000), ("channel_tick_interval", 500)):
        breakable.control("eval", f"application:set_env(rabbit, {name}, {ms}).")

    async def run():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=b"1")])
        async with _receiver(source) as receiver:
            (held,) = await _receive(receiver, 1)
            (again,) = await _receive(receiver, 1)
            assert (again.message_id, again.receive_count) == (held.message_id, 2)
            with pytest.raises(ReceiptExpired):
                await receiver.ack([held.receipt])
            await receiver.ack([again.receipt])

    try:
        asyncio.run(run())
    finally:
        for name, ms in (("consumer_timeout", 1_800_000), ("channel_tick_interval", 60_000)):
            breakable.control("eval", f"application:set_env(rabbit, {name}, {ms}).")


class _Clock:
    def __init__(self):
        self.now_s = 1000.0

    def __call__(self):
        return self.now_s


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_channel_is_replaced_before_the_broker_takes_it_and_what_is_held_stays_ours(kind, queue_source):
    source = queue_source(**settings_of(kind))
    clock = _Clock()

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer, _receiver(source, now_s=clock) as receiver:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(10)])
            held = await _receive(receiver, 3)
            first = receiver._session.lanes[-1]
            await _until(lambda: first.waiting == 7)
            clock.now_s += 901
            receiver._full.set()
            await _until(lambda: receiver._session.lanes[-1] is not first)
            await receiver.extend([message.receipt for message in held], lease_ms=1000)
            rest = await _receive(receiver, 7)
            assert sorted(int(message.body) for message in [*held, *rest]) == list(range(10))
            await receiver.ack([message.receipt for message in [*held, *rest]])
            await _until(lambda: first not in receiver._session.lanes)
            assert await subject.is_empty(receiver)

    asyncio.run(run())


def test_what_is_held_on_a_replaced_channel_for_too_long_comes_anew(queue_source):
    source = queue_source()
    clock = _Clock()

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer, _receiver(source, now_s=clock) as receiver:
            await writer.send([Outgoing(value=b"1")])
            (held,) = await _receive(receiver, 1)
            for _ in range(2):
                clock.now_s += 901
                lanes = list(receiver._session.lanes)
                receiver._full.set()
                await _until(lambda lanes=lanes: receiver._session.lanes != lanes)
            (again,) = await _receive(receiver, 1)
            assert again.message_id == held.message_id
            with pytest.raises(ReceiptExpired):
                await receiver.extend([held.receipt], lease_ms=1000)

    asyncio.run(run())


def test_no_more_bytes_wait_here_than_the_mapping_may_have(queue_source):
    source = queue_source()

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=b"v" * 100_000) for _ in range(200)])
        async with _receiver(source, buffer_bytes_max=1_000_000) as receiver:
            await _until(lambda: receiver._session._prefetch <= 10)
            messages = []
            while len(messages) < 200:
                messages += await _receive(receiver, 1)
                await receiver.ack([messages[-1].receipt])
                # What one reading of the socket brings comes on top.
                assert receiver._session.lanes[-1].bytes_count <= 1_500_000
            assert await subject.is_empty(receiver)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_exactly_what_was_not_settled_comes_again(kind, queue_source):
    """Acks in any order, some of them for many at once: none is for another message than was meant."""
    source = queue_source(**settings_of(kind))
    chance = random.Random(7)

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(600)])
        settled, unsettled = set(), {}
        async with _receiver(source) as receiver:
            for _ in range(60):
                for message in await receiver.receive(messages_max=20, wait_ms=200):
                    unsettled[int(message.body)] = message.receipt
                chosen = chance.sample(sorted(unsettled), k=min(len(unsettled), chance.randrange(25)))
                if chance.random() < 0.2 and chosen:
                    await receiver.nack([unsettled.pop(chosen.pop())], delay_ms=0, counted=True)
                if chance.random() < 0.5:
                    chosen.sort()
                await receiver.ack([unsettled.pop(number) for number in chosen])
                settled.update(chosen)
        async with _receiver(source) as receiver:
            again = await _receive(receiver, 600 - len(settled))
            assert {int(message.body) for message in again} == set(range(600)) - settled
            await receiver.ack([message.receipt for message in again])
            assert await subject.is_empty(receiver)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["classic", "quorum", "fifo"])
def test_a_rejected_message_goes_where_the_queues_own_dead_letters_go(kind, queue_source, broker):
    dead = queue_source().settings["Queue"]
    source = queue_source(exists=False, **settings_of(kind))
    queue_type = source.settings["QueueType"]
    broker.declare(source.settings["Queue"], queue_type, x_dead_letter_exchange="", x_dead_letter_routing_key=dead)

    async def run():
        async with a_queue(source).writer() as writer, _receiver(source) as receiver:
            await writer.send([Outgoing(value=b"bad"), Outgoing(value=b"good")])
            bad, good = await _receive(receiver, 2)
            await receiver.reject([bad.receipt])
            await receiver.ack([good.receipt])
        letters = on_broker(source.settings["Url"], source.data_dir, Queue=dead)
        async with _receiver(letters) as receiver:
            (letter,) = await _receive(receiver, 1)
            assert (letter.body, letter.message_id) == (b"bad", bad.message_id)
            assert letter.properties["headers"]["x-death"][0]["reason"] == "rejected"

    asyncio.run(run())


def test_a_memory_alarm_holds_sending_up_and_nothing_else(breakable, tmp_path, caplog):
    source = _on(breakable, tmp_path)

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer, _receiver(source) as receiver:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(100)])
            held = await _receive(receiver, 100)
            await asyncio.to_thread(breakable.control, "set_vm_memory_high_watermark", "0")
            sending = asyncio.create_task(writer.send([Outgoing(value=b"100")]))
            await _until(lambda: "takes no messages for now" in caplog.text)
            assert not sending.done()
            await receiver.ack([message.receipt for message in held])
            await _until_settled(receiver)
            await asyncio.to_thread(breakable.control, "set_vm_memory_high_watermark", "0.4")
            async with asyncio.timeout(PATIENCE_S):
                assert await sending == [None]
            assert [message.body for message in await _receive(receiver, 1)] == [b"100"]

    with caplog.at_level(logging.WARNING, logger="penstock_rabbitmq"):
        asyncio.run(run())


async def _until_settled(receiver):
    async with asyncio.timeout(PATIENCE_S):
        while (await receiver.backlog()).count:  # noqa: ASYNC110 - what is waited for has no event
            await asyncio.sleep(0.05)


def test_an_alarm_that_lasts_is_an_error_that_names_it(breakable, tmp_path, monkeypatch):
    monkeypatch.setattr("penstock_rabbitmq.publisher.ALARM_S", 0.5)
    monkeypatch.setattr("penstock_rabbitmq.publisher.CONFIRM_S", 0.5)
    source = _on(breakable, tmp_path)

    async def run():
        async with a_queue(source).writer() as writer:
            await asyncio.to_thread(breakable.control, "set_vm_memory_high_watermark", "0")
            try:
                with pytest.raises(SourceUnavailable, match=r"takes no messages for now \(low on memory\)"):
                    await _send_for_ever(writer)
            finally:
                await asyncio.to_thread(breakable.control, "set_vm_memory_high_watermark", "0.4")

    asyncio.run(run())


def test_a_send_that_was_under_way_when_the_broker_went_raises(breakable, tmp_path):
    source = _on(breakable, tmp_path)

    async def run():
        async with a_queue(source).writer() as writer:
            await asyncio.to_thread(breakable.kill)
            with pytest.raises(SourceUnavailable):
                await _send_for_ever(writer)

    asyncio.run(run())


async def _send_for_ever(writer):
    async with asyncio.timeout(PATIENCE_S):
        while True:
            await writer.send([Outgoing(value=b"1")])


def test_what_was_sent_ahead_and_not_asked_for_is_back_when_a_receiver_closes(queue_source, broker):
    source = queue_source()

    async def run():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(100)])
        async with _receiver(source) as receiver:
            first = receiver._session.lanes[-1]
            await _receive(receiver, 10)
            await _until(lambda: first.waiting == 90)

    asyncio.run(run())
    assert [int(body) for _, body in broker.take_all(source.settings["Queue"])] == list(range(100))


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_what_is_given_back_with_a_delay_waits_and_is_counted_and_the_others_flow(kind, queue_source):
    source = queue_source(**settings_of(kind))
    clock = _Clock()

    async def run():
        subject = a_queue(source)
        async with subject.writer() as writer, _receiver(source, now_s=clock) as receiver:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(10)])
            failed = await _receive(receiver, 5)
            await receiver.nack([message.receipt for message in failed], delay_ms=60_000, counted=True)
            others = await _receive(receiver, 5)
            assert sorted(int(message.body) for message in others) == list(range(5, 10))
            assert not await receiver.receive(messages_max=10, wait_ms=50)
            assert (await receiver.backlog()).delayed == 10
            await receiver.ack([message.receipt for message in others])
            clock.now_s += 61
            again = await _receive(receiver, 5)
            assert [message.body for message in again] == [message.body for message in failed]
            assert {message.receive_count for message in again} == {2}
            with pytest.raises(ReceiptExpired):
                await receiver.ack([failed[0].receipt])
            await receiver.ack([message.receipt for message in again])
            assert await subject.is_empty(receiver)

    asyncio.run(run())
