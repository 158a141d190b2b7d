"""What a server or its settings refuse: each is one sentence that says what, where and why."""

from __future__ import annotations

import asyncio
import socket

import pytest
from redis import Redis
from redis_queues import a_list, a_queue, on_server

from brokers import PrivateRedis
from penstock.api import (
    MappingContext,
    Outgoing,
    SettingsError,
    SourceBroken,
    SourceDenied,
    SourceUnavailable,
)
from penstock_redis.settings import check_list_settings, check_queue_settings

pytestmark = pytest.mark.redis


def _mapping(lease_ms=30_000):
    return MappingContext(
        mapping="function.event", uuid="u", node="node", settings={}, buffer_bytes_max=1 << 20, lease_ms=lease_ms
    )


def _fails(kind, subject, *, why):
    """Whoever comes is refused for the same reason: a receiver, a writer, and who only looks."""

    async def receive():
        async with subject.receiver():
            pass

    async def write():
        async with subject.writer():
            pass

    async def look():
        operations = subject.type.operate(subject.source)
        try:
            await operations.check(mapping=_mapping())
        finally:
            await operations.close()

    for comes in (receive, write, look):
        with pytest.raises(kind, match=why) as raised:
            asyncio.run(comes())
        assert "\n" not in str(raised.value)
        assert "secret" not in str(raised.value)


def _secured(redis_tls, user="limited", **settings):
    return {
        "Url": redis_tls.url,
        "Username": user,
        "Password": redis_tls.passwords[user],
        "Tls": {"CaFile": redis_tls.ca_file},
        **settings,
    }


@pytest.mark.parametrize("kind", [a_queue, a_list], ids=["stream", "list"])
def test_a_user_with_the_rights_of_the_readme_can_do_everything(redis_tls, tmp_path, kind):
    settings = _secured(redis_tls)
    subject = kind(on_server(settings.pop("Url"), tmp_path, Key=f"acl-{kind.__name__}", **settings))

    async def work():
        async with subject.writer() as writer, subject.receiver() as first, subject.receiver("other") as other:
            await writer.send([Outgoing(value=b"one"), Outgoing(value=b"late", delay_ms=100)])
            (message,) = await subject.receive(first, 1)
            await first.count([message.receipt], receive_count=2)
            await first.extend([message.receipt], lease_ms=10_000)
            await first.nack([message.receipt], delay_ms=50, counted=True)
            messages = await subject.receive(other, 2)
            assert {message.body: message.receive_count for message in messages} == {b"one": 3, b"late": 1}
            await other.ack([message.receipt for message in messages])
            assert await subject.is_empty(first)
            operations = subject.type.operate(subject.source)
            await operations.check(write=True, mapping=_mapping())
            assert [message async for message in operations.peek(0, limit=1, follow=False)] == []
            await operations.close()

    asyncio.run(work())


def test_a_key_that_the_user_may_not_touch_is_named(redis_tls, tmp_path):
    settings = _secured(redis_tls)
    source = on_server(settings.pop("Url"), tmp_path, Key="other", **settings)
    _fails(SourceDenied, a_queue(source), why=r"queue 'other' on .*: the user has no right to .*keys")


def test_a_wrong_password_is_refused(redis_tls, tmp_path):
    settings = _secured(redis_tls, Password="wrong")
    source = on_server(settings.pop("Url"), tmp_path, **settings)
    _fails(SourceDenied, a_queue(source), why="refused the user or the password")


def test_no_password_where_one_is_wanted_is_refused(redis_tls, tmp_path):
    source = on_server(redis_tls.url, tmp_path, Tls={"CaFile": redis_tls.ca_file})
    _fails(SourceDenied, a_queue(source), why="wants a user and a password")


def test_a_certificate_of_a_strangers_authority_is_refused(redis_tls, stranger_ca_file, tmp_path):
    settings = _secured(redis_tls, Tls={"CaFile": stranger_ca_file})
    source = on_server(settings.pop("Url"), tmp_path, **settings)
    _fails(SourceDenied, a_queue(source), why=r"TLS failed \(.*(signed|issuer)")


def test_a_password_that_nobody_wants_is_refused(redis, tmp_path):
    source = on_server(redis.url, tmp_path, Password="needless-secret")
    _fails(SourceDenied, a_queue(source), why="no password set")


def test_plain_words_to_a_tls_port_are_a_connection_that_fails(redis_tls, tmp_path):
    source = on_server(redis_tls.url.replace("rediss", "redis"), tmp_path)
    _fails(SourceUnavailable, a_queue(source), why="can not be reached")


