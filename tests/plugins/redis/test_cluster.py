"""Queues in a Redis Cluster: on the node that has their slot, wherever that goes."""

from __future__ import annotations

import asyncio
import socket
import uuid
from collections.abc import Iterator

import pytest
from local_brokers.process import pick_ports
from local_brokers.redis import LIMITED_RIGHTS
from redis import Redis
from redis.crc import key_slot
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
from brokers.private_redis_cluster import PrivateCluster
from brokers.private_redis_sentinels import port_of
from contract import queue_contract
from contract.queue_contract import QUEUE_CHECKS
from penstock.api import Outgoing, SettingsError, SourceBroken, SourceDenied, SourceUnavailable, Start
from penstock_redis.client import Client
from penstock_redis.settings import QueueSettings, check_list_settings, check_queue_settings

pytestmark = pytest.mark.redis


@pytest.fixture(scope="module")
def cluster() -> Iterator[PrivateCluster]:
    with PrivateCluster() as cluster:
        yield cluster


@pytest.fixture
def source(cluster, tmp_path):
    """Makes sources that name two seeds."""

    def make(**settings):
        return source_of(_in_cluster(cluster), tmp_path, **settings)

    return make


@pytest.mark.parametrize("check", QUEUE_CHECKS, ids=lambda check: check.__name__)
def test_queues_in_a_cluster_keep_that(check, source):
    run(each_kind_keeps(check, source))


def _in_cluster(cluster, **settings):
    seeds = ",".join(f"127.0.0.1:{port_of(node)}" for node in cluster.nodes[:2])
    return {"Url": f"redis://{seeds}", "Cluster": True, **settings}


def _subjects(cluster, folder, tag):
    """A queue of each kind, all in one slot."""
    return [
        of_kind(kind, source_of(_in_cluster(cluster), folder, Key=f"{{{tag}}}{kind}", **settings_of(kind)))
        for kind in KINDS
    ]


@pytest.fixture
def tag():
    """What the keys of a test's queues have in braces."""
    return f"tag-{uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("key", ["plain", "{tag}key", "a{tag}b", "{{tag}a", "a{b", "with space", "ünï"])
def test_whatever_the_keys_name_all_keys_of_a_queue_are_in_its_slot(key, cluster, tmp_path):
    async def work():
        for kind in KINDS:
            subject = of_kind(kind, source_of(_in_cluster(cluster), tmp_path, Key=f"{key}-{kind}", **settings_of(kind)))
            async with subject.writer() as writer, subject.receiver() as receiver:
                await writer.send([Outgoing(value=b"now"), Outgoing(value=b"late", delay_ms=50)])
                assert sorted(await receive_all(receiver, {b"now", b"late"})) == [b"late", b"now"]

    run(work())


def test_an_operator_can_make_check_and_look_at_a_queue(source):
    subject = of_kind("standard", source())

    async def work():
        operations = subject.type.operate(subject.source)
        try:
            assert await operations.create()
            await operations.check(write=True)
            following = operations.peek(Start("LATEST"), limit=1, follow=True)
            shown = asyncio.create_task(anext(following))
            await asyncio.sleep(0.2)
            await send(subject, b"one")
            assert (await shown).body == b"one"
            await following.aclose()
        finally:
            await operations.close()

    run(work())


def test_when_the_owner_is_killed_receives_go_on_at_its_replica_and_nothing_it_has_is_lost(tmp_path, caplog, tag):
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

    async def work(cluster):
        killed = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, killed)) for subject in _subjects(cluster, tmp_path, tag)]
        await together(killed, using)
        owner = cluster.owner(tag)
        await asyncio.to_thread(replicated, owner)
        await asyncio.to_thread(owner.kill)
        await killed.wait()
        await asyncio.gather(*using)
        assert cluster.owner(tag) is cluster.replica_of(owner)

    with PrivateCluster() as cluster:
        run(work(cluster))
    assert raised
    assert all(text.startswith(("queue '{tag-", "list '{tag-")) and "on cluster 127.0.0.1:" in text for text in raised)
    lines = [record.getMessage() for record in caplog.records if "the node of its slot" in record.getMessage()]
    assert len(lines) == len(KINDS)


