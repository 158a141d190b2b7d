"""Failed messages that are too many to be held: they wait in delay queues, or go back before their time."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time

import pika
import pytest
from rabbit_queues import Broker, a_mapping, a_queue, on_broker, settings_of, until_heard

from penstock.api import Outgoing, ReceiptExpired, SourceError
from penstock.shell.counted_queue import CountedQueue
from penstock.shell.message_runs import MessageRuns
from penstock_rabbitmq.delay_queues import DelayQueues, queue_name, seconds_of
from penstock_rabbitmq.pika_numbers import mend
from penstock_rabbitmq.plugin import RABBITMQ
from penstock_rabbitmq.receiver import Receiver
from penstock_rabbitmq.settings import DELAY_PREFIX, Settings

pytestmark = pytest.mark.rabbitmq
PATIENCE_S = 60.0
DELAY_MS = 2_000
CLOCKS_S = 0.05
"""The broker's clock and ours may differ so much over a delay."""


@pytest.fixture
def small_queue(queue_source, broker, monkeypatch):
    """Makes sources with a small prefetch; their delay queues are deleted after the test."""
    monkeypatch.setattr("penstock_rabbitmq.delay_queues.SETTLING_S", 0.0)
    made = []

    def make(**settings):
        source = queue_source(Prefetch=settings.pop("Prefetch", 20), **settings)
        made.append(source.settings["Queue"])
        return source

    yield make
    for queue in made:
        for seconds in (1, 2, 60):
            for is_high in (False, True):
                broker.delete(queue_name(queue, seconds, is_high=is_high))


@contextlib.asynccontextmanager
async def _receiver(source, **options):
    receiver = Receiver(Settings.of(source), a_mapping(lease_ms=DELAY_MS), **options)
    try:
        await receiver.open()
        yield receiver
    finally:
        await receiver.close()


async def _receive(receiver, count):
    messages = []
    async with asyncio.timeout(PATIENCE_S):
        while len(messages) < count:
            try:
                messages += await receiver.receive(messages_max=count - len(messages), wait_ms=500)
            except SourceError:
                await asyncio.sleep(0.1)
    return messages


async def _fail(receiver, messages, delay_ms=DELAY_MS):
    await receiver.nack([message.receipt for message in messages], delay_ms=delay_ms, counted=True)


async def _until_ready(broker, queue, count):
    async with asyncio.timeout(PATIENCE_S):
        while await asyncio.to_thread(_ready, broker, queue) < count:  # noqa: ASYNC110 - the broker tells of nothing
            await asyncio.sleep(0.1)


def _ready(broker, queue):
    with broker.channel() as channel:
        return channel.queue_declare(queue, passive=True).method.message_count


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_200_that_fail_twice_come_back_after_their_delay_with_their_count_while_good_ones_go_on(
    kind, small_queue, broker, tmp_path
):
    source = small_queue(**settings_of(kind))
    queue = source.settings["Queue"]
    with broker.channel() as channel:
        channel.confirm_delivery()
        for number in range(200):
            for name in (f"bad-{number}", f"good-{number}"):
                _publish(channel, queue, name.encode(), message_id=name)
    failed_s, counts, good = {}, {f"bad-{number}": [] for number in range(200)}, []

    async def take(message, receiver):
        name = message.message_id
        assert message.body == name.encode()
        if name.startswith("good"):
            good.append(name)
            await receiver.ack([message.receipt])
            return
        counts[name].append(message.receive_count)
        if name in failed_s:
            assert time.monotonic() - failed_s[name] > DELAY_MS / 1000 - CLOCKS_S
        if len(counts[name]) == 3:
            await receiver.ack([message.receipt])
            return
        failed_s[name] = time.monotonic()
        await _fail(receiver, [message])

    async def run():
        runs = MessageRuns(tmp_path / "runs.db")
        async with _receiver(source) as inner:
            receiver = CountedQueue(inner, runs, queue)
            async with asyncio.timeout(PATIENCE_S):
                while sum(map(len, counts.values())) < 600:
                    for message in await receiver.receive(messages_max=10, wait_ms=500):
                        await take(message, receiver)
            await until_heard(inner)
        await runs.close()

    asyncio.run(run())
    assert sorted(good) == sorted(f"good-{number}" for number in range(200))
    assert set(map(tuple, counts.values())) == {(1, 2, 3)}
    assert not broker.take_all(queue)
    assert broker.exists(queue_name(queue, 2))
    assert not broker.take_all(queue_name(queue, 2))


