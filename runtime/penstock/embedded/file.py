"""One embedded file as a process has it open: one writer, one reader, shared by all sources on it.

Every source, destination and operation of one event loop that names the same file shares this object: their writes
share commits, and wake each other's readers directly. Other processes are noticed through the file itself.
"""

import asyncio
import contextlib
import logging
import sqlite3
import weakref
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeVar

from penstock.api import Blocking, SourceError
from penstock.embedded.commits import Committer, Job, Transaction
from penstock.embedded.database import open_reader, open_writer
from penstock.embedded.errors import blame
from penstock.embedded.heartbeat import Heartbeat
from penstock.embedded.inotify import FileWatch
from penstock.embedded.retention import Housekeeper
from penstock.embedded.wakeups import Wakeups

R = TypeVar("R")
_log = logging.getLogger(__name__)

_LOOK_INTERVAL_MS = 250
"""How often the file is looked at for what other processes wrote, where the kernel does not tell us."""
_LOOK_INTERVAL_WATCHED_MS = 5000
"""The same where it does: only a second line."""
_LOOKS_AFTER_WRITE_MS = (1, 2, 4, 8, 16, 64, 256, 1024)
"""When to look after a write: it is told when it begins, and seen when it is committed, which the disk decides."""
_PAUSE_MS_LEAST = 1
_PAUSE_MS = 20
"""The shortest time between two writes that are looked after, however busy the file is."""

_Files = dict[Path, "SourceFile"]
_opened: "weakref.WeakKeyDictionary[asyncio.AbstractEventLoop, _Files]" = weakref.WeakKeyDictionary()


class SourceFile:
    """An open file. Get one by `acquire`, and give it back by `release`.

    ```python
    file = await SourceFile.acquire(path)
    count = await file.read(lambda connection: connection.execute("SELECT …").fetchone()[0])
    await file.write(append_records)          # returns when committed, for good
    await file.release()
    ```
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wakeups = Wakeups()
        self.reads_count = 0
        self.looks_count = 0
        self._users_count = 0
        self._opening = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._writing = Blocking("embedded writer")
        self._reading = Blocking("embedded reader")
        self._writer: sqlite3.Connection | None = None
        self._reader: sqlite3.Connection | None = None
        self._committer = Committer(path, self._wake_from_thread)
        self._written = asyncio.Event()
        self._watch = FileWatch(path.with_name(path.name + "-wal"), self._written.set)
        self._looking: asyncio.Task[None] | None = None
        self.heartbeat = Heartbeat(self)
        self.housekeeper = Housekeeper(self)

    @classmethod
    async def acquire(cls, path: Path, *, create: bool = False) -> "SourceFile":
        """Open a file, or share it where it is open already. Raises as `open_writer` does."""
        path = path.resolve()  # noqa: ASYNC240 - a few microseconds, once per source
        files = _opened.setdefault(asyncio.get_running_loop(), {})
        file = files.get(path)
        if file is None:
            file = files[path] = cls(path)
        file._users_count += 1
        try:
            async with file._opening:
                if file._looking is None:
                    await file._open(create=create)
        except BaseException:
            await file.release()
            raise
        return file

    async def release(self) -> None:
        """Give the file back; the last one closes it."""
        self._users_count -= 1
        if self._users_count:
            return
        files = _opened.get(self._loop, {})
        if files.get(self.path) is self:
            del files[self.path]
        await self._close()

    @property
    def transactions_count(self) -> int:
        """How many transactions were committed since the file was opened."""
        return self._committer.transactions_count

    async def read(self, look: Callable[[sqlite3.Connection], R]) -> R:
        """Run queries on the reader's thread."""
        self.reads_count += 1
        return await self._reading.call(self._read, look)

    async def write(self, work: Callable[[Transaction], R], *, relaxed: bool = False) -> R:
        """Run a job in the next transaction, and return once that is committed.

        When this is cancelled the job is dropped, unless it has begun: then it runs to its end.
        """
        job = Job(work, is_relaxed=relaxed)
        self._committer.add(job)
        try:
            await self._writing.call(self._write, job)
        except asyncio.CancelledError:
            self._committer.drop(job)
            raise
        return job.answer()

    async def maintain(self, work: Callable[[sqlite3.Connection], R]) -> R:
        """Run something on the writer's thread outside of any transaction."""
        return await self._writing.call(self._maintain, work)

    async def _open(self, *, create: bool) -> None:
        if self._writer is None:
            self._writer = await self._writing.call(open_writer, self.path, create=create)
        self._reader = await self._reading.call(open_reader, self.path)
        is_watched = self._watch.start()
        interval_ms = _LOOK_INTERVAL_WATCHED_MS if is_watched else _LOOK_INTERVAL_MS
        await self._writing.call(self._committer.foreign_changes, self._writer)
        self._looking = asyncio.create_task(self._look_for_others(interval_ms), name=f"watch {self.path.name}")

    async def _close(self) -> None:
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        await self.heartbeat.close()
        await self.housekeeper.close()
        self._watch.stop()
        for thread, connection in ((self._reading, self._reader), (self._writing, self._writer)):
            if connection is not None:
                with contextlib.suppress(sqlite3.Error):
                    await thread.call(connection.close)
            await thread.close()

    def _read(self, look: Callable[[sqlite3.Connection], R]) -> R:
        assert self._reader is not None
        try:
            return look(self._reader)
        except sqlite3.Error as error:
            raise blame(error, self.path) from error

    def _write(self, job: Job[R]) -> None:
        assert self._writer is not None
        self._committer.commit_until(self._writer, job)

    def _maintain(self, work: Callable[[sqlite3.Connection], R]) -> R:
        assert self._writer is not None
        try:
            return work(self._writer)
        except sqlite3.Error as error:
            raise blame(error, self.path) from error

    def _wake_from_thread(self, keys: Iterable[str]) -> None:
        # The loop may be gone while the thread finishes what a cancelled caller had begun; nobody waits then.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.wakeups.wake, keys)

    async def _look_for_others(self, interval_ms: int) -> None:
        """Wake those who wait for what other processes wrote."""
        looks_ms: Iterator[int] = iter(())
        pause_ends_s = 0.0
        while True:
            self._watch.arm()
            look_in_ms = next(looks_ms, None)
            if await self._is_written_within(interval_ms if look_in_ms is None else look_in_ms):
                await asyncio.sleep(max(_PAUSE_MS_LEAST / 1000, pause_ends_s - self._loop.time()))
                pause_ends_s = self._loop.time() + _PAUSE_MS / 1000
                looks_ms = iter(_LOOKS_AFTER_WRITE_MS)
            self.looks_count += 1
            try:
                changed = await self.maintain(self._committer.foreign_changes)
            except SourceError as error:
                # Whoever reads or writes next is told the same; here there is nobody to tell.
                _log.debug("could not look at %s: %s", self.path, error)
                continue
            if changed:
                self.wakeups.wake(changed)
                looks_ms = iter(_LOOKS_AFTER_WRITE_MS)

    async def _is_written_within(self, wait_ms: int) -> bool:
        try:
            async with asyncio.timeout(wait_ms / 1000):
                await self._written.wait()
        except TimeoutError:
            return False
        self._written.clear()
        return True
