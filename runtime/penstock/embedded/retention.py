"""Trimming streams by age, and giving the space that was freed back to the file system.

A stream that nothing is due in is not looked at: the oldest record says when the next look is worth it.
"""

import asyncio
import logging
import sqlite3
import time
from typing import TYPE_CHECKING

from penstock.api import SourceError
from penstock.embedded.commits import Transaction
from penstock.embedded.positions import segment_range

if TYPE_CHECKING:
    from penstock.embedded.file import SourceFile

_log = logging.getLogger(__name__)

_SEGMENTS_PER_TRANSACTION = 100
_PAGES_PER_STEP = 2000
_PAGES_KEPT = 256
"""Free pages that stay in the file, since the next records need them at once."""
_LOOKS_APART_MAX_S = 60.0
_SHRINK_AFTER_S = 30.0


class Housekeeper:
    """Looks after one file: a task that sleeps until something is due."""

    def __init__(self, file: "SourceFile") -> None:
        self._file = file
        self._retentions_ms: dict[int, int] = {}
        self._due: dict[int, float] = {}
        self._shrink_due: float | None = None
        self._changed = asyncio.Event()
        self._working: asyncio.Task[None] | None = None

    def keep(self, stream_id: int, *, retention_ms: int) -> None:
        """Trim a stream from now on; the newest retention counts."""
        self._retentions_ms[stream_id] = retention_ms
        self._due[stream_id] = time.monotonic()
        self._start()

    def space_was_freed(self) -> None:
        """Hear that messages were deleted: after a while the file is made smaller, if it is worth it."""
        if self._shrink_due is None:
            self._shrink_due = time.monotonic() + _SHRINK_AFTER_S
            self._start()

    async def close(self) -> None:
        """End."""
        if self._working is not None:
            self._working.cancel()
            await asyncio.gather(self._working, return_exceptions=True)

    def _start(self) -> None:
        self._changed.set()
        if self._working is None:
            self._working = asyncio.create_task(self._work(), name=f"housekeeping of {self._file.path.name}")

    async def _work(self) -> None:
        while True:
            self._changed.clear()
            due = [*self._due.values(), *([] if self._shrink_due is None else [self._shrink_due])]
            try:
                async with asyncio.timeout(max(0.0, min(due) - time.monotonic()) if due else None):
                    await self._changed.wait()
            except TimeoutError:
                await self._do_what_is_due()

    async def _do_what_is_due(self) -> None:
        now = time.monotonic()
        try:
            for stream_id in [stream_id for stream_id, due in self._due.items() if due <= now]:
                apart_s = min(_LOOKS_APART_MAX_S, max(1.0, self._retentions_ms[stream_id] / 10_000))
                self._due[stream_id] = now + apart_s
                due_in_s = await self._trim(stream_id) / 1000
                self._due[stream_id] = time.monotonic() + max(apart_s, due_in_s)
            if self._shrink_due is not None and self._shrink_due <= now:
                self._shrink_due = None
                await self._shrink()
        except SourceError as error:
            _log.warning("%s could not be tidied up: %s", self._file.path, error)
            if self._shrink_due is None:
                self._shrink_due = time.monotonic() + _SHRINK_AFTER_S

    async def _trim(self, stream_id: int) -> int:
        """Delete what is too old, a little at a time; tell in how many milliseconds more will be."""
        retention_ms = self._retentions_ms[stream_id]
        is_trimmed = False
        while True:
            oldest_ms = await self._file.read(lambda connection: _oldest_ms(connection, stream_id))
            now_ms = time.time_ns() // 1_000_000
            if oldest_ms is None or oldest_ms >= now_ms - retention_ms:
                break
            is_trimmed = True
            await self._file.write(
                lambda transaction: _trim_some(transaction, stream_id, transaction.now_ms - retention_ms)
            )
        if is_trimmed:
            await self._shrink()
        return retention_ms if oldest_ms is None else oldest_ms + retention_ms - now_ms + 1

    async def _shrink(self) -> None:
        while await self._file.maintain(_vacuum_some):
            pass  # one step per call, so that commits come in between
        await self._file.maintain(_truncate_log)


def _oldest_ms(connection: sqlite3.Connection, stream_id: int) -> int | None:
    """Tell when the segment that is trimmed next was last written to."""
    oldest: int | None = None
    for (shard_id,) in connection.execute("SELECT id FROM shard WHERE stream_id = ?", (stream_id,)).fetchall():
        row = connection.execute(
            "SELECT last_ms FROM segment WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", segment_range(shard_id)
        ).fetchone()
        if row is not None and (oldest is None or row[0] < oldest):
            oldest = row[0]
    return oldest


def _trim_some(transaction: Transaction, stream_id: int, before_ms: int) -> None:
    connection = transaction.connection
    shards = connection.execute("SELECT id FROM shard WHERE stream_id = ?", (stream_id,)).fetchall()
    segments_max = max(1, _SEGMENTS_PER_TRANSACTION // len(shards))
    for (shard_id,) in shards:
        connection.execute(
            "DELETE FROM segment WHERE id IN (SELECT id FROM"
            " (SELECT id, last_ms FROM segment WHERE id BETWEEN ? AND ? ORDER BY id LIMIT ?) WHERE last_ms < ?)",
            (*segment_range(shard_id), segments_max, before_ms),
        )


def _vacuum_some(connection: sqlite3.Connection) -> bool:
    """Give some free pages back; tell whether there are more to give."""
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free <= _PAGES_KEPT:
        return False
    # As a script, since the pragma frees one page per step and `execute` takes a single step where no columns come.
    connection.executescript(f"PRAGMA incremental_vacuum({min(_PAGES_PER_STEP, free - _PAGES_KEPT)})")
    return bool(free - _PAGES_KEPT > _PAGES_PER_STEP)


def _truncate_log(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
