"""What every stream source has to keep, as checks that know the wall alone (`penstock.api`)."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import pytest

from penstock.api import (
    AssignedShard,
    Attribute,
    Checkpoint,
    CommitRefused,
    Destination,
    HoldsShards,
    MappingContext,
    Outgoing,
    Record,
    RecordRefused,
    ShardsAssigned,
    ShardsLost,
    ShardsRevoked,
    SourceContext,
    SourceType,
    Start,
    StreamSource,
    Want,
)

MANY_BYTES = 1 << 24


@dataclass(frozen=True, kw_only=True)
class StreamSubject:
    """A source to be checked: it exists, is empty, has two shards or more, and is this check's alone."""

    type: SourceType
    source: SourceContext
    patience_s: float = 20.0
    uuid: str = field(default_factory=lambda: str(uuid.uuid4()))

    def mapping(self, node="node-1", mapping_uuid=None):
        return MappingContext(
            mapping="function.event",
            uuid=mapping_uuid or self.uuid,
            node=node,
            settings={},
            buffer_bytes_max=1 << 24,
        )

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[Destination]:
        destination = self.type.open_destination(self.source)
        try:
            await destination.open()
            yield destination
        finally:
            await destination.close()

    @contextlib.asynccontextmanager
    async def reader(self, node="node-1", mapping_uuid=None) -> AsyncIterator["Reader"]:
        source = self.type.open_stream(self.source, self.mapping(node, mapping_uuid))
        reader = Reader(source, self.patience_s)
        try:
            await source.open()
            async with asyncio.TaskGroup() as group:
                following = group.create_task(reader.follow())
                try:
                    yield reader
                finally:
                    following.cancel()
        finally:
            await source.close()

    async def shards(self) -> list[str]:
        async with self.reader("node-counting", str(uuid.uuid4())) as reader:
            await reader.until(lambda: reader.held)
            return sorted(reader.held)


class Reader:
    """A source, and what it says is ours. Revoked shards are let go of at once, as an idle engine would."""

    def __init__(self, source: StreamSource, patience_s: float) -> None:
        self.source = source
        self.patience_s = patience_s
        self.held: dict[str, AssignedShard] = {}
        self.lost: list[str] = []
        self.revoked: list[str] = []
        self.changed = asyncio.Event()
        self.is_told = False

    async def follow(self):
        async for assignment in self.source.assignments():
            match assignment:
                case ShardsAssigned(shards):
                    self.is_told = True
                    self.held |= {assigned.shard: assigned for assigned in shards}
                case ShardsLost(shards):
                    self.lost += shards
                    for shard in shards:
                        del self.held[shard]
                case ShardsRevoked(shards, _):
                    self.revoked += shards
                    for shard in shards:
                        del self.held[shard]
                    await self.source.release(shards)
            self.changed.set()

    async def until(self, is_true):
        async with asyncio.timeout(self.patience_s):
            while not is_true():
                self.changed.clear()
                await self.changed.wait()

    async def read(self, count, after=None, *, records_max=1000, bytes_max=MANY_BYTES) -> dict[str, list[Record]]:
        """Read so many records of the shards that are ours, from the oldest or after positions."""
        positions = dict(after or {})
        for shard in self.held:
            if shard not in positions:
                positions[shard] = await self.source.resolve(shard, Start("TRIM_HORIZON"))
        records: dict[str, list[Record]] = {shard: [] for shard in positions}
        async with asyncio.timeout(self.patience_s):
            while sum(map(len, records.values())) < count:
                wants = [Want(shard, position, records_max, bytes_max) for shard, position in positions.items()]
                for fetched in await self.source.fetch(wants, wait_ms=1000):
                    records[fetched.shard] += fetched.records
                    positions[fetched.shard] = fetched.position
        return records


async def records_come_back_as_they_were_sent_in_order_of_their_keys(subject: StreamSubject):
    if not subject.type.capabilities.keyed:
        return
    shards = await subject.shards()
    sent = [
        Outgoing(
            value=f"value {index}".encode() if index % 7 else None if index % 2 else b"",
            key=f"key {index % 5}".encode(),
            headers=(("trace", bytes([index, 255])), ("again", b"1"), ("again", None)) if index % 3 == 0 else (),
        )
        for index in range(100)
    ]
    before_ms = time.time_ns() // 1_000_000
    async with subject.writer() as writer, subject.reader() as reader:
        assert await writer.send(sent) == [None] * 100
        await reader.until(lambda: len(reader.held) == len(shards))
        by_shard = await reader.read(100)
    received = [record for records in by_shard.values() for record in records]
    assert len(received) == 100
    for key in {outgoing.key for outgoing in sent}:
        homes = [shard for shard, records in by_shard.items() if any(record.key == key for record in records)]
        assert len(homes) == 1
        assert [(r.value, r.headers) for r in by_shard[homes[0]] if r.key == key] == [
            (outgoing.value, outgoing.headers) for outgoing in sent if outgoing.key == key
        ]
    for records in by_shard.values():
        positions = [record.position for record in records]
        assert positions == sorted(set(positions))
        assert all(position >= 0 for position in positions)
    after_ms = time.time_ns() // 1_000_000
    assert all(before_ms - 1000 <= record.timestamp_ms <= after_ms + 1000 for record in received)


