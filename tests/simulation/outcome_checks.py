"""What an answer of the function changes: the rules of retries, splits and cuts, written down a second time."""

from __future__ import annotations

from math import ceil, log2

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.core import facts
from simulation.books import Books
from simulation.fate_checks import FateChecks
from simulation.responses import Meaning, read
from simulation.shard_model import Doom, Lane, Segment, Try
from simulation.window_checks import WindowChecks

Ended = Returned | FunctionFailed


class OutcomeChecks:
    def __init__(self, books: Books, windows: WindowChecks, fates: FateChecks) -> None:
        self._books = books
        self._windows = windows
        self._fates = fates
        self._saving: tuple[Try, Returned, Meaning] | None = None

    def on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        books = self._books
        lane = next((each for each in books.lanes() if each.running and each.running.id == fact.id), None)
        if lane is None or lane.running is None:
            return
        running, lane.running = lane.running, None
        if running.is_cancelled or books.is_lost:
            return
        result = fact.result
        if isinstance(result, NotRun):
            lane.not_run += 1
            wait_ms = max(books.wait_least_ms(lane.not_run), result.retry_after_ms or 0)
            lane.not_before_ms = now_ms + wait_ms
            return
        lane.not_run = 0
        lane.not_before_ms = 0
        if running.is_final:
            self._windows.on_final_ended(lane, result, now_ms)
            return
        lane.request_id = running.request_id
        self._count(lane)
        if isinstance(result, FunctionFailed):
            self._fail(lane, running, result, None, now_ms)
            return
        has_window = books.settings.tumbling_window_ms > 0
        reports = books.settings.reports_item_failures
        meaning = read(result.payload, running.positions, reports=reports, has_window=has_window)
        self._on_returned(lane, running, result, meaning, now_ms)

    def on_saved(self, fact: facts.StateSaved, now_ms: int) -> None:
        """Go on with what waited for a window's state to be stored."""
        if self._saving is not None and self._windows.on_saved(fact):
            saving, self._saving = self._saving, None
            self._apply(next(self._books.lanes()), *saving, now_ms)

    def _on_returned(self, lane: Lane, running: Try, result: Returned, meaning: Meaning, now_ms: int) -> None:
        if meaning.kind == "failure":
            self._fail(lane, running, result, None, now_ms)
        elif self._windows.waits_for_store(result, _done(running, meaning)):
            self._saving = running, result, meaning
        else:
            self._apply(lane, running, result, meaning, now_ms)

    def _apply(self, lane: Lane, running: Try, result: Returned, meaning: Meaning, now_ms: int) -> None:
        done = _done(running, meaning)
        if done:
            self._finish(lane, done, result, meaning.kind == "cut", now_ms)
        else:
            self._fail(lane, running, result, meaning.cut, now_ms)

    def _finish(self, lane: Lane, done: list[int], result: Returned, is_cut: bool, now_ms: int) -> None:  # noqa: FBT001
        segment = lane.segments[0]
        self._fates.succeed(lane, done, result, segment.attempts_ended + 1)
        if is_cut:
            segment.attempts_ended = 0
            self._pin(lane)
            lane.not_before_ms = now_ms + self._books.wait_least_ms(1)

    def _fail(self, lane: Lane, running: Try, result: Ended, cut: int | None, now_ms: int) -> None:
        """Split the batch where it may be, or count an attempt and give up after the last (D3, D4)."""
        books, segment, positions = self._books, lane.segments[0], running.positions
        if books.settings.bisects and len(positions) > 1:
            first = 1 if cut == positions[0] else ceil(len(positions) / 2)
            lane.segments.appendleft(Segment(positions[first - 1]))
            segment.attempts_ended = 0
            lane.segments[1].is_pinned = True
            if lane.origin is not None:
                lane.origin.segments += 1
            tries = 1
        else:
            segment.attempts_ended = tries = segment.attempts_ended + 1
            segment.was_response = isinstance(result, Returned)
            if 0 <= books.settings.retry_attempts_max < tries:
                segment.is_pinned = True
                doom = Doom("RetryAttemptsExhausted", positions, tries, result, running.request_id)
                lane.dooms.append(doom)
                return
        self._pin(lane)
        lane.not_before_ms = now_ms + books.wait_least_ms(tries)

    def _pin(self, lane: Lane) -> None:
        lane.segments[0].is_pinned = True
        lane.is_unnoted = True

    def _count(self, lane: Lane) -> None:
        """What a poisoned record costs is bounded (D3), where nothing else goes wrong."""
        books, origin = self._books, lane.origin
        if origin is None:
            return
        origin.tries += 1
        if books.scenario.changes or not books.scenario.blames_rightly:
            return
        each = 2 * ceil(log2(max(origin.count, 2))) + 2 + books.settings.retry_attempts_max
        if books.settings.retry_attempts_max >= 0 and origin.tries > 1 + origin.poisons * each:
            books.fail(f"needs {origin.tries} tries for {origin.poisons} poisons among {origin.count}")
        if origin.segments > 2 * origin.count - 1:
            books.fail(f"splits {origin.count} records into {origin.segments} segments")


def _done(running: Try, meaning: Meaning) -> list[int]:
    return [each for each in running.positions if meaning.cut is None or each < meaning.cut]
