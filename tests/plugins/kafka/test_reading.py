"""Reading a topic from positions that the engine gives."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import NewPartitions
from small_engine import eventually

from brokers.clients import Produced, admin, committed_offsets, produce
from penstock.api import Checkpoint, Gap, SourceBroken, Start, Want

pytestmark = pytest.mark.kafka


def values(count: int, *, first: int = 0) -> list[Produced]:
    return [Produced(b"value-%d" % n, partition=0) for n in range(first, first + count)]


def test_records_are_read_in_order_with_all_that_they_carry(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    headers = [("trace", b"\x00\xff"), ("trace", None), ("other", b"")]
    sent = [
        Produced(b"plain", partition=0, timestamp_ms=1_700_000_000_000),
        Produced(None, key=b"deleted", partition=0),
        Produced(b"", key=b"", partition=0),
        Produced(b"\xff\x00", key=b"\x80", partition=0, headers=headers),
    ]
    produce(on_kafka.address, name, sent)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            records = await reading.read(4)
            assert [(record.key, record.value) for record in records] == [
                (None, b"plain"),
                (b"deleted", None),
                (b"", b""),
                (b"\x80", b"\xff\x00"),
            ]
            assert [record.position for record in records] == [0, 1, 2, 3]
            assert records[0].timestamp_ms == 1_700_000_000_000
            assert records[3].headers == tuple(headers)
            assert {record.timestamp_type for record in records} == {"CREATE_TIME"}

    asyncio.run(run())


def test_the_time_that_a_broker_gives_is_called_so(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(config={"message.timestamp.type": "LogAppendTime"})
    produce(on_kafka.address, name, [Produced(b"late", timestamp_ms=1)])

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            (record,) = await reading.read(1)
            assert record.timestamp_type == "LOG_APPEND_TIME"
            assert record.timestamp_ms > 1_700_000_000_000

    asyncio.run(run())


def test_the_same_position_gives_the_same_records_again(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, values(3000))
    shard = f"{name}-0"

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            await reading.read(3000)
            for after in (2998, -1, 1499, 1500, 17, 2999 - 1, 0):
                reading.positions[shard] = after
                reading.records.clear()
                wanted = list(range(after + 1, 3000))
                records = await reading.read(len(wanted))
                assert [record.position for record in records] == wanted

    asyncio.run(run())


def test_a_fetch_keeps_to_its_limits_and_a_large_record_comes_alone(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, [b"x" * 100, b"x" * 100, b"y" * 5000, b"z" * 100])
    shard = f"{name}-0"

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            sizes = []
            after = -1
            while after < 3:
                for one in await reading.reader.fetch([Want(shard, after, 10, 250)], wait_ms=1000):
                    assert one.bytes_count == sum(len(record.value) for record in one.records)
                    sizes.append([len(record.value) for record in one.records])
                    after = one.position
            assert [size for size in sizes if size] in ([[100, 100], [5000], [100]], [[100], [100], [5000], [100]])

    asyncio.run(run())


def test_a_cancelled_fetch_loses_nothing(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            fetch = asyncio.create_task(reading.fetch(wait_ms=10_000))
            await asyncio.sleep(0)
            fetch.cancel()
            await asyncio.gather(fetch, return_exceptions=True)
            await asyncio.to_thread(produce, on_kafka.address, name, values(10))
            assert [record.position for record in await reading.read(10)] == list(range(10))

    asyncio.run(run())


def test_markers_and_aborted_records_move_the_position_and_leave_no_backlog(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    shard = f"{name}-0"
    producer = Producer({"bootstrap.servers": on_kafka.address, "transactional.id": f"tx-{name}"})
    producer.init_transactions()
    for number, is_kept in enumerate((True, False, True, False)):
        producer.begin_transaction()
        for _ in range(3):
            producer.produce(name, b"%d" % number, partition=0)
        producer.flush()
        if is_kept:
            producer.commit_transaction()
        else:
            producer.abort_transaction()

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            records = await reading.read(6)
            assert [record.position for record in records] == [0, 1, 2, 8, 9, 10]
            # 10 is the last record; its marker, three aborted records and theirs follow.
            await reading.reach(shard, 15)
            assert (await reading.reader.backlog(shard, 15)).count == 0
            assert (await reading.reader.backlog(shard, 10)).count == 0
            assert reading.fetched[-1].lag == 0

            producer.begin_transaction()
            producer.produce(name, b"open", partition=0)
            await asyncio.to_thread(producer.flush)
            assert (await reading.reader.backlog(shard, 15)).count == 0, "what is not committed does not wait yet"
            await asyncio.to_thread(producer.commit_transaction)
            assert [record.value for record in await reading.read(7)][-1] == b"open"

    asyncio.run(run())


def test_that_nothing_waits_is_told_once_and_again_only_for_a_new_position(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    shard = f"{name}-0"
    produce(on_kafka.address, name, values(3))

    async def run() -> None:
        async with on_kafka.reading(name, start=Start("LATEST")) as reading:
            await reading.has_shards(1)
            fetch = reading.reader.fetch
            (at_end,) = await fetch([Want(shard, 2, 10, 1000)], wait_ms=20_000)
            assert (at_end.records, at_end.position, at_end.lag) == ([], 2, 0)
            assert await fetch([Want(shard, 2, 10, 1000)], wait_ms=300) == ()

            await asyncio.to_thread(produce, on_kafka.address, name, values(2, first=3))
            records = await reading.read(2)
            assert [record.position for record in records] == [3, 4]
            # What came was told with what waits behind it, so that it is not told once more.
            await eventually(lambda: reading.reader._buffers._shards[0].at_end, "the reader is at the end again")
            lags = [one.lag for one in reading.fetched]
            assert lags[-1] == 0 or (await fetch([Want(shard, 4, 10, 1000)], wait_ms=20_000))[0].lag == 0
            assert await fetch([Want(shard, 4, 10, 1000)], wait_ms=300) == ()

            reading.positions[shard] = 3
            assert [one.lag for one in await fetch([Want(shard, 3, 10, 1000)], wait_ms=20_000)] == [0]

    asyncio.run(run())


def test_a_trimmed_position_goes_on_at_the_oldest_record_and_names_the_gap(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    shard = f"{name}-0"
    produce(on_kafka.address, name, values(100))
    trim(on_kafka.address, name, 60)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            assert reading.positions[shard] == 59, "the oldest record is where TRIM_HORIZON begins"
            reading.positions[shard] = 9
            records = await reading.read(40)
            assert [record.position for record in records] == list(range(60, 100))
            assert [one.gap for one in reading.fetched if one.gap] == [Gap(10, 59)]

            await asyncio.to_thread(trim, on_kafka.address, name, 100)
            reading.positions[shard] = 69
            await reading.reach(shard, 99)
            assert [one.gap for one in reading.fetched if one.gap][1:] == [Gap(70, 99)]

    asyncio.run(run())


def test_a_position_behind_the_end_is_an_error_and_nothing_is_guessed(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    shard = f"{name}-0"
    produce(on_kafka.address, name, values(10))

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            reading.positions[shard] = 499
            with pytest.raises(SourceBroken, match="ends at offset 10, before the position 500 that was reached"):
                await reading.read(1)

    asyncio.run(run())


def trim(address: str, name: str, before: int) -> None:
    client = admin(address)  # kept: its questions end with it
    for answer in client.delete_records([TopicPartition(name, 0, before)]).values():
        answer.result(timeout=10)


def test_starts_are_resolved_to_the_position_to_read_after(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    shard = f"{name}-0"
    produce(on_kafka.address, name, [Produced(b"v", partition=0, timestamp_ms=1000 + n) for n in range(10)])

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            resolve = reading.reader.resolve
            assert await resolve(shard, Start("TRIM_HORIZON")) == -1
            assert await resolve(shard, Start("LATEST")) == 9
            assert await resolve(shard, Start("AT_TIMESTAMP", 1004)) == 3
            assert await resolve(shard, Start("AT_TIMESTAMP", 1)) == -1
            assert await resolve(shard, Start("AT_TIMESTAMP", 9_999_999_999_999)) == 9
            assert await resolve(f"{name}-1", Start("LATEST")) == -1

    asyncio.run(run())


def test_a_checkpoint_comes_back_with_its_note(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    shard = f"{name}-0"
    produce(on_kafka.address, name, values(10))
    note = "".join(chr(33 + n % 94) for n in range(1024))

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            assert reading.assigned[shard].checkpoint is None
            await reading.reader.commit(shard, Checkpoint(6, note))
            await reading.reader.commit(f"{name}-1", Checkpoint(-1, "before the first"))
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(2)
            assert reading.assigned[shard].checkpoint == Checkpoint(6, note)
            assert reading.assigned[f"{name}-1"].checkpoint == Checkpoint(-1, "before the first")
            assert [record.position for record in await reading.read(3)] == [7, 8, 9]

    asyncio.run(run())


def test_another_clients_offsets_are_kept_and_its_metadata_replaced(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, values(10))
    other = Consumer({"bootstrap.servers": on_kafka.address, "group.id": on_kafka.group})
    other.commit(offsets=[TopicPartition(name, 0, 4, "of a Java client")], asynchronous=False)
    other.close()

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            assert reading.assigned[f"{name}-0"].checkpoint == Checkpoint(3, "")
            assert [record.position for record in await reading.read(6)] == [4, 5, 6, 7, 8, 9]
            await reading.commit_all("ours")

    asyncio.run(run())
    assert committed_offsets(on_kafka.address, on_kafka.group, name) == {0: (10, "penstock:1:1:ours")}


def test_a_partition_that_is_added_is_found_and_known_as_later(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    often = {"Config": {"topic.metadata.refresh.interval.ms": "500"}}

    async def run() -> None:
        async with on_kafka.reading(name, source=often) as reading:
            await reading.has_shards(2)
            assert not any(shard.appeared_later for shard in reading.assigned.values())
            await reading.commit_all()
            await asyncio.to_thread(grow)
            await reading.has_shards(3)
            assert reading.assigned[f"{name}-2"].appeared_later
            await reading.read(1)
            assert [shard for shard, records in reading.records.items() if records] == [f"{name}-2"]

    def grow() -> None:
        client = admin(on_kafka.address)
        client.create_partitions([NewPartitions(name, 3)])[name].result(timeout=10)
        produce(on_kafka.address, name, [Produced(b"new", partition=2)])

    asyncio.run(run())


def test_partitions_that_were_there_are_not_later_because_their_neighbours_have_commits(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(partitions=3)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(3)
            await reading.reader.commit(f"{name}-1", Checkpoint(-1))
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(3)
            assert not any(shard.appeared_later for shard in reading.assigned.values())

    asyncio.run(run())
