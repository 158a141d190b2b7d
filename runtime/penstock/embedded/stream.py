"""The stream source `sqlite-stream`: one mapping's reader of one stream in an embedded file."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from functools import partial

from penstock.api import (
    NOTE_BYTES_MAX,
    Assignment,
    Backlog,
    Checkpoint,
    Fetched,
    MappingContext,
    SourceBroken,
    SourceContext,
    SourceError,
    SourceMissing,
    Start,
    Want,
)
from penstock.embedded.file import SourceFile
from penstock.embedded.leases import ShardLeases
from penstock.embedded.positions import shard_number
from penstock.embedded.settings import StreamSettings
from penstock.embedded.streams import Stream, backlog, fetch_wanted, find_stream, resolve
from penstock.embedded.wakeups import Waiter

_GRACE_DEFAULT_S = 10


class EmbeddedStream:
    """Reads the shards that this node holds. `penstock.api.StreamSource` and `HoldsShards` say what is promised."""

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._settings = StreamSettings.of(source)
        self._mapping = mapping
        self._file: SourceFile | None = None
        self._stream: Stream | None = None
        self._leases: ShardLeases | None = None
        self._waiter: Waiter | None = None
        self._dry: dict[str, int] = {}

    async def open(self) -> None:
        self._file = await SourceFile.acquire(self._settings.path)
        self._stream = await open_stream(self._file, self._settings)
        self._waiter = self._file.wakeups.waiter(self._stream.signal)
        self._leases = ShardLeases(
            self._file,
            self._stream,
            mapping=self._mapping.uuid,
            node=self._mapping.node,
            lease_ms=self._settings.lease_ms,
            grace_ms=self._grace_ms(),
        )
        self._file.housekeeper.keep(self._stream.id, retention_ms=self._settings.retention_ms)

    async def close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        try:
            if self._waiter is not None:
                self._waiter.close()
            if self._leases is not None:
                await self._leases.close()
        except SourceError:
            pass  # the file is gone or locked; what we hold comes free when the lease ends
        finally:
            await file.release()

    def assignments(self) -> AsyncIterator[Assignment]:
        return self._opened()[2].assignments()

    async def resolve(self, shard: str, start: Start) -> int:
        file, stream, _, _ = self._opened()
        return await file.read(partial(resolve, stream=stream, number=shard_number(shard), start=start))

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        file, stream, leases, waiter = self._opened()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        while True:
            ours = [(number, want) for want in wants if leases.holds(number := shard_number(want.shard))]
            if waiter.is_awake:
                # Cleared before looking: what comes while we look wakes us again.
                waiter.rearm()
                self._dry.clear()
            ours = [(number, want) for number, want in ours if self._dry.get(want.shard) != want.after]
            if ours:
                found = await file.read(partial(fetch_wanted, stream=stream, wants=ours))
                if found:
                    return found
                self._dry.update({want.shard: want.after for _, want in ours})
            if not await waiter.wait((deadline - loop.time()) * 1000):
                return []

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        assert len(checkpoint.note) <= NOTE_BYTES_MAX
        await self._opened()[2].commit(shard_number(shard), checkpoint)

    async def release(self, shards: Sequence[str]) -> None:
        await self._opened()[2].release([shard_number(shard) for shard in shards])

    def holds(self, shard: str) -> bool:
        return self._leases is not None and self._leases.surely_holds(shard_number(shard))

    async def backlog(self, shard: str, after: int) -> Backlog:
        file, stream, _, _ = self._opened()
        now_ms = time.time_ns() // 1_000_000
        return await file.read(partial(backlog, stream=stream, number=shard_number(shard), after=after, now_ms=now_ms))

    def _grace_ms(self) -> int:
        seconds = self._mapping.settings.get("RevocationGraceSeconds")
        return round((_GRACE_DEFAULT_S if seconds is None else seconds) * 1000)

    def _opened(self) -> tuple[SourceFile, Stream, ShardLeases, Waiter]:
        assert self._file is not None
        assert self._stream is not None
        assert self._leases is not None
        assert self._waiter is not None
        return self._file, self._stream, self._leases, self._waiter


async def open_stream(file: SourceFile, settings: StreamSettings) -> Stream:
    """Find a stream in its file. Raises SourceMissing, or SourceBroken where it has another number of shards."""
    stream = await file.read(partial(find_stream, name=settings.name))
    if stream is None:
        raise SourceMissing(f"stream {settings.name!r} is not in {file.path}")
    if settings.shards_count is not None and settings.shards_count != stream.shards_count:
        raise SourceBroken(
            f"stream {settings.name!r} in {file.path} was made with {stream.shards_count} shards, "
            f"and Shards is {settings.shards_count}; the number of shards does not change"
        )
    return stream
