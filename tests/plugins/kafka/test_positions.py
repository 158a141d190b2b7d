"""Looking at a group's offsets from outside, moving them while it has no member, and leaving it for good."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from small_engine import eventually

from brokers.clients import Produced, admin, committed_offsets, produce
from penstock.api import Checkpoint, Positions, SourceMissing, SourceUnavailable, Start, StillRead
from penstock_kafka import plugin

pytestmark = pytest.mark.kafka

MEGABYTE = 1_000_000
SESSION_S = 6
"""The shortest session that a broker allows by default."""


@contextlib.asynccontextmanager
async def positions(on_kafka: Any, name: str, *, node: str = "node-a") -> AsyncIterator[Positions]:
    opened = plugin.open_positions(
        on_kafka.source(name), on_kafka.mapping(node=node, buffer_bytes_max=MEGABYTE, settings=None)
    )
    try:
        yield opened
    finally:
        await opened.close()


def members(address: str, group: str) -> list[str | None]:
    # Held until it has answered.
    client = admin(address)
    return [each.group_instance_id for each in client.describe_consumer_groups([group])[group].result(10).members]


def test_every_partition_is_told_with_what_is_committed_for_it(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=3)

    async def run() -> None:
        async with positions(on_kafka, name) as opened:
            assert await opened.committed() == {f"{name}-0": None, f"{name}-1": None, f"{name}-2": None}
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(3)
            await reading.reader.commit(f"{name}-1", Checkpoint(7, "a note"))
            await reading.reader.commit(f"{name}-2", Checkpoint(-1))
        async with positions(on_kafka, name) as opened:
            found = await opened.committed()
            assert list(found) == [f"{name}-0", f"{name}-1", f"{name}-2"]
            assert list(found.values()) == [None, Checkpoint(7, "a note"), Checkpoint(-1)]

    asyncio.run(run())


def test_a_moved_position_is_where_the_next_reader_begins_without_the_note(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=2)
    produce(on_kafka.address, name, [Produced(b"v", partition=number % 2) for number in range(20)])

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            await reading.read(20)
            await reading.commit_all("a note")
            await reading.reader.leave()
        async with positions(on_kafka, name) as opened:
            await opened.write({f"{name}-0": Checkpoint(2), f"{name}-1": Checkpoint(-1)})
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            assert {shard.checkpoint for shard in reading.assigned.values()} == {Checkpoint(2), Checkpoint(-1)}
            await reading.read(17)
            assert {shard: records[0].position for shard, records in reading.records.items()} == {
                f"{name}-0": 3,
                f"{name}-1": 0,
            }

    asyncio.run(run())


def test_a_partition_that_was_not_moved_and_has_no_offset_is_still_new_to_the_mapping(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=2)

    async def run() -> None:
        async with positions(on_kafka, name) as opened:
            await opened.write({f"{name}-0": Checkpoint(-1)})
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            # The mapping knew of both: the one without an offset begins at the StartingPosition, not at its oldest.
            assert not reading.assigned[f"{name}-1"].appeared_later

    asyncio.run(run())


def test_starts_are_resolved_as_for_a_reader(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"v", partition=0, timestamp_ms=1000 + n) for n in range(5)])

    async def run() -> None:
        async with positions(on_kafka, name) as opened:
            starts = (Start("TRIM_HORIZON"), Start("AT_TIMESTAMP", 1003), Start("LATEST"), Start("AT_TIMESTAMP", 9000))
            assert [await opened.resolve(f"{name}-0", start) for start in starts] == [-1, 2, 4, 4]

    asyncio.run(run())


def test_nothing_moves_while_another_node_is_in_the_group_and_the_refusal_names_it(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name, node="node-b") as reading, positions(on_kafka, name) as opened:
            await reading.has_shards(1)
            await reading.reader.commit(f"{name}-0", Checkpoint(7))
            with pytest.raises(StillRead, match=r"still has members \(penstock\.node-b\..* on /127\.0\.0\.1\)"):
                await opened.write({f"{name}-0": Checkpoint(2)})
            assert await opened.committed() == {f"{name}-0": Checkpoint(7)}
            await reading.reader.leave()
        async with positions(on_kafka, name) as opened:
            await opened.write({f"{name}-0": Checkpoint(2)})

    asyncio.run(run())
    assert committed_offsets(on_kafka.address, on_kafka.group, name)[0][0] == 3


def test_a_member_that_joined_after_we_looked_is_not_overtaken(
    on_kafka: Any, topic: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name, node="node-b") as reading, positions(on_kafka, name) as opened:
            await reading.has_shards(1)
            await reading.reader.commit(f"{name}-0", Checkpoint(7))
            monkeypatch.setattr(type(opened), "_wait_until_free", lambda _: None)
            with pytest.raises(StillRead, match="it was joined at this moment"):
                await opened.write({f"{name}-0": Checkpoint(2)})
            assert await opened.committed() == {f"{name}-0": Checkpoint(7)}

    asyncio.run(run())


def test_a_reader_that_leaves_is_gone_at_once_and_one_that_is_closed_alone_has_its_place_kept(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=2)
    mapping = {"SessionTimeoutSeconds": SESSION_S}

    async def run() -> None:
        async with on_kafka.reading(name, mapping=mapping) as reading:
            await reading.has_shards(2)
        assert len(members(on_kafka.address, on_kafka.group)) == 1
        async with on_kafka.reading(name, mapping=mapping) as reading:
            await reading.has_shards(2)
            await reading.reader.release(list(reading.positions))
            await reading.reader.leave()
        assert members(on_kafka.address, on_kafka.group) == []

    asyncio.run(run())


def test_under_the_other_protocol_a_reader_is_gone_and_its_position_can_be_moved_as_well(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name, node="node-b", mapping={"GroupProtocol": "consumer"}) as reading:
            await reading.has_shards(1)
            await reading.reader.commit(f"{name}-0", Checkpoint(7))
            async with positions(on_kafka, name) as opened:
                with pytest.raises(StillRead, match="still has members"):
                    await opened.write({f"{name}-0": Checkpoint(2)})
            await reading.reader.leave()
        async with positions(on_kafka, name) as opened:
            await opened.write({f"{name}-0": Checkpoint(2)})
            assert await opened.committed() == {f"{name}-0": Checkpoint(2)}

    asyncio.run(run())


def test_partitions_of_a_reader_that_leaves_are_anothers_without_waiting_for_the_session(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=2)
    # Who stays hears of it with its next heartbeat.
    how = {"mapping": {"SessionTimeoutSeconds": 60}, "source": {"Config": {"heartbeat.interval.ms": "200"}}}

    async def run() -> None:
        async with on_kafka.reading(name, node="node-b", **how) as staying:
            async with on_kafka.reading(name, node="node-a", **how) as leaving:
                await eventually(
                    lambda: len(staying.positions) == len(leaving.positions) == 1, "the two share the partitions"
                )
                await leaving.reader.leave()
            await staying.has_shards(2, within_s=30)

    asyncio.run(run())


def test_what_a_killed_run_of_the_same_node_left_is_waited_for(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name, mapping={"SessionTimeoutSeconds": SESSION_S}) as reading:
            await reading.has_shards(1)
        # Closed and not left: the place is kept as after a kill.
        assert members(on_kafka.address, on_kafka.group) != []
        began_s = time.monotonic()
        async with positions(on_kafka, name) as opened:
            await opened.write({f"{name}-0": Checkpoint(2)})
        assert time.monotonic() - began_s < SESSION_S + 10

    asyncio.run(run())
    assert committed_offsets(on_kafka.address, on_kafka.group, name)[0][0] == 3


def test_what_is_not_there_is_said(on_kafka: Any, on_address: Any, topic: Callable[..., str]) -> None:
    name = topic()

    async def run() -> None:
        async with positions(on_kafka, name) as opened:
            with pytest.raises(SourceMissing, match=f"there is no shard 'orders-0'.*'{name}-NUMBER'"):
                await opened.resolve("orders-0", Start("LATEST"))
        async with positions(on_kafka, "no-such-topic") as opened:
            with pytest.raises(SourceMissing, match="the topic does not exist"):
                await opened.committed()
        async with positions(on_address("127.0.0.1:9"), name) as opened:
            with pytest.raises(SourceUnavailable, match="no broker answers"):
                await opened.committed()

    asyncio.run(run())
