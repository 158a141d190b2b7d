"""Queues on a primary that Sentinels watch: found by them, and found again when another takes over."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator

import pytest
from redis import Redis
from redis_queues import KINDS, of_kind, settings_of
from shifting import (
    each_kind_keeps,
    fails,
    numbers,
    persistently,
    receive_all,
    replicated,
    run,
    send,
    source_of,
    together,
)

from brokers import until
from brokers.private_redis_sentinels import PASSWORD, SERVICE, PrivateSentinels, port_of
from contract import queue_contract
from contract.queue_contract import QUEUE_CHECKS
from penstock.api import SettingsError, SourceBroken, SourceDenied, SourceUnavailable
from penstock_redis.plugin import QUEUE
from penstock_redis.settings import check_list_settings, check_queue_settings

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def sentinels() -> Iterator[PrivateSentinels]:
    with PrivateSentinels() as service:
        yield service


@pytest.fixture
def source(sentinels, tmp_path):
    """Makes sources that name no server, only who knows it."""

    def make(**settings):
        return source_of(_connection(sentinels), tmp_path, **settings)

    return make


@pytest.mark.parametrize("check", QUEUE_CHECKS, ids=lambda check: check.__name__)
def test_queues_behind_sentinels_keep_that(check, source):
    run(each_kind_keeps(check, source))


def _connection(service, **settings):
    return {"Sentinels": service.addresses, "SentinelService": SERVICE, **settings}


def _subjects(connection, folder):
    """A queue of each kind."""
    return [of_kind(kind, source_of(connection, folder, **settings_of(kind))) for kind in KINDS]


def test_when_the_primary_is_killed_receives_go_on_at_the_next_and_nothing_it_has_is_lost(tmp_path, caplog):
    raised = []

    async def use(subject, killed):
        async with subject.receiver(lease_ms=30_000) as receiver:
            await send(subject, *sorted(numbers(0, 30)))
            held = await subject.receive(receiver, 5)
            await receiver.ack([message.receipt for message in held[:2]])
            await killed.wait()
            gone = {message.body for message in held}
            assert gone.isdisjoint(await receive_all(receiver, numbers(0, 30) - gone, raised))
            await persistently(lambda: receiver.ack([message.receipt for message in held[2:]]), raised)
            await send(subject, b"after")
            assert await receive_all(receiver, {b"after"}) == [b"after"]
            assert await subject.is_empty(receiver)

    async def work(service):
        killed = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, killed)) for subject in _subjects(_connection(service), tmp_path)]
        await together(killed, using)
        await asyncio.to_thread(replicated, service.servers[0])
        with Redis.from_url(service.servers[1].url) as client:
            client.config_set("maxmemory", "100mb", "maxmemory-policy", "allkeys-lru")
        await asyncio.to_thread(service.servers[0].kill)
        await killed.wait()
        await asyncio.gather(*using)

    with PrivateSentinels() as service:
        run(work(service))
        assert service.primary() is service.servers[1]
    assert raised
    assert all(text.startswith(("queue 'test-", "list 'test-")) and "on service 'orders'" in text for text in raised)
    said = [record.getMessage() for record in caplog.records]
    assert sum("the primary is now" in line for line in said) == len(KINDS)
    assert sum("maxmemory-policy is allkeys-lru" in line for line in said) == len(KINDS)


def test_an_ack_that_the_next_primary_never_heard_of_brings_the_message_again(tmp_path):
    async def use(subject, service):
        async with subject.receiver(lease_ms=30_000) as receiver:
            await send(subject, b"acked")
            (message,) = await subject.receive(receiver, 1)
            await asyncio.to_thread(replicated, service.servers[0])
            yield
            await receiver.ack([message.receipt])
            yield
            # Its owner lives and goes on, so nobody else would ever bring it back; and no receive of its own failed.
            await persistently(receiver.backlog)
            assert await receive_all(receiver, {b"acked"}) == [b"acked"]
            assert await subject.is_empty(receiver)

    async def work(service):
        using = [use(subject, service) for subject in _subjects(_connection(service), tmp_path)]
        for user in using:
            await anext(user)
        with Redis.from_url(service.servers[0].url) as client:
            # Who is connected stays so; the replica is sent away and not let in again.
            client.config_set("requirepass", "closed")
            client.client_kill_filter(_type="replica")
        for user in using:
            await anext(user)
        await asyncio.to_thread(service.servers[0].kill)
        for user in using:
            with contextlib.suppress(StopAsyncIteration):
                await anext(user)

    with PrivateSentinels() as service:
        run(work(service))


def test_a_primary_that_stands_still_is_left_before_its_calls_have_run_out(tmp_path, monkeypatch):
    monkeypatch.setattr("penstock_redis.client.ANSWER_TIMEOUT_S", 600)
    monkeypatch.setattr("penstock_redis.line.ANSWER_TIMEOUT_S", 600)
    monkeypatch.setattr("penstock_redis.client.LATE_S", 0.5)
    raised = []

    async def use(subject, frozen):
        async with subject.receiver(lease_ms=3_000) as receiver:
            waiting = asyncio.create_task(receive_all(receiver, {b"after"}, raised))
            await frozen.wait()
            await send(subject, b"after")
            assert await waiting == [b"after"]

    async def work(service):
        frozen = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, frozen)) for subject in _subjects(_connection(service), tmp_path)]
        await together(frozen, using)
        await asyncio.to_thread(replicated, service.servers[0])
        service.servers[0].freeze()
        await frozen.wait()
        await asyncio.gather(*using)

    with PrivateSentinels() as service:
        run(work(service))
    assert raised


def test_a_demoted_primary_that_keeps_its_connections_is_left_for_the_one_that_the_sentinel_names(tmp_path):
    raised = []

    def demote(service):
        old, new = service.servers
        replicated(old)
        with Redis.from_url(new.url) as client:
            client.replicaof("NO", "ONE")
        with Redis.from_url(old.url) as client:
            client.replicaof("127.0.0.1", port_of(new))
        return new

    async def use(subject, demoted):
        async with subject.receiver(lease_ms=30_000) as receiver:
            await send(subject, b"before")
            await demoted.wait()
            with pytest.raises(SourceUnavailable, match="is a replica by now"):
                await receiver.receive(messages_max=1, wait_ms=2_000)
            await demoted.wait()
            assert await receive_all(receiver, {b"before"}, raised) == [b"before"]

    async def work(service):
        demoted = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, demoted)) for subject in _subjects(_connection(service), tmp_path)]
        await together(demoted, using)
        new = await asyncio.to_thread(demote, service)
        await demoted.wait()
        await together(demoted, using)
        for sentinel in service.sentinels:
            await asyncio.to_thread(sentinel.watch, new)
        await demoted.wait()
        await asyncio.gather(*using)

    with PrivateSentinels() as service:
        run(work(service))


def test_sentinels_that_are_silent_or_gone_are_done_without(tmp_path):
    async def use(service):
        source = source_of(_connection(service), tmp_path)
        async with of_kind("standard", source).receiver() as receiver:
            with Redis.from_url(service.servers[0].url) as client:
                client.xadd(source.settings["Key"], {"body": "one"})
            assert await receive_all(receiver, {b"one"}) == [b"one"]

    with PrivateSentinels() as service:
        service.sentinels[0].freeze()
        service.sentinels[1].remove()
        run(use(service))


# What is refused, and how.


def test_a_service_that_no_sentinel_knows_is_named(source):
    why = r"on service 'payments': the Sentinels know no service 'payments' \(127\.0\.0\.1:\d+"
    fails(SourceBroken, source(SentinelService="payments"), why=why)


def test_sentinels_of_which_none_answers_are_named(source):
    with contextlib.ExitStack() as stack:
        taken = [stack.enter_context(socket.socket()) for _ in range(2)]
        for each in taken:
            each.bind(("127.0.0.1", 0))
        ports = [each.getsockname()[1] for each in taken]
        nobody = source(Sentinels=[f"127.0.0.1:{port}" for port in ports])
        fails(SourceUnavailable, nobody, why=rf"no Sentinel answers: .*{ports[0]}.*\(Connection refused\); ")


def test_a_server_in_place_of_a_sentinel_is_called_one(source, sentinels):
    servers = [f"127.0.0.1:{port_of(server)}" for server in sentinels.servers]
    fails(SourceBroken, source(Sentinels=servers), why="it is a Redis server, and no Sentinel")


def test_a_sentinel_in_place_of_a_server_is_called_one(sentinels, tmp_path):
    source = source_of({"Url": f"redis://{sentinels.addresses[0]}"}, tmp_path)
    fails(SourceBroken, source, why="it is a Sentinel; name it in Sentinels")


@pytest.fixture(scope="module")
def secured() -> Iterator[PrivateSentinels]:
    with PrivateSentinels(secured=True) as service:
        yield service


def _secured(service, folder, **settings):
    server = service.servers[0]
    connection = _connection(
        service,
        Username="admin",
        Password=server.passwords["admin"],
        Tls={"CaFile": server.ca_file},
        SentinelPassword=PASSWORD,
    )
    return source_of({**connection, **settings}, folder)


@pytest.mark.parametrize("check", [queue_contract.an_acked_message_is_gone, queue_contract.the_backlog_counts_messages])
def test_servers_and_sentinels_with_tls_and_passwords_keep_that(check, secured, tmp_path):
    run(check(of_kind("standard", _secured(secured, tmp_path))))


def test_a_user_at_the_sentinels_needs_one_right(secured, tmp_path):
    secured.sentinels[0].allow("asker", "asker-secret", "+sentinel|master")
    source = _secured(secured, tmp_path, SentinelUsername="asker", SentinelPassword="asker-secret")
    run(queue_contract.an_acked_message_is_gone(of_kind("standard", source)))


def test_a_sentinel_that_wants_another_password_says_so(secured, tmp_path):
    why = r"Sentinel 127\.0\.0\.1:\d+: the server .*\(SentinelUsername, SentinelPassword and SentinelTls are for them\)"
    for password in (None, "wrong-secret"):
        fails(SourceDenied, _secured(secured, tmp_path, SentinelPassword=password), why=why)


def test_a_sentinel_that_speaks_tls_only_can_not_be_asked_without(secured, tmp_path):
    fails(SourceUnavailable, _secured(secured, tmp_path, SentinelTls=False), why="no Sentinel answers")


def test_a_primary_that_is_down_without_a_replica_is_said_to_be(secured, tmp_path):
    # The last test of this service: it ends its only server.
    secured.servers[0].kill()
    until(lambda: secured.sentinels[0].facts().get("is_odown"), what="the Sentinel finds its primary down")
    fails(SourceUnavailable, _secured(secured, tmp_path), why=r"the primary 127\.0\.0\.1:\d+ is down, and the Sent")


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"Sentinels": ["h"], "SentinelService": "s", "Url": "redis://h"}, "Url"),
        ({"Sentinels": ["h"], "SentinelService": "s", "Cluster": True}, "Cluster"),
        ({"Sentinels": ["h"]}, "SentinelService"),
        ({"Sentinels": [], "SentinelService": "s"}, "Sentinels"),
        ({"Sentinels": ["h:port"], "SentinelService": "s"}, "Sentinels"),
        ({"Sentinels": ["redis://h:1"], "SentinelService": "s"}, "Sentinels"),
        ({"Sentinels": ["h"], "SentinelService": "s", "SentinelTls": True}, "SentinelTls"),
        ({"Url": "redis://h", "SentinelService": "s"}, "SentinelService"),
        ({"Url": "redis://h", "SentinelUsername": "s"}, "SentinelUsername"),
        ({"Url": "redis://h", "SentinelPassword": "s"}, "SentinelPassword"),
        ({"Url": "redis://h", "SentinelTls": False}, "SentinelTls"),
        ({}, "Url"),
    ],
)
def test_a_mix_of_settings_that_can_not_be_is_refused_by_its_path(settings, path):
    for check in (check_queue_settings, check_list_settings):
        with pytest.raises(SettingsError) as raised:
            check({**settings, "Key": "k"})
        assert raised.value.path == path


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ({"Sentinels": ["a", "b"], "SentinelService": "s"}, {"Sentinels": ["b:26379"], "SentinelService": "s"}, True),
        ({"Sentinels": ["a"], "SentinelService": "s"}, {"Sentinels": ["a"], "SentinelService": "t"}, False),
        ({"Sentinels": ["a"], "SentinelService": "s"}, {"Sentinels": ["c"], "SentinelService": "s"}, False),
        (
            {"Sentinels": ["a"], "SentinelService": "s", "Database": 1},
            {"Sentinels": ["a"], "SentinelService": "s"},
            False,
        ),
        ({"Sentinels": ["a"], "SentinelService": "s"}, {"Url": "redis://a"}, False),
        ({"Url": "redis://a,b:7", "Cluster": True}, {"Url": "redis://b:7,c", "Cluster": True}, True),
    ],
)
def test_sources_are_the_same_queue_where_somebody_in_common_knows_it(one, other, same, tmp_path):
    first, second = (source_of(settings, tmp_path, Key="jobs") for settings in (one, other))

    assert QUEUE.is_same(first, second) is same
