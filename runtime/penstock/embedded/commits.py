"""Writing to a file in as few commits as there can be: whatever waits while one commit runs shares the next."""

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Generic, TypeVar

from penstock.api import PenstockError
from penstock.embedded.errors import blame

R = TypeVar("R")
_JOBS_MAX = 500


class Transaction:
    """What a job sees of the transaction it runs in: the connection, the time, and whom to wake after the commit."""

    __slots__ = ("connection", "now_ms", "touched")

    def __init__(self, connection: sqlite3.Connection) -> None:
        self.connection = connection
        self.now_ms = 0
        self.touched: set[str] = set()

    def begin(self) -> None:
        """Take the right to write, which may mean waiting for another process, and then the time."""
        self.connection.execute("BEGIN IMMEDIATE")
        self.now_ms = time.time_ns() // 1_000_000

    def touch(self, key: str) -> None:
        """Wake those who wait for this key, in every process, once the transaction is committed."""
        self.touched.add(key)


class Job(Generic[R]):
    """One piece of work of a transaction, and what became of it."""

    __slots__ = ("_answer", "_error", "is_done", "is_relaxed", "work")

    def __init__(self, work: Callable[[Transaction], R], *, is_relaxed: bool) -> None:
        self.work = work
        self.is_relaxed = is_relaxed
        self.is_done = False
        self._answer: Any = None
        self._error: BaseException | None = None

    def run(self, transaction: Transaction) -> None:
        """Do the work; what it raises is raised here too. It may be done again when its transaction failed."""
        self._error = None
        self._answer = self.work(transaction)

    def refuse(self, error: BaseException) -> None:
        """Settle the job by the error that ended it."""
        self._error = error

    def answer(self) -> R:
        """Return what the work returned, or raise what ended it."""
        if self._error is not None:
            raise self._error
        answer: R = self._answer
        return answer


class Committer:
    """Runs jobs in shared transactions. All but `add` and `drop` belong to the writer's thread.

    A relaxed job may be lost when the machine loses power, never when a process dies: lease renewals need no more. A
    transaction waits for the disk as soon as one of its jobs is not relaxed.
    """

    def __init__(self, path: Path, on_committed: Callable[[Iterable[str]], None]) -> None:
        self._path = path
        self._on_committed = on_committed
        self._pending: list[Job[Any]] = []
        self._lock = threading.Lock()
        self._known: dict[str, int] = {}
        self._data_version = -1
        self._is_relaxed = False
        self.transactions_count = 0

    def add(self, job: Job[Any]) -> None:
        """Queue a job for the next transaction."""
        with self._lock:
            self._pending.append(job)

    def drop(self, job: Job[Any]) -> None:
        """Take a job back that has not begun; one that has begun runs to its end."""
        with self._lock:
            if job in self._pending:
                self._pending.remove(job)

    def commit_until(self, connection: sqlite3.Connection, job: Job[Any]) -> None:
        """Run transactions until this job is done; it may be already, in another job's company."""
        while not job.is_done:
            with self._lock:
                jobs = self._pending[:_JOBS_MAX]
                del self._pending[:_JOBS_MAX]
            if not jobs:
                return  # dropped meanwhile
            self._run(connection, jobs)

    def foreign_changes(self, connection: sqlite3.Connection) -> list[str]:
        """Tell which keys other connections touched since the last call; costs nothing when nobody wrote."""
        try:
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if version == self._data_version:
                return []
            self._data_version = version
            signals = dict(connection.execute("SELECT key, version FROM signal"))
        except sqlite3.Error as error:
            raise blame(error, self._path) from error
        changed = [key for key, version in signals.items() if self._known.get(key) != version]
        self._known.update(signals)
        return changed

    def _run(self, connection: sqlite3.Connection, jobs: list[Job[Any]]) -> None:
        transaction = Transaction(connection)
        try:
            self._set_durability(connection, is_relaxed=all(job.is_relaxed for job in jobs))
            transaction.begin()
            if len(jobs) == 1:
                jobs[0].run(transaction)
            else:
                for job in jobs:
                    self._run_apart(connection, job, transaction)
            self._raise_signals(connection, transaction.touched)
            connection.execute("COMMIT")
            self.transactions_count += 1
        except Exception as error:  # noqa: BLE001 - each job hands it to its caller, a bug of ours among them
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            if len(jobs) > 1 and not isinstance(error, sqlite3.OperationalError):
                # One of them is at fault, and the others should not suffer for it. (A file that can not be written
                # is nobody's fault, and would be waited for again and again.)
                for job in jobs:
                    self._run(connection, [job])
                return
            self._end(jobs, blame(error, self._path) if isinstance(error, sqlite3.Error) else error)
            return
        self._end(jobs, None)
        if transaction.touched:
            self._on_committed(transaction.touched)

    @staticmethod
    def _run_apart(connection: sqlite3.Connection, job: Job[Any], transaction: Transaction) -> None:
        """Run a job so that what it refuses does not undo its neighbours."""
        connection.execute("SAVEPOINT job")
        try:
            job.run(transaction)
        except PenstockError as error:
            connection.execute("ROLLBACK TO job")
            job.refuse(error)
        connection.execute("RELEASE job")

    def _raise_signals(self, connection: sqlite3.Connection, keys: Iterable[str]) -> None:
        for key in keys:
            ((version,),) = connection.execute(
                "INSERT INTO signal (key, version) VALUES (?, 1)"
                " ON CONFLICT (key) DO UPDATE SET version = version + 1 RETURNING version",
                (key,),
            ).fetchall()
            self._known[key] = version

    def _set_durability(self, connection: sqlite3.Connection, *, is_relaxed: bool) -> None:
        if is_relaxed != self._is_relaxed:
            connection.execute(f"PRAGMA synchronous = {'NORMAL' if is_relaxed else 'FULL'}")
            self._is_relaxed = is_relaxed

    @staticmethod
    def _end(jobs: list[Job[Any]], error: BaseException | None) -> None:
        for job in jobs:
            if error is not None:
                job.refuse(error)
            job.is_done = True