def test_an_owner_that_stands_still_is_left_before_its_calls_have_run_out(tmp_path, monkeypatch, tag):
    monkeypatch.setattr("penstock_redis.client.ANSWER_TIMEOUT_S", 600)
    monkeypatch.setattr("penstock_redis.line.ANSWER_TIMEOUT_S", 600)
    monkeypatch.setattr("penstock_redis.client.LATE_S", 0.5)

    async def use(subject, frozen):
        async with subject.receiver(lease_ms=3_000) as receiver:
            waiting = asyncio.create_task(receive_all(receiver, {b"after"}))
            await frozen.wait()
            await send(subject, b"after")
            assert await waiting == [b"after"]

    async def work(cluster):
        frozen = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, frozen)) for subject in _subjects(cluster, tmp_path, tag)]
        await together(frozen, using)
        owner = cluster.owner(tag)
        await asyncio.to_thread(replicated, owner)
        owner.freeze()
        await frozen.wait()
        await asyncio.gather(*using)

    with PrivateCluster() as cluster:
        run(work(cluster))


def test_a_slot_that_moves_keeps_its_queues_waiting_until_they_are_there(cluster, tmp_path, tag):
    raised = []

    async def use(subject, moving):
        async with subject.receiver(lease_ms=30_000) as receiver:
            await send(subject, *sorted(numbers(0, 20)))
            held = await subject.receive(receiver, 5)
            await moving.wait()
            with pytest.raises(SourceUnavailable, match="slot is being moved to another node"):
                await receiver.ack([message.receipt for message in held])
            waiting = asyncio.create_task(receive_all(receiver, numbers(0, 20) - _bodies(held), raised))
            await moving.wait()
            assert _bodies(held).isdisjoint(await waiting)
            await persistently(lambda: receiver.ack([message.receipt for message in held]), raised)
            await send(subject, b"after")
            assert await receive_all(receiver, {b"after"}) == [b"after"]
            assert await subject.is_empty(receiver)

    async def work():
        moving = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, moving)) for subject in _subjects(cluster, tmp_path, tag)]
        await together(moving, using)
        target = next(node for node in cluster.nodes[:3] if node is not cluster.owner(tag))
        source = cluster.begin_to_move(tag, target)
        assert cluster.move_keys(tag, source, target, count=5) == 5
        await moving.wait()
        await together(moving, using)
        while cluster.move_keys(tag, source, target):
            pass
        cluster.end_move(tag, target)
        await moving.wait()
        await asyncio.gather(*using)
        assert cluster.owner(tag) is target

    run(work())


def test_slots_may_move_to_and_fro_under_receivers_that_wait(cluster, tmp_path, tag):
    async def use(subject, begun):
        async with subject.receiver(lease_ms=30_000) as receiver:
            waiting = asyncio.create_task(receive_all(receiver, numbers(0, 10)))
            await begun.wait()
            for number in range(10):
                await send(subject, str(number).encode())
            assert set(await waiting) == numbers(0, 10)
            assert await persistently(lambda: subject.is_empty(receiver))

    def move():
        for target in (*cluster.nodes[:3], cluster.nodes[0]):
            if target is not cluster.owner(tag):
                source = cluster.begin_to_move(tag, target)
                while cluster.move_keys(tag, source, target, count=3):
                    pass
                cluster.end_move(tag, target)
                until(lambda: cluster.owner(tag), what="all know the slot's owner")

    async def work():
        begun = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, begun)) for subject in _subjects(cluster, tmp_path, tag)]
        await begun.wait()
        await asyncio.to_thread(move)
        await asyncio.gather(*using)

    run(work())


def test_a_failover_that_an_operator_asks_for_repeats_nothing(tmp_path, cluster, tag):
    async def use(subject, changed):
        async with subject.receiver(lease_ms=30_000) as receiver:
            await send(subject, *sorted(numbers(0, 10)))
            held = await subject.receive(receiver, 3)
            await receiver.ack([message.receipt for message in held])
            await changed.wait()
            assert sorted([*_bodies(held), *await receive_all(receiver, numbers(0, 10) - _bodies(held))]) == sorted(
                numbers(0, 10)
            )

    async def work():
        changed = asyncio.Barrier(len(KINDS) + 1)
        using = [asyncio.create_task(use(subject, changed)) for subject in _subjects(cluster, tmp_path, tag)]
        await together(changed, using)
        replica = cluster.replica_of(cluster.owner(tag))
        cluster.call(replica, "CLUSTER", "FAILOVER")
        await asyncio.to_thread(until, lambda: cluster.owner(tag) is replica, what="the replica is the owner")
        await changed.wait()
        await asyncio.gather(*using)

    run(work())


def _bodies(messages):
    return {message.body for message in messages}


# What is refused, and how.


def _limited(cluster, rights):
    """A user on each node, with some rights; gives the settings that name it."""
    for node in cluster.nodes:
        with Redis.from_url(node.url) as client:
            client.execute_command("ACL", "SETUSER", "limited", "reset", "on", ">limited-secret", *rights.split())
    return _in_cluster(cluster, Username="limited", Password="limited-secret")


