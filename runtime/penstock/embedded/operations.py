"""What an operator asks of embedded sources: is it there, make it, show what is in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from functools import partial
from heapq import merge

from penstock.api import MappingContext, Message, Record, SourceContext, SourceMissing, Start, Want
from penstock.embedded.commits import Transaction
from penstock.embedded.file import SourceFile
from penstock.embedded.messages import create_queue, newest_id, queue_backlog, show_messages
from penstock.embedded.positions import shard_name
from penstock.embedded.queue import open_queue
from penstock.embedded.settings import QueueSettings, StreamSettings
from penstock.embedded.stream import open_stream
from penstock.embedded.streams import Stream, create_stream, fetch_wanted, resolve

_PAGE_RECORDS = 100
_PAGE_BYTES = 1024 * 1024
_PAGE_MESSAGES = 10
_FOLLOW_WAIT_MS = 60_000


class EmbeddedStreamOperations:
    """See `penstock.api.SourceOperations`."""

    def __init__(self, source: SourceContext) -> None:
        self._settings = StreamSettings.of(source)

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:  # noqa: ARG002 - files know no mappings
        async with _opened(self._settings) as file:
            await open_stream(file, self._settings)
            if write:
                await file.write(_write_nothing)

    async def create(self) -> bool:
        return await _create(
            self._settings,
            partial(create_stream, name=self._settings.name, shards_count=self._settings.shards_count or 1),
        )

    async def show(self) -> Mapping[str, str]:
        async with _opened(self._settings) as file:
            stream = await open_stream(file, self._settings)
            found = {"file": str(self._settings.path), "shards": str(stream.shards_count)}
            for number in range(stream.shards_count):
                first, last = [
                    await file.read(partial(resolve, stream=stream, number=number, start=Start(where)))
                    for where in ("TRIM_HORIZON", "LATEST")
                ]
                found[shard_name(number)] = "empty" if first == last else f"positions {first + 1} to {last}"
            return found

    async def peek(self, start: Start | int, *, limit: int | None, follow: bool) -> AsyncIterator[tuple[str, Record]]:
        async with _opened(self._settings) as file:
            stream = await open_stream(file, self._settings)
            positions = [
                start - 1
                if isinstance(start, int)
                else await file.read(partial(resolve, stream=stream, number=number, start=start))
                for number in range(stream.shards_count)
            ]
            shown = 0
            with closing(file.wakeups.waiter(stream.signal)) as waiter:
                while limit is None or shown < limit:
                    waiter.rearm()
                    page = await _page(file, stream, positions)
                    for shard, record in page[: None if limit is None else limit - shown]:
                        yield shard, record
                        shown += 1
                    if not page:
                        if not follow:
                            return
                        await waiter.wait(_FOLLOW_WAIT_MS)

    async def close(self) -> None:
        """Nothing is kept open between calls."""


class EmbeddedQueueOperations:
    """See `penstock.api.SourceOperations`."""

    def __init__(self, source: SourceContext) -> None:
        self._settings = QueueSettings.of(source)

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:  # noqa: ARG002 - files know no mappings
        async with _opened(self._settings) as file:
            await open_queue(file, self._settings)
            if write:
                await file.write(_write_nothing)

    async def create(self) -> bool:
        return await _create(
            self._settings, partial(create_queue, name=self._settings.name, is_fifo=self._settings.is_fifo)
        )

    async def show(self) -> Mapping[str, str]:
        async with _opened(self._settings) as file:
            queue = await open_queue(file, self._settings)
            now_ms = time.time_ns() // 1_000_000
            backlog = await file.read(partial(queue_backlog, queue=queue, now_ms=now_ms))
            return {
                "file": str(self._settings.path),
                "queue": "FIFO" if queue.is_fifo else "standard",
                "waiting": str(backlog.count),
                "held or delayed": str(backlog.delayed),
            }

    async def peek(self, start: Start | int, *, limit: int | None, follow: bool) -> AsyncIterator[Message]:
        async with _opened(self._settings) as file:
            queue = await open_queue(file, self._settings)
            after, since_ms = 0, 0
            if isinstance(start, int):
                after = start - 1
            elif start.position == "LATEST":
                after = await file.read(partial(newest_id, queue=queue))
            elif start.position == "AT_TIMESTAMP":
                since_ms = start.timestamp_ms or 0
            shown = 0
            with closing(file.wakeups.waiter(queue.signal)) as waiter:
                while limit is None or shown < limit:
                    waiter.rearm()
                    count = _PAGE_MESSAGES if limit is None else min(_PAGE_MESSAGES, limit - shown)
                    page = await file.read(
                        partial(show_messages, queue=queue, after_id=after, since_ms=since_ms, messages_max=count)
                    )
                    for row, message in page:
                        yield message
                        after = row
                        shown += 1
                    if not page:
                        if not follow:
                            return
                        await waiter.wait(_FOLLOW_WAIT_MS)

    async def close(self) -> None:
        """Nothing is kept open between calls."""


@asynccontextmanager
async def _opened(settings: StreamSettings | QueueSettings, *, create: bool = False) -> AsyncIterator[SourceFile]:
    file = await SourceFile.acquire(settings.path, create=create)
    try:
        yield file
    finally:
        await asyncio.shield(file.release())


async def _create(settings: StreamSettings | QueueSettings, work: Callable[[Transaction], bool]) -> bool:
    if settings.is_in_data_dir:
        settings.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    elif not settings.path.parent.is_dir():
        raise SourceMissing(f"{settings.path.parent} is not there, so {settings.path.name} can not be made in it")
    async with _opened(settings, create=True) as file:
        return await file.write(work)


def _write_nothing(transaction: Transaction) -> None:
    """Take the right to write, and do nothing with it."""
    transaction.connection.execute("UPDATE signal SET version = version WHERE key IS NULL")


async def _page(file: SourceFile, stream: Stream, positions: list[int]) -> Sequence[tuple[str, Record]]:
    """Read on in all shards and move their positions; what came is in the order of its times."""
    wants = [
        (number, Want(shard_name(number), after, _PAGE_RECORDS, _PAGE_BYTES)) for number, after in enumerate(positions)
    ]
    found = await file.read(partial(fetch_wanted, stream=stream, wants=wants))
    numbers = {want.shard: number for number, want in wants}
    for fetched in found:
        positions[numbers[fetched.shard]] = fetched.position
    by_shard = ([(fetched.shard, record) for record in fetched.records] for fetched in found)
    return list(merge(*by_shard, key=lambda pair: pair[1].timestamp_ms))
