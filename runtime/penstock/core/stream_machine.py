"""One shard of a stream mapping: what to fetch, invoke, commit and drop, and when.

Promises: one batch is with the function at a time; a batch that failed is tried again whole and in order until it
succeeds or its retries are used up (D1, D2); the checkpoint never passes a record that is not settled; an attempt that
ended is committed before the next one begins, so a crash never repeats it (P5). The machine never reads a clock, never
waits and never touches a broker: facts come in through `handle`, commands go out of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import assert_never

from penstock.api import AssignedShard, Checkpoint, Record, Start
from penstock.core import commands as do
from penstock.core import facts, note, outcome, reports, retry
from penstock.core.attempt import Running, Unsettled
from penstock.core.batcher import Batcher
from penstock.core.events.layout import Layout
from penstock.core.progress import Progress
from penstock.core.reading import Reading
from penstock.core.settings import StreamSettings
from penstock.core.views import Counters, StreamState, StreamView

INVOKE_SLACK_MS = 60_000
"""How long beyond the function's timeout an answer may take: a start of the environment and some patience."""
CANCEL_ANSWER_MS = 15_000
QUIET_MS = 1_000
"""A position that moved without records (transaction markers) is committed after so long without any."""
LAST_COMMIT_MS = 1_000
"""What finished at the very end of a stop still gets so long to be committed."""


@dataclass(slots=True)
class _Begun:
    """What there is once the position is known."""

    progress: Progress
    batcher: Batcher
    attempts_resumed: int
    """Attempts that ended before a restart, of the batch that comes first (D2)."""
    quiet_since_ms: int | None
    unsettled: Unsettled | None = None
    lag_beyond: int | None = None


