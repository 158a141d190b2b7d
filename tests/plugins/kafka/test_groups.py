"""Sharing a topic between nodes: rebalances, restarts, and commits that come too late."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer
from small_engine import Kafka, eventually

from brokers.clients import Produced, committed_offsets, produce
from penstock.api import Checkpoint, CommitRefused, SourceBroken, SourceError

pytestmark = pytest.mark.kafka

PROTOCOLS = ("classic", "consumer")


class Node:
    """A process of `node.py`, and what it has said."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.said: list[dict[str, Any]] = []
        self._task = asyncio.create_task(self._listen())

    async def says(self, fact: str, *, within_s: float = 30) -> list[dict[str, Any]]:
        try:
            await eventually(lambda: self.heard(fact), f"the node says {fact!r}", within_s=within_s)
        except AssertionError as never:
            raise AssertionError(f"{never}; it said {self.said[-8:]}") from None
        return self.heard(fact)

    def heard(self, fact: str) -> list[dict[str, Any]]:
        return [said for said in self.said if fact in said]

    async def end(self) -> None:
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        await self._task

    async def _listen(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(json.loads(line))


@asynccontextmanager
async def node(on_kafka: Kafka, topic: str, name: str, **settings: Any) -> AsyncIterator[Node]:
    """Run a reader in a process of its own until the block ends; then it is killed."""
    script = Path(__file__).with_name("node.py")
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(script),
        on_kafka.address,
        topic,
        on_kafka.group,
        name,
        json.dumps(settings),
        stdout=asyncio.subprocess.PIPE,
    )
    running = Node(process)
    try:
        yield running
    finally:
        await running.end()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_second_node_takes_half_and_goes_on_from_the_commit_of_the_first(
    on_kafka: Any, topic: Callable[..., str], protocol: str
) -> None:
    name = topic(partitions=2)
    produce(on_kafka.address, name, [Produced(b"v", partition=n % 2) for n in range(20)])
    how = {"mapping": {"GroupProtocol": protocol, "RevocationGraceSeconds": 5}}

    async def run() -> None:
        async with on_kafka.reading(name, node="a", hold_revoked=True, **how) as first:
            await first.has_shards(2)
            await first.read(20)
            async with on_kafka.reading(name, node="b", **how) as second:
                await eventually(lambda: first.revoked, "a shard is revoked")
                (moving,) = first.revoked[0].shards
                assert first.revoked[0].grace_ms == 5000
                # The invocation that runs has its grace: its commit counts, and the shard moves only when let go of.
                await first.reader.commit(moving, Checkpoint(7, "finished in the grace"))
                assert moving not in second.assigned
                await first.reader.release([moving])
                await second.has_shards(1)
                assert second.assigned[moving].checkpoint == Checkpoint(7, "finished in the grace")
                assert [record.position for record in await second.read(2)] == [8, 9]
                with pytest.raises(CommitRefused, match="no longer ours"):
                    await first.reader.commit(moving, Checkpoint(9, "too late"))
                (staying,) = first.positions
                await first.reader.commit(staying, Checkpoint(9))
            assert committed_offsets(on_kafka.address, on_kafka.group, name)[int(moving[-1])][0] == 8

    asyncio.run(run())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_partition_that_moves_before_anything_was_read_of_it_is_read_by_its_new_owner_alone(
    on_kafka: Any, topic: Callable[..., str], protocol: str
) -> None:
    name = topic(partitions=2)
    produce(on_kafka.address, name, [Produced(b"v", partition=n % 2) for n in range(20)])
    how = {"mapping": {"GroupProtocol": protocol}}

    async def run() -> None:
        async with on_kafka.reading(name, node="b", **how) as second:
            async with on_kafka.reading(name, node="a", **how) as first:
                await eventually(lambda: len(first.positions) == len(second.positions) == 1, "each has one")
                assert not first.positions.keys() & second.positions.keys()
                assert {record.position for record in await first.read(10)} == set(range(10))
                assert first.records.keys() == first.positions.keys()
            if protocol == "consumer":
                # A static member that leaves keeps its partitions for its session; one of this protocol does not.
                await second.has_shards(2)
            records = await second.read(10 * len(second.positions))
            assert [record.position for record in records] == [*range(10)] * len(second.positions)

    asyncio.run(run())