async def records_without_a_key_come_back_too(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=str(index).encode()) for index in range(50)])
        await reader.until(lambda: len(reader.held) >= 2)
        by_shard = await reader.read(50)
    values = sorted(int(record.value) for records in by_shard.values() for record in records)
    assert values == list(range(50))
    assert all(record.key is None for records in by_shard.values() for record in records)


async def fetching_after_the_same_position_again_gives_the_same_records(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=str(index).encode(), key=b"one") for index in range(20)])
        await reader.until(lambda: len(reader.held) >= 2)
        first = await reader.read(20)
        (shard,) = [shard for shard, records in first.items() if records]
        middle = first[shard][9].position
        for _ in range(2):
            again = await reader.read(10, {shard: middle})
            assert again[shard] == first[shard][10:]


async def a_fetch_gives_no_more_than_is_wanted(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=b"v" * 100, key=b"one") for _ in range(50)])
        await reader.until(lambda: len(reader.held) >= 2)
        (shard,) = [shard for shard, records in (await reader.read(50)).items() if records]
        after = await reader.source.resolve(shard, Start("TRIM_HORIZON"))
        by_count = await _fetch_one(reader, Want(shard, after, 7, MANY_BYTES))
        assert 1 <= len(by_count.records) <= 7
        by_bytes = await _fetch_one(reader, Want(shard, after, 1000, 350))
        assert 1 <= len(by_bytes.records) <= 3
        assert by_bytes.bytes_count == sum(len(record.value) + len(record.key or b"") for record in by_bytes.records)
        assert by_bytes.position == by_bytes.records[-1].position


