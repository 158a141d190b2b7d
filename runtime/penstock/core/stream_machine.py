"""One shard of a stream mapping: what to fetch, invoke, commit and drop, and when.

Promises: one batch is with the function at a time; a batch that failed is tried again whole and in order until it
succeeds or its retries are used up (D1, D2); the checkpoint never passes a record that is not settled; an attempt that
ended is committed before the next one begins, so a crash never repeats it (P5). The machine never reads a clock, never
waits and never touches a broker: facts come in through `handle`, commands go out of it.
"""

from collections.abc import Iterator
from typing import assert_never

from penstock.api import AssignedShard, Checkpoint, Record, Start
from penstock.core import commands as do
from penstock.core import facts, note, outcome, reports, retry
from penstock.core.attempt import Running, Unsettled
from penstock.core.batcher import Batcher
from penstock.core.events.layout import Layout
from penstock.core.filtering import Filtering, sift_fetched
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.reading import Reading
from penstock.core.settings import StreamSettings
from penstock.core.shard import Shard
from penstock.core.views import Counters, StreamState, StreamView

INVOKE_SLACK_MS = 60_000
"""How long beyond the function's timeout an answer may take: a start of the environment and some patience."""
CANCEL_ANSWER_MS = 15_000
LAST_COMMIT_MS = 1_000
"""What finished at the very end of a stop still gets so long to be committed."""


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
        record_filter: RecordFilter[Record] | None = None,
    ) -> None:
        """Take the shard with its checkpoint, the mapping's settings, the layout of its events, chance and names."""
        self.counters = Counters()
        self._assigned = assigned
        self._settings = settings
        self._layout = layout
        self._filtering = Filtering(record_filter)
        self._jitter = jitter
        self._request_ids = request_ids
        self._buffer_bytes_max = buffer_bytes_max
        self._last_id = 0
        self._out: list[do.StreamCommand] = []
        self._reading = Reading(back_off_ms=self._back_off_ms, take_id=self._new_id)
        self._shard: Shard | None = None
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
        if self._shard is not None and self._stop_by_ms is None:
            deadlines.append(self._shard.deadline_ms(is_granting=self._granting is not None))
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def view(self) -> StreamView:
        """Show how it stands."""
        shard, unsettled = self._shard, self._shard.unsettled if self._shard else None
        is_anchored = shard is not None and (self._assigned.checkpoint is not None or shard.progress.has_committed)
        return StreamView(
            state=self._state(),
            committed=shard.progress.committed.position if shard else None,
            reached=shard.batcher.reached if shard else None,
            buffered=len(shard.batcher) if shard else 0,
            buffered_bytes=shard.batcher.bytes_count if shard else 0,
            lag=shard.lag if shard else None,
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
        shard = self._shard
        if not self._reading.take_answer(fact.id) or shard is None or self._stop_by_ms is not None:
            return
        fetched = fact.fetched
        if fetched.gap is not None:
            self.counters.lost += fetched.gap.last - fetched.gap.first + 1
            self._announce(reports.PositionLost(fetched.gap.first, fetched.gap.last))
        sifted = sift_fetched(self._filtering, fetched)
        self.counters.polled += len(fetched.records)
        self.counters.filtered += len(fetched.records) - len(sifted.records)
        shard.add(sifted, now_ms)

    def _on_source_failed(self, fact: facts.SourceFailed, now_ms: int) -> None:
        failed = self._reading.take_failure(fact.id, fact.reason, now_ms)
        if failed is not None:
            action, wait_ms = failed
            self._announce(reports.SourceTroubled(action, fact.reason, wait_ms))

    def _on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> None:
        shard = self._shard
        is_awaited = self._granting == fact.id
        if is_awaited:
            self._granting = None
        if not is_awaited or shard is None or self._stop_by_ms is not None or not shard.may_invoke(now_ms):
            self._out.append(do.ReturnEnvironment(fact.id))
            return
        self._invoke(shard.unsettled or self._take_batch(shard), fact.id, now_ms)

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        shard = self._shard
        unsettled = shard.unsettled if shard else None
        running = unsettled.running if unsettled else None
        if shard is None or unsettled is None or running is None or running.id != fact.id:
            return
        unsettled.running = None
        if self._is_lost or running.cancelled:
            # Its result is ignored: the checkpoint stays before the batch, and nothing is counted (D10).
            return
        match outcome.read(fact.result):
            case outcome.Succeeded() as succeeded:
                self.counters.processed += len(unsettled.batch.records)
                shard.settle(unsettled)
                self._announce(unsettled.report_succeeded(running.request_id, succeeded))
            case outcome.Failed() as failed:
                self._on_failed(shard, unsettled, running, failed, now_ms)
            case outcome.Throttled() as throttled:
                self._on_throttled(unsettled, throttled, now_ms)
            case never:
                assert_never(never)

    def _on_failed(
        self, shard: Shard, unsettled: Unsettled, running: Running, failed: outcome.Failed, now_ms: int
    ) -> None:
        unsettled.fail(failed, now_ms)
        self.counters.failed_invocations += 1
        match self._retry_policy().after(unsettled.attempts_ended):
            case retry.RetryAfter(wait_ms=wait_ms):
                unsettled.due_ms = now_ms + wait_ms
                shard.keep_attempts(unsettled)
                self._announce(unsettled.report_failed(running.request_id, failed, wait_ms))
            case retry.GiveUp(condition=condition):
                self._announce(unsettled.report_failed(running.request_id, failed, None))
                self._give_up(shard, unsettled, condition)

    def _on_throttled(self, unsettled: Unsettled, throttled: outcome.Throttled, now_ms: int) -> None:
        unsettled.not_run += 1
        wait_ms = self._retry_policy().after_not_run(unsettled.not_run).wait_ms
        wait_ms = max(wait_ms, throttled.retry_after_ms or 0)
        unsettled.due_ms = now_ms + wait_ms
        self._announce(unsettled.report_not_run(throttled, wait_ms))

    def _on_commit_answered(self, fact: facts.Committed | facts.CommitFailed, now_ms: int) -> None:
        if self._shard is None:
            return
        progress = self._shard.progress
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
        if self._shard is not None:
            self._shard.batcher.change(
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
        shard = self._shard or self._start_reading(now_ms)
        if shard is None:
            return
        self._check_running(shard, now_ms)
        self._drop_too_large(shard, now_ms)
        self._request_environment(shard, now_ms)
        self._prepare(shard)
        shard.settle_quiet_position(now_ms)
        self._commit(shard, now_ms)
        self._ask(self._reading.fetch(shard.batcher.reached, shard.batcher.room(), now_ms))

    def _start_reading(self, now_ms: int) -> Shard | None:
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

    def _begin(self, checkpoint: Checkpoint, resumed: note.Note | None, origin: str, now_ms: int) -> Shard:
        settings = self._settings
        batcher = Batcher(
            self._layout,
            after=checkpoint.position,
            batch_size=settings.batch_size,
            batching_window_ms=settings.batching_window_ms,
            event_bytes_max=settings.event_bytes_max,
            buffer_bytes_max=self._buffer_bytes_max,
        )
        self._shard = Shard(
            checkpoint,
            batcher,
            resumed=resumed,
            is_stored=self._assigned.checkpoint is not None,
            back_off_ms=self._back_off_ms,
            now_ms=now_ms,
        )
        self._announce(reports.Started(checkpoint.position, origin))
        return self._shard

    def _hold(self, reason: str) -> None:
        if self._held_because != reason:
            self._held_because = reason
            self._announce(reports.Held(reason))

    def _check_running(self, shard: Shard, now_ms: int) -> None:
        """An invocation that never answers is ended, and was no attempt: its answer was lost, not the function."""
        unsettled = shard.unsettled
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

    def _drop_too_large(self, shard: Shard, now_ms: int) -> None:
        while shard.may_drop_too_large(now_ms):
            unsettled = self._take_batch(shard)
            unsettled.error_message = f"the record's event is larger than {self._settings.event_bytes_max} bytes"
            self._give_up(shard, unsettled, "MaximumPayloadSizeExceeded")

    def _request_environment(self, shard: Shard, now_ms: int) -> None:
        if self._granting is None and shard.may_invoke(now_ms):
            self._granting = self._new_id()
            self._out.append(do.RequestEnvironment(self._granting))

    def _take_batch(self, shard: Shard) -> Unsettled:
        self._has_prepared = False
        return shard.take_batch()

    def _invoke(self, unsettled: Unsettled, grant: int, now_ms: int) -> None:
        request_id = next(self._request_ids)
        answer_by_ms = now_ms + self._settings.function_timeout_ms + INVOKE_SLACK_MS
        unsettled.running = Running(self._new_id(), request_id, now_ms, answer_by_ms)
        unsettled.due_ms = None
        self.counters.invocations += 1
        self.counters.invoked += len(unsettled.batch.records)
        attempt = unsettled.attempts_ended + 1
        self._out.append(do.Invoke(unsettled.running.id, grant, request_id, unsettled.batch, attempt))

    def _prepare(self, shard: Shard) -> None:
        if not shard.is_busy or self._has_prepared or shard.batcher.is_resuming or not len(shard.batcher):
            return
        if shard.batcher.is_full() and not shard.batcher.peek().too_large:
            self._has_prepared = True
            self._out.append(do.Prepare(shard.batcher.peek()))

    def _commit(self, shard: Shard, now_ms: int) -> None:
        due = shard.progress.next(now_ms, self._new_id)
        if due is not None:
            self._out.append(do.Commit(*due))

    def _ask(self, question: do.Resolve | do.Fetch | None) -> None:
        if question is not None:
            self._out.append(question)

    def _give_up(self, shard: Shard, unsettled: Unsettled, condition: str) -> None:
        self.counters.dropped += len(unsettled.batch.records)
        shard.settle(unsettled)
        self._announce(unsettled.report_dropped(condition))

    # How it ends.

    def _stop(self, stop_by_ms: int, now_ms: int) -> None:
        """Let what runs end, settle it, and let go; at the deadline end what runs (D10, D40)."""
        if self._granting is not None:
            self._out.append(do.ReturnEnvironment(self._granting))
            self._granting = None
        shard = self._shard
        if shard is not None:
            self._stop_running(shard.unsettled, stop_by_ms, now_ms)
            self._may_still_commit = not self._is_lost and now_ms < stop_by_ms + LAST_COMMIT_MS
            if self._may_still_commit:
                self._commit(shard, now_ms)
            if shard.is_busy or (self._may_still_commit and not shard.progress.is_clean):
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
        shard = self._shard
        running = shard.unsettled.running if shard and shard.unsettled else None
        if self._stop_by_ms is None or shard is None:
            return self._stop_by_ms
        end_ms = self._stop_by_ms + LAST_COMMIT_MS
        if running is not None:
            end_ms = running.answer_by_ms if running.cancelled else self._stop_by_ms
        retry_ms = shard.progress.deadline_ms() if self._may_still_commit else None
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

    def _is_idle(self) -> bool:
        if self._shard is None or self._is_released:
            return self._is_released
        return self._shard.is_idle and self._reading.retry_ms is None

    def _last_error(self) -> str:
        shard = self._shard
        unsettled = shard.unsettled if shard else None
        if unsettled is not None and unsettled.last_error:
            return unsettled.last_error
        return self._held_because or self._reading.last_error or (shard.progress.last_error if shard else "")

    def _state(self) -> StreamState:
        if self._is_released:
            return "released"
        if self._stop_by_ms is not None:
            return "stopping"
        if self._held_because:
            return "held"
        if self._shard is None:
            return "starting"
        unsettled = self._shard.unsettled
        return "retrying" if unsettled is not None and unsettled.attempts_ended else "running"