def test_a_revoked_shard_that_is_not_released_moves_after_its_grace(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    how = {"mapping": {"RevocationGraceSeconds": 1}}

    async def run() -> None:
        async with (
            on_kafka.reading(name, node="a", hold_revoked=True, **how) as first,
            on_kafka.reading(name, node="b", **how) as second,
        ):
            await second.has_shards(1)
            await first.has_shards(1)
            for event in first.revoked:
                for shard in event.shards:
                    with pytest.raises(CommitRefused):
                        await first.reader.commit(shard, Checkpoint(-1))

    asyncio.run(run())


def test_a_killed_node_has_its_partitions_back_at_once_when_it_is_restarted(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=4)

    async def run() -> None:
        async with node(on_kafka, name, "a") as killed:
            await eventually(lambda: len(killed.heard("assigned")) == 4, "the node has its partitions")
            killed.process.send_signal(signal.SIGKILL)
            await killed.process.wait()
            begun_s = time.monotonic()
            async with on_kafka.reading(name, node="a") as reading:
                await reading.has_shards(4, within_s=5)
            assert time.monotonic() - begun_s < 5, "its session would have lasted ten seconds"

    asyncio.run(run())


def test_a_node_woken_after_its_session_changes_nothing(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"v", partition=0) for _ in range(10)])
    shard = f"{name}-0"
    how = {"SessionTimeoutSeconds": 6}

    async def run() -> None:
        async with node(on_kafka, name, "sleeper", restless=True, **how) as sleeper:
            await eventually(lambda: sleeper.heard("position") and sleeper.said[-1].get("position") == 9, "it has read")
            sleeper.process.send_signal(signal.SIGSTOP)
            async with on_kafka.reading(name, node="other", mapping=how) as reading:
                await reading.has_shards(1)
                await reading.reader.commit(shard, Checkpoint(4, "of the new owner"))
                said = len(sleeper.said)
                sleeper.process.send_signal(signal.SIGCONT)
                await sleeper.says("lost")
                await eventually(lambda: committed(on_kafka, name), "the broker answers")
                assert committed(on_kafka, name) == (5, "penstock:1:1:of the new owner")
                assert not [one for one in sleeper.said[said:] if "committed" in one]
                await reading.reader.commit(shard, Checkpoint(5, "still the owner"))

    asyncio.run(run())


def test_a_node_woken_after_its_session_holds_nothing_before_it_hears_of_its_loss(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"v", partition=0) for _ in range(10)])
    shard = f"{name}-0"
    how = {"SessionTimeoutSeconds": 6}

    async def run() -> None:
        async with node(on_kafka, name, "sleeper", restless=True, **how) as sleeper:
            await sleeper.says("holds")
            await eventually(lambda: sleeper.heard("position") and sleeper.said[-1].get("position") == 9, "it has read")
            sleeper.process.send_signal(signal.SIGSTOP)
            async with on_kafka.reading(name, node="other", mapping=how) as reading:
                await reading.has_shards(1)
                assert reading.reader.holds(shard)
                said = len(sleeper.said)
                sleeper.process.send_signal(signal.SIGCONT)
                await sleeper.says("lost")
                # Its first look at its clock tells it, whether it hears of the loss before or after that.
                assert await sleeper.says("woke") == [{"woke": []}]
                assert not [one for one in sleeper.said[said:] if one.get("holds")]
                assert reading.reader.holds(shard)

    asyncio.run(run())


