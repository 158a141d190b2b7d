"""A small engine for the Kafka plugin's tests: it follows assignments, fetches, and commits when told to."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

from penstock.api import (
    AssignedShard,
    Checkpoint,
    Fetched,
    MappingContext,
    Record,
    ShardsAssigned,
    ShardsLost,
    ShardsRevoked,
    SourceContext,
    SourceType,
    Start,
    StreamSource,
    Want,
)
from penstock_kafka import plugin

MEGABYTE = 1_000_000
DEADLINE_S = 30.0


def source_type() -> SourceType:
    found: list[SourceType] = []
    plugin.register_sources(found.append)
    return found[0]


async def eventually(is_true: Callable[[], object], what: str, *, within_s: float = DEADLINE_S) -> None:
    deadline_s = time.monotonic() + within_s
    while not is_true():
        assert time.monotonic() < deadline_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.01)


class Reading:
    """One mapping that reads: what it was assigned, what it has read, and where it stands."""

    def __init__(self, reader: StreamSource, *, start: Start, hold_revoked: bool) -> None:
        self.reader = reader
        self.start = start
        self.hold_revoked = hold_revoked
        self.assigned: dict[str, AssignedShard] = {}
        self.revoked: list[ShardsRevoked] = []
        self.lost: list[str] = []
        self.positions: dict[str, int] = {}
        self.records: dict[str, list[Record]] = {}
        self.fetched: list[Fetched] = []
        self.failure: BaseException | None = None
        self.is_told = False
        self._task = asyncio.create_task(self._follow())

    async def close(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self.reader.close()

    async def has_shards(self, count: int, *, within_s: float = DEADLINE_S) -> None:
        await eventually(
            lambda: self.failure or len(self.positions) == count, f"{count} shards are assigned", within_s=within_s
        )
        if self.failure is not None:
            raise self.failure

    async def fetch(self, *, records_max: int = 10_000, wait_ms: int = 200) -> list[Fetched]:
        wants = [Want(shard, after, records_max, 10 * MEGABYTE) for shard, after in self.positions.items()]
        found = list(await self.reader.fetch(wants, wait_ms=wait_ms))
        for one in found:
            self.fetched.append(one)
            self.records.setdefault(one.shard, []).extend(one.records)
            if one.shard in self.positions:
                self.positions[one.shard] = one.position
        return found

    async def read(self, count: int, *, within_s: float = DEADLINE_S) -> list[Record]:
        """Fetch until so many records have been read in all."""
        deadline_s = time.monotonic() + within_s
        while sum(map(len, self.records.values())) < count:
            assert time.monotonic() < deadline_s, f"{count} records; read {sum(map(len, self.records.values()))}"
            await self.fetch()
        return [record for records in self.records.values() for record in records]

    async def reach(self, shard: str, position: int, *, within_s: float = DEADLINE_S) -> None:
        """Fetch until the shard's position is at least this one."""
        deadline_s = time.monotonic() + within_s
        while self.positions[shard] < position:
            assert time.monotonic() < deadline_s, f"{shard} reaches {position}; it is at {self.positions[shard]}"
            await self.fetch()

    async def commit_all(self, note: str = "") -> None:
        await asyncio.gather(
            *(self.reader.commit(shard, Checkpoint(position, note)) for shard, position in self.positions.items())
        )

    async def _follow(self) -> None:
        try:
            async for event in self.reader.assignments():
                match event:
                    case ShardsAssigned(shards):
                        self.is_told = True
                        for shard in shards:
                            self.assigned[shard.shard] = shard
                            self.positions[shard.shard] = await self._position(shard)
                    case ShardsRevoked(shards):
                        self.revoked.append(event)
                        for name in shards:
                            self.positions.pop(name, None)
                        if not self.hold_revoked:
                            await self.reader.release(shards)
                    case ShardsLost(shards):
                        self.lost.extend(shards)
                        for name in shards:
                            self.positions.pop(name, None)
        except Exception as error:  # noqa: BLE001 - the test looks at it
            self.failure = error

    async def _position(self, shard: AssignedShard) -> int:
        if shard.checkpoint is not None:
            return shard.checkpoint.position
        start = Start("TRIM_HORIZON") if shard.appeared_later else self.start
        return await self.reader.resolve(shard.shard, start)


class Kafka:
    """Makes sources and mappings of the plugin's on a broker."""

    def __init__(self, address: str, folder: Path) -> None:
        self.address = address
        self.folder = folder
        self.group = f"group-{uuid.uuid4().hex[:12]}"

    def source(self, topic: str, settings: Mapping[str, Any] | None = None) -> SourceContext:
        filled = {"BootstrapServers": [self.address], "Topic": topic, **(settings or {})}
        return SourceContext(project="tests", name="source", settings=filled, data_dir=self.folder)

    def mapping(self, *, node: str, buffer_bytes_max: int, settings: Mapping[str, Any] | None) -> MappingContext:
        return MappingContext(
            mapping="function.event",
            uuid="00000000-0000-0000-0000-000000000001",
            node=node,
            settings={"ConsumerGroupId": self.group, **(settings or {})},
            buffer_bytes_max=buffer_bytes_max,
        )

    def reader(
        self,
        topic: str,
        *,
        node: str = "node-a",
        buffer_bytes_max: int = 16 * MEGABYTE,
        source: Mapping[str, Any] | None = None,
        mapping: Mapping[str, Any] | None = None,
    ) -> StreamSource:
        return plugin.open_stream(
            self.source(topic, source),
            self.mapping(node=node, buffer_bytes_max=buffer_bytes_max, settings=mapping),
        )

    @contextlib.asynccontextmanager
    async def reading(
        self,
        topic: str,
        *,
        start: Start | None = None,
        hold_revoked: bool = False,
        **how: Any,
    ) -> AsyncIterator[Reading]:
        """Read a topic until the block ends."""
        reader = self.reader(topic, **how)
        try:
            await reader.open()
        except BaseException:
            await reader.close()
            raise
        reading = Reading(reader, start=start or Start("TRIM_HORIZON"), hold_revoked=hold_revoked)
        try:
            yield reading
        finally:
            await reading.close()