async def a_record_larger_than_what_is_wanted_comes_alone(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        sizes = [10, 50_000, 10, 10]
        await writer.send([Outgoing(value=b"v" * size, key=b"one") for size in sizes])
        await reader.until(lambda: len(reader.held) >= 2)
        by_shard = await reader.read(4, bytes_max=1000)
        assert [len(record.value) for records in by_shard.values() for record in records] == sizes
        (shard,) = [shard for shard, records in by_shard.items() if records]
        fetched = await _fetch_one(reader, Want(shard, by_shard[shard][0].position, 100, 1000))
        assert [len(record.value) for record in fetched.records] == [50_000]


async def a_waiting_fetch_is_woken_by_a_record(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        wants = [
            Want(shard, await reader.source.resolve(shard, Start("LATEST")), 100, MANY_BYTES) for shard in reader.held
        ]
        assert not await reader.source.fetch(wants, wait_ms=50)
        waiting = asyncio.create_task(reader.source.fetch(wants, wait_ms=int(subject.patience_s * 1000)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        await writer.send([Outgoing(value=b"wake")])
        async with asyncio.timeout(subject.patience_s / 2):
            (fetched,) = await waiting
        assert [record.value for record in fetched.records] == [b"wake"]


async def a_cancelled_fetch_loses_nothing(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        positions = {shard: await reader.source.resolve(shard, Start("TRIM_HORIZON")) for shard in reader.held}
        wants = [Want(shard, position, 100, MANY_BYTES) for shard, position in positions.items()]
        for turns in range(20):
            fetching = asyncio.create_task(reader.source.fetch(wants, wait_ms=60_000))
            await writer.send([Outgoing(value=str(turns).encode(), key=b"one")])
            for _ in range(turns % 5):
                await asyncio.sleep(0)
            fetching.cancel()
            await asyncio.gather(fetching, return_exceptions=True)
        by_shard = await reader.read(20, positions)
        values = [int(record.value) for records in by_shard.values() for record in records]
        assert values == list(range(20))


async def starts_are_resolved(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        await writer.send([Outgoing(value=str(index).encode(), key=b"one") for index in range(5)])
        (shard,) = [shard for shard, records in (await reader.read(5)).items() if records]
        latest = await reader.source.resolve(shard, Start("LATEST"))
        await writer.send([Outgoing(value=b"new", key=b"one")])
        from_latest = await reader.read(1, {shard: latest})
        assert [record.value for record in from_latest[shard]] == [b"new"]
        horizon = await reader.source.resolve(shard, Start("TRIM_HORIZON"))
        from_horizon = await reader.read(6, {shard: horizon})
        assert [record.value for record in from_horizon[shard]] == [b"0", b"1", b"2", b"3", b"4", b"new"]


async def a_time_is_resolved_to_the_first_record_at_or_after_it(subject: StreamSubject):
    if not subject.type.capabilities.seekable_by_time:
        return
    async with subject.writer() as writer, subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        for index in range(6):
            await writer.send([Outgoing(value=str(index).encode(), key=b"one")])
            await asyncio.sleep(0.01)
        by_shard = await reader.read(6)
        (shard,) = [shard for shard, records in by_shard.items() if records]
        records = by_shard[shard]
        for target in records:
            after = await reader.source.resolve(shard, Start("AT_TIMESTAMP", target.timestamp_ms))
            first = next(record for record in records if record.timestamp_ms >= target.timestamp_ms)
            found = await reader.read(1, {shard: after})
            assert found[shard][0] == first
        future = await reader.source.resolve(shard, Start("AT_TIMESTAMP", records[-1].timestamp_ms + 60_000))
        assert future == await reader.source.resolve(shard, Start("LATEST"))


async def a_checkpoint_comes_back_with_its_note(subject: StreamSubject):
    note = '{"v":1,"attempts":2}' + "x" * 900
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=b"v", key=b"one")] * 3)
        await reader.until(lambda: len(reader.held) >= 2)
        shards = sorted(reader.held)
        assert {assigned.checkpoint for assigned in reader.held.values()} == {None}
        await reader.source.commit(shards[0], Checkpoint(1, note))
        await reader.source.commit(shards[1], Checkpoint(-1, "nothing yet"))
        await reader.source.commit(shards[0], Checkpoint(2, note))
    for node in ("node-1", "node-2"):
        async with subject.reader(node) as reader:
            await reader.until(lambda: set(shards) <= set(reader.held))
            assert reader.held[shards[0]].checkpoint == Checkpoint(2, note)
            assert reader.held[shards[1]].checkpoint == Checkpoint(-1, "nothing yet")


async def mappings_do_not_share_checkpoints(subject: StreamSubject):
    other = str(uuid.uuid4())
    async with subject.reader() as reader, subject.reader(mapping_uuid=other) as neighbour:
        await reader.until(lambda: len(reader.held) >= 2)
        await neighbour.until(lambda: len(neighbour.held) == len(reader.held))
        shard = min(reader.held)
        await reader.source.commit(shard, Checkpoint(0, "mine"))
    async with subject.reader(mapping_uuid=other) as neighbour:
        await neighbour.until(lambda: shard in neighbour.held)
        assert neighbour.held[shard].checkpoint is None


async def wants_of_shards_that_are_not_ours_are_passed_over(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=b"v", key=str(index).encode()) for index in range(40)])
        await reader.until(lambda: len(reader.held) >= 2)
        by_shard = await reader.read(40)
        gone, kept = sorted(shard for shard, records in by_shard.items() if records)[:2]
        await reader.source.release([gone])
        horizon = by_shard[gone][0].position - 1
        kept_from = by_shard[kept][0].position - 1
        wants = [Want(gone, horizon, 100, MANY_BYTES), Want(kept, kept_from, 100, MANY_BYTES)]
        async with asyncio.timeout(subject.patience_s):
            while not (found := await reader.source.fetch(wants, wait_ms=1000)):
                pass
        assert {fetched.shard for fetched in found} == {kept}


async def a_released_shard_can_not_be_committed(subject: StreamSubject):
    async with subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        shard = min(reader.held)
        await reader.source.release([shard])
        with pytest.raises(CommitRefused):
            await reader.source.commit(shard, Checkpoint(0))


async def two_nodes_share_the_shards_and_one_that_leaves_hands_over(subject: StreamSubject):
    if not subject.type.capabilities.balanced:
        return
    shards = set(await subject.shards())
    async with subject.reader("node-1") as first:
        await first.until(lambda: set(first.held) == shards)
        given = Checkpoint(3, "by node-1")
        for shard in shards:
            await first.source.commit(shard, given)
        async with subject.reader("node-2") as second:
            await second.until(lambda: second.held)
            await first.until(lambda: set(first.held) | set(second.held) == shards)
            assert not set(first.held) & set(second.held)
            assert abs(len(first.held) - len(second.held)) <= 1
            assert {assigned.checkpoint for assigned in second.held.values()} == {given}
            moved = min(second.held)
            with pytest.raises(CommitRefused):
                await first.source.commit(moved, Checkpoint(4, "too late"))
            await second.source.commit(moved, Checkpoint(9, "by node-2"))
        await first.until(lambda: set(first.held) == shards)
        assert first.held[moved].checkpoint == Checkpoint(9, "by node-2")


async def a_node_for_which_no_shard_is_left_hears_that_there_is_none(subject: StreamSubject):
    if not subject.type.capabilities.balanced:
        return
    shards = await subject.shards()
    async with contextlib.AsyncExitStack() as readers:
        for number in range(len(shards)):
            reader = await readers.enter_async_context(subject.reader(f"node-{number}"))
            await reader.until(lambda reader=reader: reader.held)
        spare = await readers.enter_async_context(subject.reader("node-spare"))
        await spare.until(lambda: spare.is_told)
        assert not spare.held


async def a_node_knows_which_shards_it_surely_holds(subject: StreamSubject):
    async with subject.reader("node-1") as first:
        if not isinstance(first.source, HoldsShards):
            return
        await first.until(lambda: len(first.held) >= 2)
        assert all(first.source.holds(shard) for shard in first.held)
        if subject.type.capabilities.balanced:
            async with subject.reader("node-2") as second:
                await second.until(lambda: second.held)
                moved = set(second.held)
                assert all(second.source.holds(shard) for shard in moved)
                assert not any(first.source.holds(shard) for shard in moved)
                assert all(first.source.holds(shard) for shard in first.held)
        shard = min(first.held)
        await first.source.release([shard])
        assert not first.source.holds(shard)


async def the_backlog_counts_what_lies_beyond_a_position(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        await reader.until(lambda: len(reader.held) >= 2)
        await writer.send([Outgoing(value=b"v", key=b"one")] * 10)
        found = await reader.read(10)
        (shard,) = [shard for shard, records in found.items() if records]
        records = found[shard]
        beyond_fourth = await reader.source.backlog(shard, records[3].position)
        assert beyond_fourth.count == 6
        assert 0 <= (beyond_fourth.oldest_age_ms or 0) < subject.patience_s * 1000
        assert (await reader.source.backlog(shard, records[-1].position)).count == 0


async def what_a_stream_can_not_carry_is_refused_and_the_rest_is_sent(subject: StreamSubject):
    async with subject.writer() as writer, subject.reader() as reader:
        answers = await writer.send(
            [
                Outgoing(value=b"first"),
                Outgoing(value=b"x", attributes={"a": Attribute("String", "b")}),
                Outgoing(value=b"x", delay_ms=5),
                Outgoing(value=b"last"),
            ]
        )
        assert [type(answer) for answer in answers] == [type(None), RecordRefused, RecordRefused, type(None)]
        await reader.until(lambda: len(reader.held) >= 2)
        by_shard = await reader.read(2)
        assert sorted(r.value for records in by_shard.values() for r in records) == [b"first", b"last"]


async def peeking_shows_records_and_takes_nothing(subject: StreamSubject):
    if subject.type.operate is None:
        return
    async with subject.writer() as writer, subject.reader() as reader:
        await writer.send([Outgoing(value=str(index).encode(), key=b"one") for index in range(10)])
        operations = subject.type.operate(subject.source)
        try:
            shown = [pair async for pair in operations.peek(Start("TRIM_HORIZON"), limit=4, follow=False)]
        finally:
            await operations.close()
        assert [record.value for _, record in shown] == [b"0", b"1", b"2", b"3"]
        await reader.until(lambda: len(reader.held) >= 2)
        assert sum(map(len, (await reader.read(10)).values())) == 10


async def _fetch_one(reader: Reader, want: Want):
    async with asyncio.timeout(reader.patience_s):
        while not (found := await reader.source.fetch([want], wait_ms=1000)) or not found[0].records:
            pass
    return found[0]


STREAM_CHECKS = [
    records_come_back_as_they_were_sent_in_order_of_their_keys,
    records_without_a_key_come_back_too,
    fetching_after_the_same_position_again_gives_the_same_records,
    a_fetch_gives_no_more_than_is_wanted,
    a_record_larger_than_what_is_wanted_comes_alone,
    a_waiting_fetch_is_woken_by_a_record,
    a_cancelled_fetch_loses_nothing,
    starts_are_resolved,
    a_time_is_resolved_to_the_first_record_at_or_after_it,
    a_checkpoint_comes_back_with_its_note,
    mappings_do_not_share_checkpoints,
    wants_of_shards_that_are_not_ours_are_passed_over,
    a_released_shard_can_not_be_committed,
    two_nodes_share_the_shards_and_one_that_leaves_hands_over,
    a_node_for_which_no_shard_is_left_hears_that_there_is_none,
    a_node_knows_which_shards_it_surely_holds,
    the_backlog_counts_what_lies_beyond_a_position,
    what_a_stream_can_not_carry_is_refused_and_the_rest_is_sent,
    peeking_shows_records_and_takes_nothing,
]