def test_a_port_where_nobody_listens_is_named(tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        source = on_server(f"redis://127.0.0.1:{port}", tmp_path)
        _fails(
            SourceUnavailable, a_queue(source), why=rf"127\.0\.0\.1:{port}: the server can not be reached \(.*refused"
        )


def test_a_database_that_is_not_there_is_refused(redis, tmp_path):
    source = on_server(redis.url, tmp_path, Database=4711)
    _fails(SourceBroken, a_queue(source), why="no database of that number")


@pytest.mark.parametrize(("kind", "why"), [(a_queue, "holds a string"), (a_list, "holds a string")])
def test_a_key_of_another_type_is_refused(queue_source, server, kind, why):
    source = queue_source()
    server.set(source.settings["Key"], "text")
    _fails(SourceBroken, kind(source), why=why)


def test_state_of_a_newer_format_is_refused_with_both_numbers(queue_source, server):
    source = queue_source()
    key = source.settings["Key"]
    server.hset(f"penstock:{{{key}}}:{key}:tests:meta", "format", "7")

    async def look():
        async with a_queue(source).receiver():
            pass

    with pytest.raises(SourceBroken, match="format 7; this one knows up to 1"):
        asyncio.run(look())


def test_a_server_that_is_full_takes_nothing_and_is_still_emptied(private_redis, tmp_path):
    redis = private_redis(persistent=False)
    subject = a_queue(on_server(redis.url, tmp_path))

    async def work():
        async with subject.writer() as writer, subject.receiver() as first:
            await writer.send([Outgoing(value=b"v" * 1000)] * 50)
            with Redis.from_url(redis.url) as client:
                client.config_set("maxmemory", 1)
            with pytest.raises(SourceUnavailable, match="reached its maxmemory"):
                await writer.send([Outgoing(value=b"more")])
            messages = await subject.receive(first, 50)
            await first.nack([messages[0].receipt], delay_ms=0, counted=True)
            await first.ack([message.receipt for message in messages[1:]])
            (again,) = await subject.receive(first, 1)
            assert again.receive_count == 2
            await first.ack([again.receipt])
            assert await subject.is_empty(first)

    asyncio.run(work())


def test_a_replica_is_no_place_to_receive_from(private_redis, tmp_path):
    primary, replica = private_redis(persistent=False), private_redis(persistent=False)
    with Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", int(primary.url.rpartition(":")[2]))
    _fails(
        SourceUnavailable,
        a_queue(on_server(replica.url, tmp_path)),
        why="read-only replica; the Url has to name its primary",
    )


def test_a_server_that_may_drop_keys_or_forget_them_is_warned_of(private_redis, tmp_path, caplog):
    redis = private_redis(persistent=False, config={"maxmemory-policy": "allkeys-lru", "maxmemory": "100mb"})

    async def work():
        async with a_queue(on_server(redis.url, tmp_path)).receiver():
            pass

    asyncio.run(work())
    warnings = [record.getMessage() for record in caplog.records]
    assert any("maxmemory-policy is allkeys-lru" in warning for warning in warnings)
    assert any("no append-only file" in warning for warning in warnings)


def test_a_server_whose_provider_took_info_away_is_used_without(tmp_path):
    (tmp_path / "provider.conf").write_text('rename-command INFO ""\nrename-command CONFIG ""\n')

    async def work(url):
        subject = a_queue(on_server(url, tmp_path))
        async with subject.writer() as writer, subject.receiver() as receiver:
            await writer.send([Outgoing(value=b"one")])
            (message,) = await subject.receive(receiver, 1)
            await receiver.ack([message.receipt])

    with PrivateRedis(persistent=False, config={"include": str(tmp_path / "provider.conf")}) as redis:
        asyncio.run(work(redis.url))


def test_a_server_below_the_version_needed_is_refused_with_both_versions(redis, tmp_path, monkeypatch):
    # No older server is at hand: what it says of itself is put into the mouth of this one.
    monkeypatch.setattr("penstock_redis.server.VERSION_LEAST", (99, 0))
    _fails(SourceBroken, a_queue(on_server(redis.url, tmp_path)), why=r"is Redis \d+\.\d+.*; 99\.0 or later is needed")


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"Url": "http://h", "Key": "k"}, "Url"),
        ({"Url": "redis://h:port", "Key": "k"}, "Url"),
        ({"Url": "redis://h/x", "Key": "k"}, "Url"),
        ({"Url": "redis://h/1", "Key": "k", "Database": 2}, "Database"),
        ({"Url": "redis://h?x=1", "Key": "k"}, "Url"),
        ({"Url": "unix:///s", "Key": "k", "Tls": {}}, "Tls"),
        ({"Url": "rediss://h", "Key": "k", "Tls": {"CaFile": "/nowhere"}}, "Tls.CaFile"),
        ({"Url": "rediss://h", "Key": "k", "Tls": {"CertFile": __file__}}, "Tls.KeyFile"),
        ({"Url": "rediss://h", "Key": "k", "Tls": {"CaFile": __file__}}, "Tls.CaFile"),
        ({"Url": "redis://h", "Key": ""}, "Key"),
        ({"Url": "redis://h", "Key": "penstock:x"}, "Key"),
        ({"Url": "redis://h", "Key": "k", "ConsumerGroup": "a b"}, "ConsumerGroup"),
        ({"Url": "redis://h", "Key": "k", "GroupFrom": "customer"}, "GroupFrom"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_by_its_path(settings, path):
    with pytest.raises(SettingsError) as raised:
        check_queue_settings(settings)
    assert raised.value.path == path


def test_a_list_is_no_fifo_queue():
    with pytest.raises(SettingsError, match="use a source of type redis-queue"):
        check_list_settings({"Url": "redis://h", "Key": "k", "FifoQueue": True})