def _publish(channel, queue, body, **properties):
    channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2, **properties), mandatory=True)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_message_comes_back_as_it_was_with_all_its_properties(kind, small_queue, broker):
    source = small_queue(Prefetch=1, **settings_of(kind))
    queue = source.settings["Queue"]
    cc = f"elsewhere-{queue}"
    death = {"queue": queue, "reason": "expired", "count": 1, "exchange": "", "routing-keys": [queue]}
    headers = {"text": "t", "number": 7, "float": 0.5, "list": [1, "a"], "CC": [cc], "x-death": [death]}
    properties = {
        "content_type": "text/plain",
        "priority": 7,
        "correlation_id": "c",
        "reply_to": "r",
        "expiration": "1000000",
        "message_id": "m",
        "timestamp": 1_700_000_000,
        "type": "t",
        "user_id": "guest",
        "app_id": "a",
        "delivery_mode": 2,
    }
    mend()
    broker.declare(cc)
    broker.publish(queue, b"body", headers=headers, **properties)

    async def run():
        async with _receiver(source) as receiver:
            (first,) = await _receive(receiver, 1)
            await _fail(receiver, [first])
            (second,) = await _receive(receiver, 1)
            await _fail(receiver, [second])
            (third,) = await _receive(receiver, 1)
            await receiver.ack([third.receipt])
            await until_heard(receiver)
        return first, second, third

    try:
        first, *others = asyncio.run(run())
        assert broker.exists(queue_name(queue, 2, is_high=True))
        assert len(broker.take_all(cc)) == 1
    finally:
        broker.delete(cc)
    assert first.properties["expiration"] == "1000000"
    for number, message in enumerate(others, start=2):
        assert message.properties == first.properties
        assert (message.body, message.message_id, message.attributes) == (b"body", "m", first.attributes)
        assert (message.sent_ms, message.first_received_ms) == (first.sent_ms, first.first_received_ms)
        assert (message.receive_count, message.redelivered) == (number, True)


def test_a_message_without_an_id_keeps_the_one_that_it_was_given(small_queue, broker):
    source = small_queue(Prefetch=1)
    broker.publish(source.settings["Queue"], b"body", delivery_mode=2)

    async def run():
        async with _receiver(source) as receiver:
            (first,) = await _receive(receiver, 1)
            await _fail(receiver, [first])
            (second,) = await _receive(receiver, 1)
            assert (second.message_id, second.receive_count, second.redelivered) == (first.message_id, 2, True)
            assert "message_id" not in second.properties
            await receiver.nack([second.receipt], delay_ms=DELAY_MS, counted=False)
            (third,) = await _receive(receiver, 1)
            assert (third.message_id, third.receive_count, third.redelivered) == (first.message_id, 2, True)
            await receiver.ack([third.receipt])
            assert await a_queue(source).is_empty(receiver)

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_message_that_waited_and_is_rejected_then_begins_anew_where_dead_letters_go(
    kind, small_queue, queue_source, broker
):
    dead = queue_source()
    source = small_queue(Prefetch=1, exists=False, **settings_of(kind))
    queue = source.settings["Queue"]
    broker.declare(queue, kind, x_dead_letter_exchange="", x_dead_letter_routing_key=dead.settings["Queue"])

    async def run():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=b"1")])
        async with _receiver(source) as receiver:
            await _fail(receiver, await _receive(receiver, 1))
            (rejected,) = await _receive(receiver, 1)
            await receiver.reject([rejected.receipt])
        async with _receiver(dead) as receiver:
            (letter,) = await _receive(receiver, 1)
            assert (letter.body, letter.message_id) == (b"1", rejected.message_id)
            assert (letter.receive_count, letter.redelivered) == (1, False)
            assert [(death["queue"], death["reason"]) for death in letter.properties["headers"]["x-death"]] == [
                (queue, "rejected")
            ]
            await receiver.ack([letter.receipt])

    asyncio.run(run())


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_who_ends_between_the_copy_and_the_ack_leaves_a_message_twice_and_never_none(kind, small_queue, monkeypatch):
    source = small_queue(Prefetch=1, **settings_of(kind))

    async def run():
        moved, never = asyncio.Event(), asyncio.Event()
        move = DelayQueues.move

        async def move_and_stop(*arguments, **options):
            assert await move(*arguments, **options)
            moved.set()
            await never.wait()

        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=b"1")])
        with monkeypatch.context() as patch:
            patch.setattr(DelayQueues, "move", move_and_stop)
            async with _receiver(source) as receiver:
                (held,) = await _receive(receiver, 1)
                failing = asyncio.create_task(_fail(receiver, [held]))
                await asyncio.wait_for(moved.wait(), PATIENCE_S)
                failing.cancel()
                await asyncio.wait([failing])
        async with _receiver(source) as receiver:
            for _ in range(2):
                (again,) = await _receive(receiver, 1)
                assert (again.body, again.message_id, again.redelivered) == (b"1", held.message_id, True)
                assert again.receive_count == 2
                await receiver.ack([again.receipt])
            assert await a_queue(source).is_empty(receiver)

    asyncio.run(run())


def test_a_connection_that_is_lost_after_the_copy_says_that_the_receipts_expired(small_queue, monkeypatch):
    source = small_queue(Prefetch=1)

    async def run():
        move = DelayQueues.move

        async def move_and_lose(self, *arguments, **options):
            assert await move(self, *arguments, **options)
            await receiver._session.connection.close()
            return True

        monkeypatch.setattr(DelayQueues, "move", move_and_lose)
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=b"1")])
        async with _receiver(source) as receiver:
            (held,) = await _receive(receiver, 1)
            with pytest.raises(ReceiptExpired):
                await _fail(receiver, [held])
            for again in [*await _receive(receiver, 1)]:
                await receiver.ack([again.receipt])
            (copy,) = await _receive(receiver, 1)
            await receiver.ack([copy.receipt])
            assert {again.message_id, copy.message_id} == {held.message_id}

    asyncio.run(run())