class StreamMachine:
    """Decides for one shard. Has the face that all machines have (`design.md §4`)."""

    def __init__(
        self,
        assigned: AssignedShard,
        settings: StreamSettings,
        layout: Layout[Record],
        *,
        jitter: retry.Jitter,
        request_ids: Iterator[str],
        buffer_bytes_max: int,
    ) -> None:
        """Take the shard with its checkpoint, the mapping's settings, the layout of its events, chance and names."""
        self.counters = Counters()
        self._assigned = assigned
        self._settings = settings
        self._layout = layout
        self._jitter = jitter
        self._request_ids = request_ids
        self._buffer_bytes_max = buffer_bytes_max
        self._last_id = 0
        self._out: list[do.StreamCommand] = []
        self._reading = Reading(back_off_ms=self._back_off_ms, take_id=self._new_id)
        self._begun: _Begun | None = None
        self._granting: int | None = None
        self._has_prepared = False
        self._stop_by_ms: int | None = None
        self._may_still_commit = True
        self._is_lost = False
        self._is_released = False
        self._held_because = ""

    # What comes in.

    def handle(self, fact: facts.StreamFact | None, *, now_ms: int) -> list[do.StreamCommand]:
        """Take in what happened (None: only time passed) and say what to do."""
        assert not self._out
        if not self._is_released:
            if fact is not None:
                self._take_in(fact, now_ms)
            self._advance(now_ms)
        elif isinstance(fact, facts.EnvironmentGranted):
            self._out.append(do.ReturnEnvironment(fact.id))
        issued, self._out = self._out, []
        return issued

    def next_deadline_ms(self) -> int | None:
        """Tell when to call `handle` again if nothing happens before."""
        if self._is_released:
            return None
        deadlines = [self._reading.deadline_ms()] if self._stop_by_ms is None else [self._stop_deadline_ms()]
        if self._begun is not None and self._stop_by_ms is None:
            deadlines += [self._begun.progress.deadline_ms(), self._next_batch_ms(self._begun)]
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def view(self) -> StreamView:
        """Show how it stands."""
        begun, unsettled = self._begun, self._begun.unsettled if self._begun else None
        is_anchored = begun is not None and (self._assigned.checkpoint is not None or begun.progress.has_committed)
        return StreamView(
            state=self._state(),
            committed=begun.progress.committed.position if begun else None,
            reached=begun.batcher.reached if begun else None,
            buffered=len(begun.batcher) if begun else 0,
            buffered_bytes=begun.batcher.bytes_count if begun else 0,
            lag=_lag(begun) if begun else None,
            in_flight=unsettled.view() if unsettled else None,
            attempts_ended=unsettled.attempts_ended if unsettled else 0,
            last_error=self._last_error(),
            blocked_since_ms=unsettled.first_failed_ms if unsettled else None,
            next_try_ms=unsettled.due_ms if unsettled else self._reading.retry_ms,
            is_anchored=is_anchored,
            is_idle=self._is_idle(),
            counters=self.counters,
        )

    def _take_in(self, fact: facts.StreamFact, now_ms: int) -> None:  # noqa: C901 - one arm for each fact
        match fact:
            case facts.Resolved():
                if self._reading.take_answer(fact.id):
                    self._begin(Checkpoint(fact.after), None, self._start().position, now_ms)
            case facts.RecordsFetched():
                self._on_fetched(fact, now_ms)
            case facts.SourceFailed():
                self._on_source_failed(fact, now_ms)
            case facts.EnvironmentGranted():
                self._on_granted(fact, now_ms)
            case facts.Responded():
                self._on_responded(fact, now_ms)
            case facts.Committed() | facts.CommitFailed():
                self._on_commit_answered(fact, now_ms)
            case facts.Revoked():
                deadline_ms = max(fact.deadline_ms, now_ms)
                self._stop_by_ms = deadline_ms if self._stop_by_ms is None else min(self._stop_by_ms, deadline_ms)
            case facts.Lost():
                self._is_lost = True
                self._stop_by_ms = now_ms
            case facts.StreamSettingsChanged() | facts.BudgetChanged():
                self._on_changed(fact)
            case _:
                assert_never(fact)

    def _on_fetched(self, fact: facts.RecordsFetched, now_ms: int) -> None:
        begun = self._begun
        if not self._reading.take_answer(fact.id) or begun is None or self._stop_by_ms is not None:
            return
        fetched = fact.fetched
        if fetched.gap is not None:
            self.counters.lost += fetched.gap.last - fetched.gap.first + 1
            self._announce(reports.PositionLost(fetched.gap.first, fetched.gap.last))
        if fetched.position > begun.batcher.reached:
            begun.quiet_since_ms = now_ms
        self.counters.polled += len(fetched.records)
        begun.batcher.add(fetched, now_ms)
        begun.lag_beyond = fetched.lag

    def _on_source_failed(self, fact: facts.SourceFailed, now_ms: int) -> None:
        failed = self._reading.take_failure(fact.id, fact.reason, now_ms)
        if failed is not None:
            action, wait_ms = failed
            self._announce(reports.SourceTroubled(action, fact.reason, wait_ms))

    def _on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> None:
        begun = self._begun
        is_awaited = self._granting == fact.id
        if is_awaited:
            self._granting = None
        if not is_awaited or begun is None or not self._may_invoke(begun, now_ms):
            self._out.append(do.ReturnEnvironment(fact.id))
            return
        self._invoke(begun.unsettled or self._take_batch(begun), fact.id, now_ms)

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        begun = self._begun
        unsettled = begun.unsettled if begun else None
        running = unsettled.running if unsettled else None
        if begun is None or unsettled is None or running is None or running.id != fact.id:
            return
        unsettled.running = None
        if self._is_lost or running.cancelled:
            # Its result is ignored: the checkpoint stays before the batch, and nothing is counted (D10).
            return
        match outcome.read(fact.result):
            case outcome.Succeeded() as succeeded:
                self.counters.processed += len(unsettled.batch.records)
                self._settle(begun, unsettled)
                self._announce(unsettled.report_succeeded(running.request_id, succeeded))
            case outcome.Failed() as failed:
                self._on_failed(begun, unsettled, running, failed, now_ms)
            case outcome.Throttled() as throttled:
                self._on_throttled(unsettled, throttled, now_ms)
            case never:
                assert_never(never)

    def _on_failed(
        self, begun: _Begun, unsettled: Unsettled, running: Running, failed: outcome.Failed, now_ms: int
    ) -> None:
        unsettled.fail(failed, now_ms)
        self.counters.failed_invocations += 1
        match self._retry_policy().after(unsettled.attempts_ended):
            case retry.RetryAfter(wait_ms=wait_ms):
                unsettled.due_ms = now_ms + wait_ms
                written = note.write(note.Note(unsettled.attempts_ended, unsettled.batch.last))
                begun.progress.settle(begun.progress.settled.position, written)
                self._announce(unsettled.report_failed(running.request_id, failed, wait_ms))
            case retry.GiveUp(condition=condition):
                self._announce(unsettled.report_failed(running.request_id, failed, None))
                self._give_up(begun, unsettled, condition)

    def _on_throttled(self, unsettled: Unsettled, throttled: outcome.Throttled, now_ms: int) -> None:
        unsettled.not_run += 1
        wait_ms = self._retry_policy().after_not_run(unsettled.not_run).wait_ms
        wait_ms = max(wait_ms, throttled.retry_after_ms or 0)
        unsettled.due_ms = now_ms + wait_ms
        self._announce(unsettled.report_not_run(throttled, wait_ms))

    def _on_commit_answered(self, fact: facts.Committed | facts.CommitFailed, now_ms: int) -> None:
        if self._begun is None:
            return
        progress = self._begun.progress
        if isinstance(fact, facts.Committed):
            progress.on_committed(fact.id)
            return
        wait_ms = progress.on_failed(fact.id, fact.reason, refused=fact.refused, now_ms=now_ms)
        if wait_ms is not None:
            self._announce(reports.SourceTroubled("commit", fact.reason, wait_ms))

    def _on_changed(self, fact: facts.StreamSettingsChanged | facts.BudgetChanged) -> None:
        if isinstance(fact, facts.BudgetChanged):
            self._buffer_bytes_max = fact.bytes_max
        else:
            self._settings = fact.settings
        self._has_prepared = False
        if self._begun is not None:
            self._begun.batcher.change(
                batch_size=self._settings.batch_size,
                batching_window_ms=self._settings.batching_window_ms,
                event_bytes_max=self._settings.event_bytes_max,
                buffer_bytes_max=self._buffer_bytes_max,
            )

    # What goes out.

    def _advance(self, now_ms: int) -> None:
        """Do whatever is due. Each step looks at the state alone, so that their order is all there is to know."""
        if self._stop_by_ms is not None:
            self._stop(self._stop_by_ms, now_ms)
            return
        begun = self._begun or self._start_reading(now_ms)
        if begun is None:
            return
        self._check_running(begun, now_ms)
        self._drop_too_large(begun, now_ms)
        self._request_environment(begun, now_ms)
        self._prepare(begun)
        self._settle_quiet_position(begun, now_ms)
        self._commit(begun, now_ms)
        self._ask(self._reading.fetch(begun.batcher.reached, begun.batcher.room(), now_ms))

    def _start_reading(self, now_ms: int) -> _Begun | None:
        checkpoint = self._assigned.checkpoint
        if checkpoint is None:
            self._ask(self._reading.resolve(self._start(), now_ms))
            return None
        resumed = note.read(checkpoint.note)
        if isinstance(resumed, note.UnknownNote):
            self._hold(f"its checkpoint has a note of version {resumed.version}; this node reads {note.VERSION}")
            return None
        return self._begin(checkpoint, resumed, "CHECKPOINT", now_ms)

    def _start(self) -> Start:
        # A shard that came later has only records that were written while the mapping was reading (D47).
        return Start("TRIM_HORIZON") if self._assigned.appeared_later else self._settings.start

    def _begin(self, checkpoint: Checkpoint, resumed: note.Note | None, origin: str, now_ms: int) -> _Begun:
        settings = self._settings
        batcher = Batcher(
            self._layout,
            after=checkpoint.position,
            batch_size=settings.batch_size,
            batching_window_ms=settings.batching_window_ms,
            event_bytes_max=settings.event_bytes_max,
            buffer_bytes_max=self._buffer_bytes_max,
        )
        attempts_resumed = 0
        if resumed is not None and resumed.batch_end > checkpoint.position:
            attempts_resumed = resumed.attempts_ended
            batcher.resume(resumed.batch_end)
        # A start that was just resolved is committed at once, so that it is the same after a crash (D47).
        progress = Progress(checkpoint, is_stored=self._assigned.checkpoint is not None, back_off_ms=self._back_off_ms)
        self._begun = _Begun(progress, batcher, attempts_resumed, now_ms)
        self._announce(reports.Started(checkpoint.position, origin))
        return self._begun

    def _hold(self, reason: str) -> None:
        if self._held_because != reason:
            self._held_because = reason
            self._announce(reports.Held(reason))

    def _check_running(self, begun: _Begun, now_ms: int) -> None:
        """An invocation that never answers is ended, and was no attempt: its answer was lost, not the function."""
        unsettled = begun.unsettled
        if unsettled is None or unsettled.running is None or now_ms < unsettled.running.answer_by_ms:
            return
        if unsettled.running.cancelled:
            unsettled.running = None
        else:
            self._cancel(unsettled.running, now_ms)

    def _cancel(self, running: Running, now_ms: int) -> None:
        running.cancelled = True
        running.answer_by_ms = now_ms + CANCEL_ANSWER_MS
        self._out.append(do.Cancel(running.id))

    def _drop_too_large(self, begun: _Begun, now_ms: int) -> None:
        is_incomplete = begun.batcher.is_resuming and not begun.batcher.is_ready(now_ms)
        if is_incomplete or begun.progress.must_hold:
            return
        while begun.unsettled is None and len(begun.batcher) and begun.batcher.peek().too_large:
            unsettled = self._take_batch(begun)
            unsettled.error_message = f"the record's event is larger than {self._settings.event_bytes_max} bytes"
            self._give_up(begun, unsettled, "MaximumPayloadSizeExceeded")

    def _request_environment(self, begun: _Begun, now_ms: int) -> None:
        if self._granting is None and self._may_invoke(begun, now_ms):
            self._granting = self._new_id()
            self._out.append(do.RequestEnvironment(self._granting))

    def _may_invoke(self, begun: _Begun, now_ms: int) -> bool:
        if begun.progress.must_hold or self._stop_by_ms is not None:
            return False
        unsettled = begun.unsettled
        if unsettled is None:
            return begun.batcher.is_ready(now_ms) and not begun.batcher.peek().too_large
        if unsettled.running is not None or (unsettled.due_ms is not None and now_ms < unsettled.due_ms):
            return False
        # The attempt that ended is on record before the next one begins (P5).
        return unsettled.attempts_ended == 0 or begun.progress.is_clean

    def _take_batch(self, begun: _Begun) -> Unsettled:
        self._has_prepared = False
        attempts_ended = begun.attempts_resumed if begun.batcher.is_resuming else 0
        begun.unsettled = Unsettled(begun.batcher.take(), attempts_ended=attempts_ended)
        begun.attempts_resumed = 0
        return begun.unsettled

    def _invoke(self, unsettled: Unsettled, grant: int, now_ms: int) -> None:
        request_id = next(self._request_ids)
        answer_by_ms = now_ms + self._settings.function_timeout_ms + INVOKE_SLACK_MS
        unsettled.running = Running(self._new_id(), request_id, now_ms, answer_by_ms)
        unsettled.due_ms = None
        self.counters.invocations += 1
        attempt = unsettled.attempts_ended + 1
        self._out.append(do.Invoke(unsettled.running.id, grant, request_id, unsettled.batch, attempt))

    def _prepare(self, begun: _Begun) -> None:
        is_busy = begun.unsettled is not None and begun.unsettled.running is not None
        if not is_busy or self._has_prepared or begun.batcher.is_resuming or not len(begun.batcher):
            return
        if begun.batcher.is_full() and not begun.batcher.peek().too_large:
            self._has_prepared = True
            self._out.append(do.Prepare(begun.batcher.peek()))

    def _settle_quiet_position(self, begun: _Begun, now_ms: int) -> None:
        """Move the checkpoint over positions that hold no records, once none have come for a moment."""
        batcher = begun.batcher
        if begun.unsettled is not None or len(batcher) or begun.quiet_since_ms is None:
            return
        if batcher.skip_resumed():
            begun.attempts_resumed = 0
        if now_ms >= begun.quiet_since_ms + QUIET_MS:
            begun.quiet_since_ms = None
            if batcher.reached > begun.progress.settled.position and not batcher.is_resuming:
                begun.progress.settle(batcher.reached)

    def _commit(self, begun: _Begun, now_ms: int) -> None:
        due = begun.progress.next(now_ms, self._new_id)
        if due is not None:
            self._out.append(do.Commit(*due))

    def _ask(self, question: do.Resolve | do.Fetch | None) -> None:
        if question is not None:
            self._out.append(question)

    def _settle(self, begun: _Begun, unsettled: Unsettled) -> None:
        begun.progress.settle(unsettled.batch.position)
        begun.unsettled = None

    def _give_up(self, begun: _Begun, unsettled: Unsettled, condition: str) -> None:
        self.counters.dropped += len(unsettled.batch.records)
        self._settle(begun, unsettled)
        self._announce(unsettled.report_dropped(condition))

    # How it ends.

    def _stop(self, stop_by_ms: int, now_ms: int) -> None:
        """Let what runs end, settle it, and let go; at the deadline end what runs (D10, D40)."""
        if self._granting is not None:
            self._out.append(do.ReturnEnvironment(self._granting))
            self._granting = None
        begun = self._begun
        if begun is not None:
            self._stop_running(begun.unsettled, stop_by_ms, now_ms)
            is_running = begun.unsettled is not None and begun.unsettled.running is not None
            self._may_still_commit = not self._is_lost and now_ms < stop_by_ms + LAST_COMMIT_MS
            if self._may_still_commit:
                self._commit(begun, now_ms)
            if is_running or (self._may_still_commit and not begun.progress.is_clean):
                return
        self._is_released = True
        self._out.append(do.Release())

    def _stop_running(self, unsettled: Unsettled | None, stop_by_ms: int, now_ms: int) -> None:
        running = unsettled.running if unsettled else None
        if unsettled is None or running is None:
            return
        if not running.cancelled and now_ms >= stop_by_ms:
            self._cancel(running, now_ms)
        elif running.cancelled and now_ms >= running.answer_by_ms:
            unsettled.running = None

    def _stop_deadline_ms(self) -> int | None:
        begun = self._begun
        running = begun.unsettled.running if begun and begun.unsettled else None
        if self._stop_by_ms is None or begun is None:
            return self._stop_by_ms
        end_ms = self._stop_by_ms + LAST_COMMIT_MS
        if running is not None:
            end_ms = running.answer_by_ms if running.cancelled else self._stop_by_ms
        retry_ms = begun.progress.deadline_ms() if self._may_still_commit else None
        return end_ms if retry_ms is None else min(retry_ms, end_ms)

    # Small change.

    def _back_off_ms(self, tries: int) -> int:
        return retry.wait_ms(self._settings.backoff, tries, self._jitter)

    def _retry_policy(self) -> retry.RetryPolicy:
        return retry.RetryPolicy(
            backoff=self._settings.backoff,
            retry_attempts_max=self._settings.retry_attempts_max,
            jitter=self._jitter,
        )

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _announce(self, report: reports.Report) -> None:
        self._out.append(do.Announce(report))

    def _next_batch_ms(self, begun: _Begun) -> int | None:
        """Tell when the next batch is due; None while it waits for a fact and not for time."""
        unsettled = begun.unsettled
        if unsettled is not None and unsettled.running is not None:
            return unsettled.running.answer_by_ms
        if self._granting is not None or begun.progress.must_hold:
            return None
        if unsettled is not None:
            return unsettled.due_ms if unsettled.attempts_ended == 0 or begun.progress.is_clean else None
        if len(begun.batcher):
            return begun.batcher.deadline_ms()
        return begun.quiet_since_ms + QUIET_MS if begun.quiet_since_ms is not None else None

    def _is_idle(self) -> bool:
        begun = self._begun
        if begun is None or self._is_released:
            return self._is_released
        is_empty = begun.unsettled is None and not len(begun.batcher) and not begun.batcher.is_resuming
        return is_empty and begun.progress.is_clean and self._reading.retry_ms is None

    def _last_error(self) -> str:
        begun = self._begun
        unsettled = begun.unsettled if begun else None
        if unsettled is not None and unsettled.last_error:
            return unsettled.last_error
        return self._held_because or self._reading.last_error or (begun.progress.last_error if begun else "")

    def _state(self) -> StreamState:
        if self._is_released:
            return "released"
        if self._stop_by_ms is not None:
            return "stopping"
        if self._held_because:
            return "held"
        if self._begun is None:
            return "starting"
        unsettled = self._begun.unsettled
        return "retrying" if unsettled is not None and unsettled.attempts_ended else "running"


def _lag(begun: _Begun) -> int | None:
    if begun.lag_beyond is None:
        return None
    unsettled = len(begun.unsettled.batch.records) if begun.unsettled else 0
    return begun.lag_beyond + len(begun.batcher) + unsettled
