"""What may be committed: nothing that is not done, never backwards, with a note that fits; and what was lost."""

from __future__ import annotations

from penstock.api import NOTE_BYTES_MAX
from penstock.core import commands as do
from penstock.core import reports
from simulation.books import Books
from simulation.shard_model import Snapshot

LAST_COMMIT_MS = 1_000
"""So long after its deadline a machine that stops may still commit."""


class CheckpointChecks:
    def __init__(self, books: Books) -> None:
        self._books = books
        self._committed = -2
        self.snapshots: dict[int, Snapshot] = {}
        """For each commit what the model was when it was said."""

    def on_commit(self, command: do.Commit, now_ms: int) -> None:
        books, position, note = self._books, command.checkpoint.position, command.checkpoint.note
        if books.is_lost:
            books.fail("commits a shard that it has lost")
        if books.stop_by_ms is not None and now_ms >= books.stop_by_ms + LAST_COMMIT_MS:
            books.fail("commits after its time")
        if position < self._committed:
            books.fail(f"commits {position} after {self._committed}")
        if len(note) > NOTE_BYTES_MAX or not note.isascii() or not note.isprintable():
            books.fail(f"writes a note of {len(note)} characters: {note}")
        self._committed = position
        if books.model.cursor is None:
            books.fail(f"commits {position} without a start")
        books.know_factor()
        undone = next(books.model.undone(until=position), None)
        if undone is not None:
            books.fail(f"commits {position}, beyond {undone.record.position}, which is not done")
        self.snapshots[command.id] = books.model.snapshot(position)

    def on_position_lost(self, report: reports.PositionLost) -> None:
        books = self._books
        if report.last >= books.shard.oldest:
            books.fail(f"says that {report.last} is lost, which is there")
        for kept in books.model.lose(report.first, report.last):
            kept.is_lost = True

    def on_lanes_changed(self, report: reports.LanesChanged) -> None:
        books = self._books
        model = books.model
        if model.factor is None:
            if model.resumed is not None and not model.resumed.is_clean and model.resumed.factor != report.before:
                books.fail(f"begins with {report.before} lanes what was begun with {model.resumed.factor}")
            model.set_factor(report.before)
        if not model.is_level():
            books.fail(f"changes from {report.before} to {report.after} lanes while something is begun")
        if model.factor not in {None, report.before}:
            books.fail(f"changes from {report.before} lanes, but has {model.factor}")
        model.set_factor(report.after)