def test_what_waits_in_a_delay_queue_survives_a_broker_that_is_killed(breakable, tmp_path):
    source = on_broker(breakable.url, tmp_path, Prefetch=2, QueueType="classic")
    queue = source.settings["Queue"]
    broker = Broker(breakable.url)
    broker.declare(queue)
    # What it knows of this queue is on disk from here on; that of the delay queue is ours to see to.
    breakable.control("eval", "mnesia:sync_log().")

    async def run():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(50)])
        async with _receiver(source) as receiver:
            for _ in range(50):
                await _fail(receiver, await _receive(receiver, 1), 640_000)
            await until_heard(receiver)
            before = await asyncio.to_thread(_ready, broker, queue_name(queue, 640))
            await asyncio.to_thread(breakable.kill)
            breakable.start()
            await asyncio.to_thread(breakable.wait_ready)
        await _until_ready(broker, queue_name(queue, 640), before)
        assert before >= 48

    asyncio.run(run())


def test_who_may_not_configure_gets_the_oldest_back_before_their_time_and_is_told_once(
    small_queue, broker, rabbitmq_tls, tmp_path, caplog
):
    queue = small_queue().settings["Queue"]
    tls = {"Password": rabbitmq_tls.passwords["limited"], "Tls": {"CaFile": rabbitmq_tls.ca_file}}
    source = on_broker(rabbitmq_tls.url, tmp_path, Queue=queue, Prefetch=10, Username="limited", **tls)
    broker.publish(queue, *(b"%d" % number for number in range(20)), delivery_mode=2)

    async def run():
        came = []
        async with _receiver(source, now_s=lambda: 1000.0) as receiver:
            # The delay is never over here: what comes again comes before its time.
            failing = await _receive(receiver, 5)
            await _fail(receiver, failing, 60_000)
            while len(came) < 15:
                message, *_ = await _receive(receiver, 1)
                came.append(int(message.body))
                if len(came) <= 3:
                    await _fail(receiver, [message], 60_000)
                else:
                    await receiver.ack([message.receipt])
            await until_heard(receiver)
            return came

    with caplog.at_level(logging.WARNING, logger="penstock_rabbitmq"):
        came = asyncio.run(run())
    assert came[:3] == [5, 6, 7]
    assert {0, 1, 2} <= {*came, *(int(body) for _, body in broker.take_all(queue))}
    assert caplog.text.count("go back to the queue before their time") == 1
    assert not broker.exists(queue_name(queue, 2))


@pytest.mark.parametrize("may_configure", [True, False])
def test_source_show_says_where_further_failures_wait(may_configure, small_queue, rabbitmq_tls, tmp_path, broker):
    user = "admin" if may_configure else "limited"
    queue = small_queue().settings["Queue"]
    tls = {"Password": rabbitmq_tls.passwords[user], "Tls": {"CaFile": rabbitmq_tls.ca_file}}
    source = on_broker(rabbitmq_tls.url, tmp_path, Queue=queue, Username=user, **tls)

    async def look():
        operations = RABBITMQ.operate(source)
        try:
            return await operations.show()
        finally:
            await operations.close()

    said = asyncio.run(look())["failures past half of the prefetch"]
    assert said == (
        f"wait in {DELAY_PREFIX}<seconds>.{queue}"
        if may_configure
        else f"the oldest go back before their time: we have no right to configure {DELAY_PREFIX}*"
    )
    assert not broker.exists(queue_name(queue, 0))


def test_a_queue_name_that_leaves_no_room_for_that_of_a_delay_queue_has_early_returns(queue_source, broker, caplog):
    source = queue_source(Prefetch=1, Queue="q" * 250)
    broker.publish(source.settings["Queue"], b"1", delivery_mode=2)

    async def run():
        async with _receiver(source) as receiver:
            await _fail(receiver, await _receive(receiver, 1), 60_000)
            (again,) = await _receive(receiver, 1)
            assert again.redelivered
            await receiver.ack([again.receipt])

    with caplog.at_level(logging.WARNING, logger="penstock_rabbitmq"):
        asyncio.run(run())
    assert "name is too long" in caplog.text


def test_a_delay_is_never_shorter_and_at_most_a_quarter_longer():
    for delay_ms in (1, 999, 1000, 1001, *range(2_000, 43_200_000, 97_001)):
        seconds = seconds_of(delay_ms, own_ms=30_000)
        asked = -(-delay_ms // 1000)
        assert asked <= seconds <= asked * 1.25
    assert seconds_of(30_000, own_ms=30_000) == 30
    assert len({seconds_of(seconds * 1000, own_ms=1000) for seconds in range(1, 43_201)}) < 64
