"""What a server may do to a queue: forget it, end, come back, trim it, cut its connections."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from functools import partial

import pytest
from redis import Redis
from redis_queues import KINDS, a_queue, of_kind, on_server, settings_of

from penstock.api import Outgoing, ReceiptExpired, SourceError, SourceUnavailable

pytestmark = pytest.mark.redis


def _run(work):
    async def within():
        async with asyncio.timeout(60):
            await work

    asyncio.run(within())


async def _send(subject, *bodies):
    async with subject.writer() as writer:
        await writer.send([Outgoing(value=body) for body in bodies])


async def _persistently(call):
    """Call until it works; what it raises until then is a SourceError."""
    async with asyncio.timeout(30):
        while True:
            try:
                return await call()
            except ReceiptExpired:
                raise
            except SourceError:
                await asyncio.sleep(0.05)


async def _bodies(receiver, count):
    bodies = []
    while len(bodies) < count:
        messages = await _persistently(lambda: receiver.receive(messages_max=count, wait_ms=2_000))
        if messages:
            bodies += [message.body for message in messages]
            await receiver.ack([message.receipt for message in messages])
    return bodies


def _lines(caplog):
    words = ("group was gone", "has forgotten")
    return [record.getMessage() for record in caplog.records if any(word in record.getMessage() for word in words)]


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_flush_the_group_is_made_again_with_one_line_in_the_log(private_redis, tmp_path, caplog, kind):
    caplog.set_level(logging.WARNING)
    source = on_server(private_redis().url, tmp_path, **settings_of(kind))
    subject = of_kind(kind, source)

    async def work():
        async with subject.receiver("first", 3_000) as first, subject.receiver("other", 3_000) as other:
            await _send(subject, b"held", b"gone")
            (held,) = await first.receive(messages_max=1, wait_ms=2_000)
            waiting = asyncio.create_task(_bodies(first, 1))
            also_waiting = asyncio.create_task(other.receive(messages_max=1, wait_ms=30_000))
            assert await _bodies(first, 0) == []
            with Redis.from_url(source.settings["Url"]) as client:
                client.flushall()
            await _send(subject, b"after")
            done, _ = await asyncio.wait([waiting, also_waiting], return_when=asyncio.FIRST_COMPLETED)
            bodies = [message.body for message in await also_waiting] if also_waiting in done else await waiting
            assert bodies in ([b"gone"], [b"after"])
            with pytest.raises(ReceiptExpired):
                await first.ack([held.receipt])
            for task in (waiting, also_waiting):
                task.cancel()
            await asyncio.gather(waiting, also_waiting, return_exceptions=True)

    _run(work())
    assert len(_lines(caplog)) == 1


def test_what_is_sent_after_a_flush_is_processed(private_redis, tmp_path):
    source = on_server(private_redis().url, tmp_path)
    subject = a_queue(source)

    async def work():
        async with subject.receiver("first", 3_000) as first:
            await _send(subject, *(str(number).encode() for number in range(10)))
            held = await subject.receive(first, 10)
            with Redis.from_url(source.settings["Url"]) as client:
                client.flushall()
            await _send(subject, b"one", b"two")
            assert sorted(await _bodies(first, 2)) == [b"one", b"two"]
            with pytest.raises(ReceiptExpired):
                await first.ack([message.receipt for message in held])
            assert await subject.is_empty(first)

    _run(work())


def test_a_group_that_was_destroyed_is_made_again_from_the_oldest_entry(queue_source, server):
    source = queue_source()
    subject = a_queue(source)

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, b"one", b"two")
            await first.receive(messages_max=1, wait_ms=2_000)
            server.xgroup_destroy(source.settings["Key"], "tests")
            assert sorted(await _bodies(first, 2)) == [b"one", b"two"]

    _run(work())


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_a_restarted_server_that_keeps_everything_loses_and_repeats_nothing(private_redis, tmp_path, kind):
    redis = private_redis()
    subject = of_kind(kind, on_server(redis.url, tmp_path, **settings_of(kind)))

    async def work():
        async with subject.receiver("first", 20_000) as first, subject.receiver("other", 20_000) as other:
            await _send(subject, *(str(number).encode() for number in range(20)))
            held = await subject.receive(first, 5)
            await first.nack([held[0].receipt], delay_ms=0, counted=True)
            await asyncio.to_thread(redis.kill)
            with pytest.raises(SourceUnavailable):
                await first.ack([held[1].receipt])
            redis.start()
            await asyncio.to_thread(redis.wait_ready)
            await _persistently(lambda: first.ack([message.receipt for message in held[1:]]))
            messages = []
            while len(messages) < 16:
                messages += await _persistently(lambda: other.receive(messages_max=16, wait_ms=2_000))
            assert sorted(int(message.body) for message in messages) == [0, *range(5, 20)]
            assert {message.body: message.receive_count for message in messages}[b"0"] == 2
            await other.ack([message.receipt for message in messages])
            assert await subject.is_empty(other)

    _run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_after_a_restart_without_persistence_what_is_sent_is_processed(private_redis, tmp_path, kind):
    redis = private_redis(persistent=False)
    subject = of_kind(kind, on_server(redis.url, tmp_path, **settings_of(kind)))

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, b"held")
            (held,) = await first.receive(messages_max=1, wait_ms=2_000)
            waiting = asyncio.create_task(_bodies(first, 1))
            await asyncio.to_thread(redis.kill)
            redis.start()
            await asyncio.to_thread(redis.wait_ready)
            await _send(subject, b"new")
            assert await waiting == [b"new"]
            with pytest.raises(ReceiptExpired):
                await first.ack([held.receipt])

    _run(work())


def test_what_was_trimmed_while_it_waited_for_its_retry_is_settled_with_one_line(queue_source, server, caplog):
    source = queue_source()
    subject = a_queue(source)

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, b"one", b"two", b"three")
            messages = await subject.receive(first, 3)
            await first.nack([message.receipt for message in messages], delay_ms=200, counted=True)
            server.xtrim(source.settings["Key"], maxlen=1, approximate=False)
            (left,) = await first.receive(messages_max=10, wait_ms=5_000)
            assert left.body == b"three"
            await first.ack([left.receipt])
            assert await subject.is_empty(first)

    _run(work())
    assert any("trimmed away: 2" in record.getMessage() for record in caplog.records)


def test_what_is_trimmed_while_it_runs_is_settled_all_the_same(queue_source, server):
    source = queue_source()
    subject = a_queue(source)

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, b"one", b"two")
            messages = await subject.receive(first, 2)
            server.xtrim(source.settings["Key"], maxlen=0, approximate=False)
            await first.ack([message.receipt for message in messages])
            assert await subject.is_empty(first)

    _run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_connections_cut_at_any_moment_lose_nothing_and_count_nothing(private_redis, tmp_path, kind):
    redis = private_redis()
    source = on_server(redis.url, tmp_path, **settings_of(kind))
    subject = of_kind(kind, source)
    count = 200

    async def work():
        async with subject.receiver("first", 20_000) as first:
            await _send(subject, *(str(number).encode() for number in range(count)))
            went_on_at = time.monotonic()

            async def cut():
                with Redis.from_url(redis.url) as client:
                    while True:
                        client.client_kill_filter(_type="normal", skipme=True)
                        # The longer nothing gets through, the longer the next connection may last.
                        await asyncio.sleep(0.003 + (time.monotonic() - went_on_at) / 4)

            cutting = asyncio.create_task(cut())
            seen = {}
            settled = set()
            async with asyncio.timeout(50):
                while len(settled) < count:
                    messages = await _persistently(lambda: first.receive(messages_max=7, wait_ms=500))
                    went_on_at = time.monotonic()
                    for message in messages:
                        assert message.message_id not in settled
                        seen[message.message_id] = message.receive_count
                    # An ack whose answer was lost is asked for again, and may find nothing left.
                    with contextlib.suppress(ReceiptExpired):
                        await _persistently(lambda given=messages: first.ack([each.receipt for each in given]))
                    went_on_at = time.monotonic()
                    settled |= {message.message_id for message in messages}
            cutting.cancel()
            assert set(seen.values()) == {1}
            assert await _persistently(lambda: subject.is_empty(first))

    _run(work())


def test_a_server_that_stands_still_makes_calls_fail_and_then_goes_on(private_redis, tmp_path, monkeypatch):
    monkeypatch.setattr("penstock_redis.client.ANSWER_TIMEOUT_S", 0.5)
    redis = private_redis()
    subject = a_queue(on_server(redis.url, tmp_path))

    async def work():
        async with subject.receiver("first") as first:
            await _send(subject, b"one")
            redis.freeze()
            with pytest.raises(SourceUnavailable, match="no answer in time"):
                await first.receive(messages_max=1, wait_ms=10_000)
            redis.thaw()
            assert await _bodies(first, 1) == [b"one"]

    _run(work())


@pytest.mark.parametrize("kind", KINDS)
def test_a_return_whose_answer_was_lost_does_not_take_the_message_from_its_next_run(queue_source, monkeypatch, kind):
    subject = of_kind(kind, queue_source(**settings_of(kind)))

    async def work():
        await _send(subject, b"one")
        async with subject.receiver() as receiver:
            (first,) = await subject.receive(receiver, 1)
            ask = receiver._owner.ask

            async def lose_the_answer(operation, *arguments):
                reply = await ask(operation, *arguments)
                if operation == "back":
                    raise SourceUnavailable("the connection was lost")
                return reply

            monkeypatch.setattr(receiver._owner, "ask", lose_the_answer)
            with pytest.raises(SourceUnavailable):
                await receiver.nack([first.receipt], delay_ms=0, counted=True)
            monkeypatch.undo()
            (second,) = await subject.receive(receiver, 1)
            assert second.receive_count == 2
            with pytest.raises(ReceiptExpired):
                await receiver.nack([first.receipt], delay_ms=0, counted=True)
            await receiver.ack([second.receipt])
            assert await subject.is_empty(receiver)

    _run(work())


def test_another_group_still_reads_every_entry(queue_source, server):
    source = queue_source()
    subject = a_queue(source)
    key = source.settings["Key"]
    server.xgroup_create(key, "auditors", "0", mkstream=True)

    async def work():
        async with subject.receiver() as first:
            await _send(subject, b"one", b"two")
            assert sorted(await _bodies(first, 2)) == [b"one", b"two"]
            assert await subject.is_empty(first)

    _run(work())
    ((_, entries),) = server.xreadgroup("auditors", "a", {key: ">"})
    assert [fields[b"body"] for _, fields in entries] == [b"one", b"two"]


@pytest.mark.parametrize(("deletes", "left"), [("auto", 0), ("always", 0), ("never", 2)])
def test_what_is_settled_is_deleted_as_it_was_wished(queue_source, server, deletes, left):
    source = queue_source(DeleteSettled=deletes)
    subject = a_queue(source)

    async def work():
        async with subject.receiver() as first:
            await _send(subject, b"one", b"two")
            await _bodies(first, 2)
            assert await subject.is_empty(first)

    _run(work())
    assert server.xlen(source.settings["Key"]) == left


@pytest.mark.parametrize("kind", ["standard", "list"])
def test_nobody_takes_from_another_what_only_the_servers_absence_let_lapse(private_redis, tmp_path, kind):
    redis = private_redis()
    subject = of_kind(kind, on_server(redis.url, tmp_path))

    async def work():
        async with subject.receiver("first", 1_500) as first, subject.receiver("other", 1_500) as other:
            await _send(subject, b"one", b"two")
            (one,), (two,) = await subject.receive(first, 1), await subject.receive(other, 1)
            await asyncio.to_thread(redis.kill)
            # The engine goes on extending what it holds, whatever the answers are.
            until_s = asyncio.get_running_loop().time() + 3
            while asyncio.get_running_loop().time() < until_s:
                for receiver, message in ((first, one), (other, two)):
                    with contextlib.suppress(SourceError):
                        await receiver.extend([message.receipt], lease_ms=10_000)
                await asyncio.sleep(0.1)
            redis.start()
            await asyncio.to_thread(redis.wait_ready)
            for receiver, message in ((first, one), (other, two)):
                await _persistently(partial(receiver.extend, [message.receipt], lease_ms=10_000))
            assert await _persistently(partial(first.receive, messages_max=2, wait_ms=2_000)) == []
            await first.ack([one.receipt])
            await other.ack([two.receipt])
            assert await subject.is_empty(first)

    _run(work())
