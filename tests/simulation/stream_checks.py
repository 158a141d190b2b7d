"""What must hold for one machine of a shard, looked at around every step.

It keeps books of its own from the facts and commands it sees, and never looks into the machine but through its view.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.batch import RecordBatch
from penstock.core.batcher import RECORDS_AHEAD_LEAST
from penstock.core.settings import StreamSettings
from penstock.core.stream_machine import LAST_COMMIT_MS, StreamMachine
from simulation.layout import event_bytes
from simulation.stream_source import TOO_LARGE_BYTES, Shard
from simulation.trace import Violation

JITTER_LEAST = 0.79
"""The shortest wait is four fifths of the back-off, and a rounding."""


@dataclass(slots=True)
class Bounds:
    """The largest settings that were in force at any time, in all of a run."""

    batch_size: int = 0
    buffer_bytes: int = 0
    retries: int = 0

    def widen(self, settings: StreamSettings, buffer_bytes_max: int) -> None:
        self.batch_size = max(self.batch_size, settings.batch_size)
        self.buffer_bytes = max(self.buffer_bytes, buffer_bytes_max)
        retries = settings.retry_attempts_max if settings.retry_attempts_max >= 0 else 10**9
        self.retries = max(self.retries, retries)


@dataclass(slots=True)
class Books:
    """What the checks know of the one batch that is not settled."""

    batch: RecordBatch | None = None
    attempts_ended: int = 0
    running: int | None = None
    cancelled: bool = False
    not_run: int = 0
    not_before_ms: int = 0
    grants: list[int] = field(default_factory=list)


class StreamChecks:
    """One per machine."""

    def __init__(
        self, machine: StreamMachine, shard: Shard, settings: StreamSettings, bounds: Bounds, number: int
    ) -> None:
        self._machine = machine
        self._shard = shard
        self._settings = settings
        self._bounds = bounds
        self._number = number
        self._books = Books()
        checkpoint = shard.stored
        self._cursor = checkpoint.position if checkpoint is not None else None
        self._resumed = _read_note(checkpoint.note) if checkpoint is not None else None
        self._resolving = -1
        self._committed = -2
        self._is_lost = False
        self._stop_by_ms: int | None = None
        self._is_released = False

    # Facts.

    def on_fact(self, fact: facts.StreamFact | None, now_ms: int) -> None:
        match fact:
            case facts.EnvironmentGranted(id=grant):
                self._books.grants.append(grant)
            case facts.Responded():
                self._on_responded(fact, now_ms)
            case facts.Resolved(id=asked, after=after) if asked == self._resolving and self._cursor is None:
                self._cursor = after
            case facts.Revoked(deadline_ms=deadline_ms):
                self._stop_by_ms = min(self._stop_by_ms or deadline_ms, deadline_ms)
            case facts.Lost():
                self._is_lost = True
            case facts.StreamSettingsChanged(settings=settings):
                self._settings = settings
                self._books.not_before_ms = 0
            case _:
                pass

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        books = self._books
        if books.batch is None or fact.id != books.running:
            return
        books.running = None
        if books.cancelled or self._is_lost:
            return
        match fact.result:
            case Returned():
                for record in books.batch.records:
                    self._shard.at(record.position).is_settled = True
                self._settle(books.batch.position)
            case FunctionFailed():
                books.attempts_ended += 1
                books.not_run = 0
                books.not_before_ms = now_ms + self._wait_least_ms(books.attempts_ended)
            case NotRun(retry_after_ms=retry_after_ms):
                books.not_run += 1
                wait_ms = max(self._wait_least_ms(books.not_run), retry_after_ms or 0)
                books.not_before_ms = now_ms + wait_ms

    def _settle(self, position: int) -> None:
        self._cursor = position
        self._books.batch = None
        self._books.attempts_ended = self._books.not_run = self._books.not_before_ms = 0

    def _wait_least_ms(self, tries: int) -> int:
        backoff = self._settings.backoff
        return int(min(backoff.initial_ms * backoff.multiplier ** (tries - 1), backoff.maximum_ms) * JITTER_LEAST)

    # Commands.

    def on_command(self, command: do.StreamCommand, now_ms: int) -> None:
        if self._is_released and not isinstance(command, do.ReturnEnvironment):
            self._fail(f"said {command} after its release")
        match command:
            case do.Resolve(id=asked):
                self._resolving = asked
            case do.Invoke():
                self._on_invoke(command, now_ms)
            case do.Commit(checkpoint=checkpoint):
                self._on_commit(checkpoint.position, checkpoint.note, now_ms)
            case do.Cancel(id=invocation_id) if invocation_id == self._books.running:
                self._books.cancelled = True
            case do.ReturnEnvironment(id=grant) if grant in self._books.grants:
                self._books.grants.remove(grant)
            case do.Announce(report=report):
                self._on_report(report)
            case do.Release():
                self._on_release()
            case _:
                pass

    def _on_invoke(self, command: do.Invoke, now_ms: int) -> None:
        books, batch = self._books, command.batch
        assert isinstance(batch, RecordBatch)
        if command.grant not in books.grants:
            self._fail(f"invokes under {command.grant}, which it does not hold")
        books.grants.remove(command.grant)
        if self._stop_by_ms is not None or self._is_lost:
            self._fail("invokes while it stops")
        if books.running is not None and not books.cancelled:
            self._fail("has two batches in flight")
        if event_bytes(batch.records) > self._settings.event_bytes_max:
            self._fail(f"invokes an event of {event_bytes(batch.records)} bytes")
        if now_ms < books.not_before_ms:
            self._fail(f"tries again at {now_ms}, before {books.not_before_ms}")
        if books.batch is None:
            self._check_begins(batch)
            books.batch = batch
        elif books.batch.records != batch.records:
            self._fail(f"tries other records than before: {batch.first}..{batch.last}")
        self._check_attempt(command.attempt, batch)
        books.running, books.cancelled = command.id, False

    def _check_begins(self, batch: RecordBatch) -> None:
        """A new batch is what follows the one before, without a hole that was not reported."""
        assert self._cursor is not None
        books, positions = self._books, {record.position for record in batch.records}
        if batch.first <= self._cursor:
            self._fail(f"invokes {batch.first} again, which it had settled")
        for kept in self._shard.between(self._cursor, batch.last):
            if kept.record.position not in positions and not kept.is_lost:
                self._fail(f"passes over {kept.record.position}")
        if list(batch.records) != sorted(batch.records, key=lambda record: record.position):
            self._fail("invokes records out of order")
        books.attempts_ended = 0
        if self._resumed is not None and self._resumed[1] >= batch.first:
            books.attempts_ended, end = self._resumed
            if any(not kept.is_lost for kept in self._shard.between(batch.last, end)) or batch.last > end:
                self._fail(f"resumes {batch.first}..{batch.last}, not up to {end}")
        elif len(batch.records) > self._bounds.batch_size:
            self._fail(f"invokes {len(batch.records)} records")
        self._resumed = None

    def _check_attempt(self, attempt: int, batch: RecordBatch) -> None:
        if attempt != self._books.attempts_ended + 1:
            self._fail(f"calls it attempt {attempt} after {self._books.attempts_ended} that ended")
        if attempt > self._bounds.retries + 1:
            self._fail(f"makes attempt {attempt}")
        if self._shard.owner != self._number:
            return
        noted = _read_note(self._shard.stored.note) if self._shard.stored is not None else None
        if attempt > 1 and noted is None:
            self._fail(f"makes attempt {attempt} before the one that ended is on record")
        if noted is not None and noted[1] >= batch.first and noted != (attempt - 1, batch.last):
            self._fail(f"makes attempt {attempt} of {batch.first}..{batch.last}; on record are {noted}")

    def _on_commit(self, position: int, note: str, now_ms: int) -> None:
        if self._is_lost:
            self._fail("commits a shard that it has lost")
        if self._stop_by_ms is not None and now_ms >= self._stop_by_ms + LAST_COMMIT_MS:
            self._fail("commits after its time")
        if position < self._committed:
            self._fail(f"commits {position} after {self._committed}")
        self._committed = position
        for kept in self._shard.between(-1 if self._cursor is None else self._cursor, position):
            if not kept.is_lost:
                self._fail(f"commits {position}, beyond {kept.record.position}, which is not settled")
        noted = _read_note(note)
        if noted is not None and self._books.batch is not None:
            batch = self._books.batch
            if noted != (self._books.attempts_ended, batch.last):
                self._fail(f"writes {noted} of {batch.first}..{batch.last} after {self._books.attempts_ended}")

    def _on_report(self, report: reports.Report) -> None:
        match report:
            case reports.PositionLost(first=first, last=last):
                for kept in self._shard.between(first - 1, last):
                    kept.is_lost = True
            case reports.RecordsDropped():
                self._on_dropped(report)
            case _:
                pass

    def _on_dropped(self, report: reports.RecordsDropped) -> None:
        dropped = self._shard.between(int(report.first) - 1, int(report.last))
        books = self._books
        if report.condition == "MaximumPayloadSizeExceeded":
            if report.records != 1 or len(dropped[0].record.value or b"") < TOO_LARGE_BYTES:
                self._fail(f"drops {report.first} as too large")
            self._cursor = int(report.last)
        else:
            if books.batch is None or (str(books.batch.first), str(books.batch.last)) != (report.first, report.last):
                self._fail(f"drops {report.first}..{report.last}, which it did not run")
            if not 0 <= self._settings.retry_attempts_max < books.attempts_ended:
                self._fail(f"gives up after {books.attempts_ended} attempts")
            position = books.batch.position
            dropped = [kept for kept in dropped if kept.record in books.batch.records]
            self._settle(position)
        for kept in dropped:
            kept.is_dropped = True

    def _on_release(self) -> None:
        self._is_released = True
        if self._stop_by_ms is None and not self._is_lost:
            self._fail("lets go of its own accord")
        if self._books.running is not None and not self._books.cancelled:
            self._fail("lets go while its batch runs")

    # The state after a step.

    def after_step(self, now_ms: int) -> None:
        if self._books.grants:
            self._fail(f"neither uses nor gives back an environment at {now_ms}")
        view = self._machine.view()
        bounds = self._bounds
        bytes_bound = 2 * bounds.buffer_bytes + TOO_LARGE_BYTES + bounds.batch_size * 130
        if view.buffered > 2 * max(2 * bounds.batch_size, RECORDS_AHEAD_LEAST) or view.buffered_bytes > bytes_bound:
            self._fail(f"buffers {view.buffered} records, {view.buffered_bytes} bytes")

    def _fail(self, what: str) -> None:
        raise Violation(f"machine {self._number} of {self._shard.name} {what}")


def _read_note(note: str) -> tuple[int, int] | None:
    """Read a note without the core's help: attempts that ended, and where their batch ends."""
    if not note:
        return None
    written = json.loads(note)
    return written["a"], written["e"]