def test_a_user_with_the_rights_of_the_readme_can_use_a_queue_and_follow_its_slot(cluster, tmp_path):
    source = source_of(_limited(cluster, f"{LIMITED_RIGHTS} +cluster|slots +asking"), tmp_path, Key="acl-jobs")
    subject = of_kind("standard", source)

    async def work():
        async with subject.writer() as writer, subject.receiver() as receiver:
            await writer.send([Outgoing(value=b"one"), Outgoing(value=b"two")])
            (first,) = await subject.receive(receiver, 1)
            target = next(node for node in cluster.nodes[:3] if node is not cluster.owner("acl-jobs"))
            owner = cluster.begin_to_move("acl-jobs", target)
            while cluster.move_keys("acl-jobs", owner, target):
                pass
            cluster.end_move("acl-jobs", target)
            await persistently(lambda: receiver.ack([first.receipt]))
            assert await receive_all(receiver, {b"one", b"two"} - {first.body}) == [
                body for body in (b"one", b"two") if body != first.body
            ]

    run(work())


def test_a_user_who_may_not_ask_the_cluster_is_told_which_right_is_missing(cluster, tmp_path):
    source = source_of(_limited(cluster, LIMITED_RIGHTS), tmp_path, Key="acl-jobs")
    fails(SourceDenied, source, why=r"node 127\.0\.0\.1:\d+: the user has no right to the command CLUSTER\|SLOTS")


def test_one_seed_that_lives_is_enough(cluster, tmp_path):
    port = port_of(cluster.nodes[0])
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        nobody = taken.getsockname()[1]
        seeds = source_of({"Url": f"redis://127.0.0.1:{nobody},127.0.0.1:{port}", "Cluster": True}, tmp_path)
        run(queue_contract.an_acked_message_is_gone(of_kind("standard", seeds)))
        dead = source_of({"Url": f"redis://127.0.0.1:{nobody}", "Cluster": True}, tmp_path)
        why = rf"no node of the cluster answers: node 127\.0\.0\.1:{nobody}: .*\(Connection refused\)"
        fails(SourceUnavailable, dead, why=why)


def test_a_node_of_a_cluster_is_no_server_of_its_own(cluster, source):
    fails(
        SourceBroken,
        source(Url=cluster.nodes[0].url, Cluster=False),
        why="it is a node of a Redis Cluster; set `Cluster: true`",
    )


def test_a_server_without_cluster_mode_is_no_cluster(private_redis, tmp_path):
    source = source_of({"Url": private_redis(persistent=False).url, "Cluster": True}, tmp_path)
    fails(SourceBroken, source, why="cluster mode is off there; leave out `Cluster`")


def test_a_cluster_that_serves_no_such_slot_or_none_at_all_is_down(private_redis, tmp_path):
    node = private_redis(persistent=False, config={"cluster-enabled": "yes", "cluster-port": str(pick_ports(0)[0])})
    source = source_of({"Url": node.url, "Cluster": True}, tmp_path, Key="jobs")
    fails(SourceUnavailable, source, why=f"no node of the cluster serves the queue's slot {key_slot(b'jobs')}")
    with Redis.from_url(node.url) as client:
        client.execute_command("CLUSTER", "ADDSLOTS", key_slot(b"jobs"))
    fails(SourceUnavailable, source, why="the cluster is down")


def test_keys_of_several_slots_are_said_to_be(cluster, tmp_path):
    async def work():
        settings = QueueSettings.of(source_of(_in_cluster(cluster), tmp_path, Key="one"))
        client = Client(settings.address, settings.place)
        try:
            with pytest.raises(SourceBroken, match="the queue's keys are in several slots"):
                await client.call("XREAD", "STREAMS", "one", "other", "0", "0")
        finally:
            await client.close()

    run(work())


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"Url": "redis://h/1", "Cluster": True}, "Url"),
        ({"Url": "redis://h", "Database": 1, "Cluster": True}, "Database"),
        ({"Url": "unix:///s", "Cluster": True}, "Cluster"),
        ({"Url": "redis://h,i"}, "Url"),
        ({"Url": "redis://h,i:port", "Cluster": True}, "Url"),
        ({"Url": "redis://h", "Cluster": True, "Key": "a}b"}, "Key"),
        ({"Url": "redis://h", "Cluster": True, "Key": "a{}b"}, "Key"),
        ({"Cluster": True}, "Url"),
    ],
)
def test_a_mix_of_settings_that_can_not_be_is_refused_by_its_path(settings, path):
    for check in (check_queue_settings, check_list_settings):
        with pytest.raises(SettingsError) as raised:
            check({"Key": "k", **settings})
        assert raised.value.path == path