@pytest.mark.parametrize(("protocol", "still_s"), [("classic", 3.5), ("consumer", 6)])
def test_a_node_that_stood_still_and_lost_nothing_is_sure_again_when_the_group_has_named_it(
    on_kafka: Any, topic: Callable[..., str], protocol: str, still_s: float
) -> None:
    name = topic()
    shard = f"{name}-0"
    how: dict[str, Any] = {"GroupProtocol": protocol}
    if protocol == "classic":
        how["SessionTimeoutSeconds"] = 6

    async def run() -> None:
        async with node(on_kafka, name, "dozer", restless=True, **how) as dozer:
            await dozer.says("committed")
            assert dozer.heard("holds") == [{"holds": [shard]}]
            dozer.process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(still_s)  # not a wait for anything: this is how long it stands still
            said = len(dozer.said)
            dozer.process.send_signal(signal.SIGCONT)
            await eventually(lambda: len(dozer.heard("holds")) == 3, "it is sure again")
            assert dozer.heard("woke") == [{"woke": []}]
            assert dozer.heard("holds")[1:] == [{"holds": []}, {"holds": [shard]}]
            # It commits all the time, and did not meanwhile; what waited may be answered just before it looks again.
            since = [next(iter(one)) for one in dozer.said[said:]]
            first = since.index("holds")
            assert since[first : since.index("holds", first + 1)].count("committed") <= 2
            committed_before = len(dozer.heard("committed"))
            await eventually(lambda: len(dozer.heard("committed")) > committed_before, "it commits again")
            assert not dozer.heard("lost")

    asyncio.run(run())


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_node_for_which_no_partition_is_left_hears_that_there_is_none(
    on_kafka: Any, topic: Callable[..., str], protocol: str
) -> None:
    name = topic()
    how = {"mapping": {"GroupProtocol": protocol}}

    async def run() -> None:
        async with on_kafka.reading(name, node="a", **how) as first:
            await first.has_shards(1)
            async with on_kafka.reading(name, node="b", **how) as spare:
                await eventually(lambda: spare.is_told, "the spare node hears that nothing is left for it")
                assert not spare.assigned
                assert not first.lost
                await first.commit_all("of the one that has it")

    asyncio.run(run())


def committed(on_kafka: Kafka, name: str) -> tuple[int, str]:
    return committed_offsets(on_kafka.address, on_kafka.group, name)[0]


def test_two_nodes_of_one_id_are_told_apart(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name, node="twin") as first:
            await first.has_shards(1)
            async with on_kafka.reading(name, node="twin") as second:
                await second.has_shards(1)
                await eventually(lambda: first.failure, "the first hears of it")
                assert isinstance(first.failure, SourceBroken)
                assert "each node needs a data directory of its own" in str(first.failure)
                with pytest.raises(SourceError):
                    await first.reader.commit(f"{name}-0", Checkpoint(3))
                assert committed_offsets(on_kafka.address, on_kafka.group, name) == {}

    asyncio.run(run())


def test_a_group_with_another_assignor_is_refused_with_what_to_do(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    other = Consumer(
        {
            "bootstrap.servers": on_kafka.address,
            "group.id": on_kafka.group,
            "partition.assignment.strategy": "range",
        }
    )
    other.subscribe([name])
    deadline_s = time.monotonic() + 20
    while not other.assignment():
        assert time.monotonic() < deadline_s
        other.poll(0.1)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await eventually(lambda: other.poll(0.01) or reading.failure, "the group refuses us")
            assert isinstance(reading.failure, SourceBroken)
            assert "cooperative-sticky; give this mapping a ConsumerGroupId of its own" in str(reading.failure)

    try:
        asyncio.run(run())
    finally:
        other.close()


def test_many_commits_at_once_are_all_answered(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=8)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(8)
            for note in range(20):
                await reading.commit_all(f"{note}")
        found = committed_offsets(on_kafka.address, on_kafka.group, name)
        assert found == dict.fromkeys(range(8), (0, "penstock:1:8:19"))

    asyncio.run(run())
