"""One lane of a shard: its records one batch at a time, each tried, split, expired or sent away until it is done (D6).

A shard without parallelization has one lane. What is said of a shard elsewhere (one batch with the function, order,
attempts, back-off) holds for each lane by itself; a lane knows of no other.
"""

from dataclasses import replace

from penstock.api import Fetched
from penstock.core import commands as do
from penstock.core import facts, outcome, reports, retry
from penstock.core.attempt import Running, Unsettled
from penstock.core.batch import RecordBatch
from penstock.core.batcher import Batcher
from penstock.core.delivery import Delivery
from penstock.core.events.window import WindowFrame
from penstock.core.invocation_record import Condition
from penstock.core.lane_window import LaneWindow
from penstock.core.lane_work import LaneWork
from penstock.core.note import LaneNote
from penstock.core.progress import Progress
from penstock.core.stream_context import StreamContext

INVOKE_SLACK_MS = 60_000
"""How long beyond the function's timeout an answer may take: a start of the environment and some patience."""
CANCEL_ANSWER_MS = 15_000

RetriedReport = reports.BatchFailed | reports.BatchPartlyFailed


class Lane:
    """Everything between the records of a lane and their fate."""

    def __init__(
        self,
        number: int,
        context: StreamContext,
        progress: Progress,
        *,
        batcher: Batcher,
        note: LaneNote,
        window: LaneWindow | None,
    ) -> None:
        """Take what it shares with the shard, where its records wait, and what its note says (D2)."""
        self.number = number
        self.batcher = batcher
        self.work = LaneWork(batcher, note)
        self.window = window
        self.skip_to = note.settled
        """Its records up to this position were settled by another machine."""
        self._context = context
        self._progress = progress
        self._granting: int | None = None
        self._has_prepared = False

    @property
    def is_running(self) -> bool:
        """The function has a batch of this lane now."""
        return self.work.unsettled is not None and self.work.unsettled.running is not None

    @property
    def is_blocked(self) -> bool:
        """It takes nothing more for now: what it has is tried again, or waits for a destination."""
        unsettled = self.work.unsettled
        return self.work.delivery is not None or (unsettled is not None and unsettled.first_failed_ms is not None)

    @property
    def is_empty(self) -> bool:
        """Nothing waits here, and nothing is unsettled."""
        return self.work.unsettled is None and self.work.oldest is None and not self.batcher.is_resuming

    @property
    def has_window(self) -> bool:
        """A tumbling window is open."""
        return self.window is not None and self.window.tumbling.is_open

    @property
    def uninvoked(self) -> int:
        """How many records were never handed to the function."""
        unsettled = self.work.unsettled
        taken = len(unsettled.batch.records) if unsettled is not None and not unsettled.was_invoked else 0
        return len(self.batcher) + taken

    # What comes in.

    def add(self, fetched: Fetched, now_ms: int) -> None:
        """Take in what a fetch found for this lane."""
        self.batcher.add(fetched, now_ms)
        if self.window is not None:
            self.window.on_added(fetched, now_ms)

    def on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> bool:
        """Take in that an environment is ours; False when it was not asked for here."""
        if fact.id != self._granting:
            return False
        self._granting = None
        if not self._may_try(now_ms):
            self._context.do(do.ReturnEnvironment(fact.id))
            return True
        unsettled = self.work.unsettled or self._take()
        if self._cut_over_age(unsettled, now_ms):
            self._context.do(do.ReturnEnvironment(fact.id))
        else:
            self._invoke(unsettled, fact.id, now_ms)
        return True

    def on_responded(self, fact: facts.Responded, now_ms: int, *, is_lost: bool) -> bool:
        """Take in what became of an invocation; False when it is none of ours."""
        unsettled = self.work.unsettled
        running = unsettled.running if unsettled else None
        if unsettled is None or running is None or running.id != fact.id:
            return False
        unsettled.running = None
        if is_lost or running.cancelled:
            # Its result is ignored: the checkpoint stays before the batch, and nothing is counted (D10).
            return True
        frame = self._frame(unsettled)
        if unsettled.final is not None:
            found: outcome.Outcome = outcome.read(fact.result)
        else:
            reader = self._context.response_reader()
            found = reader.read(fact.result, unsettled.batch.records, has_window=frame is not None)
        if isinstance(found, outcome.Throttled):
            self._on_throttled(unsettled, found, now_ms)
            return True
        unsettled.request_id = running.request_id
        unsettled.not_run = 0
        unsettled.answer = found.answer
        if isinstance(found, outcome.Failed):
            self._on_failed(unsettled, found, now_ms)
        elif frame is None or unsettled.final is not None or not self._has_to_save(found, now_ms):
            self._on_done(unsettled, found, now_ms)
        return True

    def on_delivery_answered(self, fact: facts.Delivered | facts.DeliveryFailed, now_ms: int) -> bool:
        """Take in what became of a delivery; False when it is none of ours."""
        delivery, context = self.work.delivery, self._context
        if delivery is None or delivery.id != fact.id:
            return False
        span = delivery.record.span()
        if isinstance(fact, facts.Delivered):
            context.announce(reports.RecordDelivered(*span, fact.shrunk))
            context.counters.delivered += len(delivery.record.records)
            self._end_delivery()
            return True
        wait_ms = delivery.on_failed(
            fact.reason,
            refused=fact.refused,
            settings=context.settings.delivery,
            back_off_ms=context.back_off_ms,
            now_ms=now_ms,
        )
        context.announce(reports.DeliveryTroubled(*span, fact.reason, fact.refused, wait_ms))
        if wait_ms is None:
            self._end_delivery()
        return True

    def on_saved(self, fact: facts.StateSaved, now_ms: int) -> None:
        """Take in that a window's state is durable: what was done with it is done."""
        found = self.window.on_saved(fact) if self.window is not None else None
        if found is not None and self.work.unsettled is not None:
            self._on_done(self.work.unsettled, found, now_ms)

    def _on_done(self, unsettled: Unsettled, found: outcome.Succeeded | outcome.PartlyFailed, now_ms: int) -> None:
        batch = unsettled.batch
        if isinstance(found, outcome.Succeeded):
            self._context.announce(unsettled.report_succeeded(found))
            if unsettled.final is not None and self.window is not None:
                self.window.close()
            self._succeed(unsettled, batch, None, now_ms)
            return
        self._context.counters.failed += found.reported
        report = unsettled.report_partly(found)
        first = batch.records[found.done].position
        failed = outcome.Failed("", f"the function reported {first}", found.duration_ms, found.answer)
        if not found.done:
            self._spend(unsettled, failed, report, 1, now_ms)
            return
        unsettled.fail(failed, now_ms)
        self._succeed(unsettled, batch.part(0, found.done), batch.part(found.done, len(batch.records)), now_ms)
        unsettled.attempts_ended = 0
        self._try_again(unsettled, 1, report, now_ms)

    def _on_failed(self, unsettled: Unsettled, failed: outcome.Failed, now_ms: int) -> None:
        count = len(unsettled.batch.records)
        self._context.counters.failed_invocations += 1
        self._context.counters.failed += count
        self._spend(unsettled, failed, unsettled.report_failed(failed), (count + 1) // 2, now_ms)

    def _spend(
        self, unsettled: Unsettled, failed: outcome.Failed, report: RetriedReport, first_part: int, now_ms: int
    ) -> None:
        """Take in an attempt that settled nothing: split the batch, try it again, or give it up (D2, D3)."""
        unsettled.fail(failed, now_ms)
        if self._context.settings.bisects and len(unsettled.batch.records) > 1:
            self.work.split(unsettled, first_part)
            self._try_again(unsettled, 1, report, now_ms)
            return
        unsettled.attempts_ended += 1
        decision = self._context.retry_policy().after(unsettled.attempts_ended)
        # The last invocation of a window is repeated until it succeeds (`lambda-semantics.md §3.7`).
        if isinstance(decision, retry.GiveUp) and unsettled.final is None:
            self._context.announce(report)
            self._drop(unsettled, decision.condition, unsettled.batch, None, now_ms)
        else:
            self._try_again(unsettled, unsettled.attempts_ended, report, now_ms)

    def _try_again(self, unsettled: Unsettled, tries: int, report: RetriedReport, now_ms: int) -> None:
        wait_ms = self._context.back_off_ms(tries)
        unsettled.due_ms = now_ms + wait_ms
        unsettled.must_note = self.work.has_changed = True
        self._context.announce(replace(report, retry_in_ms=wait_ms))

    def _on_throttled(self, unsettled: Unsettled, throttled: outcome.Throttled, now_ms: int) -> None:
        unsettled.not_run += 1
        wait_ms = max(self._context.back_off_ms(unsettled.not_run), throttled.retry_after_ms or 0)
        unsettled.due_ms = now_ms + wait_ms
        self._context.announce(unsettled.report_not_run(throttled, wait_ms))

    # What becomes of records.

    def _succeed(self, unsettled: Unsettled, done: RecordBatch, rest: RecordBatch | None, now_ms: int) -> None:
        self._context.counters.processed += len(done.records)
        is_told = self._context.settings.delivery.on_success and bool(done.records)
        delivery = self._delivery(unsettled, "Success", done, now_ms) if is_told else None
        self.work.part_with(unsettled, done, delivery, rest)
        if self.window is not None and delivery is None:
            self.window.tumbling.adopt()

    def _end_delivery(self) -> None:
        self.work.end_delivery()
        if self.window is not None:
            self.window.tumbling.adopt()

    def _drop(
        self, unsettled: Unsettled, condition: Condition, dropped: RecordBatch, rest: RecordBatch | None, now_ms: int
    ) -> None:
        counters = self._context.counters
        counters.dropped += len(dropped.records)
        if not unsettled.was_invoked:
            counters.dropped_before += len(dropped.records)
        self._context.announce(unsettled.report_dropped(condition, dropped))
        is_told = self._context.settings.delivery.on_failure
        delivery = self._delivery(unsettled, condition, dropped, now_ms) if is_told else None
        self.work.part_with(unsettled, dropped, delivery, rest)

    def _delivery(self, unsettled: Unsettled, condition: Condition, batch: RecordBatch, now_ms: int) -> Delivery:
        request_id = unsettled.request_id or self._context.new_name()
        record = unsettled.invocation_record(condition, batch, request_id, ended_ms=self._context.unix_ms(now_ms))
        return Delivery(record, now_ms=now_ms)

    def _cut_over_age(self, unsettled: Unsettled, now_ms: int) -> bool:
        """Take out the records that are too old (D8); True when there were such."""
        oldest_ms = self._oldest_ms(now_ms)
        if oldest_ms is None:
            return False
        batch = unsettled.batch
        over = tuple(record for record in batch.records if record.timestamp_ms < oldest_ms)
        if not over:
            return False
        rest = tuple(record for record in batch.records if record.timestamp_ms >= oldest_ms)
        left = RecordBatch(rest, batch.position) if rest else None
        self._drop(unsettled, "RecordAgeExceeded", RecordBatch(over, over[-1].position), left, now_ms)
        return True

    def _oldest_ms(self, now_ms: int) -> int | None:
        """Tell the least timestamp that is not too old. One in the future is never too old."""
        age_ms_max = self._context.settings.record_age_ms_max
        return None if age_ms_max is None else self._context.unix_ms(now_ms) - age_ms_max

    # What goes out.

    def advance(self, now_ms: int) -> None:
        """Do whatever is due. Each step looks at the state alone."""
        self._check_running(now_ms)
        self.send(now_ms)
        while self._dispose(now_ms):
            self.send(now_ms)
        if self._granting is None and self._may_try(now_ms):
            self._granting = self._context.new_id()
            self._context.do(do.RequestEnvironment(self._granting))
        self._prepare()

    def send(self, now_ms: int) -> None:
        """Tell the destination, and ask the store, what is due."""
        if self.work.delivery is not None:
            self._context.do(self.work.delivery.next(now_ms, self._context.new_id))
        if self.window is not None:
            self._context.do(self.window.next(now_ms))

    def deadline_ms(self, now_ms: int) -> int | None:
        """Tell when something of it is due; None while it waits for a fact and not for time."""
        times: list[int | None] = []
        unsettled = self.work.unsettled
        is_waiting = unsettled is None and self._granting is None and not self._is_held()
        if self.work.delivery is not None:
            times.append(self.work.delivery.deadline_ms())
        if self.window is not None:
            times += self.window.deadlines_ms(now_ms, is_waiting=is_waiting)
        if unsettled is not None and unsettled.running is not None:
            times.append(unsettled.running.answer_by_ms)
        elif self._granting is None and not self._is_held():
            if unsettled is None:
                times.append(self.batcher.deadline_ms())
            elif self._is_noted(unsettled):
                times.append(unsettled.due_ms)
        return min((time for time in times if time is not None), default=None)

    def stop(self, stop_by_ms: int, now_ms: int) -> bool:
        """Let what runs end and settle; at the deadline end it (D10, D40). Tells whether something still does."""
        if self._granting is not None:
            self._context.do(do.ReturnEnvironment(self._granting))
            self._granting = None
        self._check_running(now_ms)
        running = self.work.unsettled.running if self.work.unsettled is not None else None
        if now_ms < stop_by_ms:
            self.send(now_ms)
            is_saving = self.window is not None and self.window.is_saving
            return running is not None or self.work.delivery is not None or is_saving
        if self.work.delivery is not None and self.work.delivery.id is not None:
            self._context.do(do.Cancel(self.work.delivery.id))
            self.work.delivery.abandon()
        if running is not None and not running.cancelled:
            self._cancel(running, now_ms)
        return self.is_running

    def stop_deadline_ms(self, stop_by_ms: int, now_ms: int) -> int | None:
        """Tell when to call `stop` again, if nothing happens before; None when nothing of it is awaited."""
        running = self.work.unsettled.running if self.work.unsettled is not None else None
        if running is not None and running.cancelled:
            return running.answer_by_ms
        times: list[int | None] = [stop_by_ms] if running is not None else []
        if now_ms < stop_by_ms and self.work.delivery is not None:
            times += [stop_by_ms, self.work.delivery.deadline_ms()]
        if now_ms < stop_by_ms and self.window is not None and self.window.is_saving:
            times += [stop_by_ms, *self.window.deadlines_ms(now_ms, is_waiting=False)]
        return min((time for time in times if time is not None), default=None)

    def _may_try(self, now_ms: int) -> bool:
        unsettled = self.work.unsettled
        if self._is_held():
            return False
        if unsettled is None:
            return self.batcher.is_ready(now_ms) and not self.batcher.peek().too_large
        return unsettled.running is None and self._is_due(unsettled, now_ms)

    def _is_due(self, unsettled: Unsettled, now_ms: int) -> bool:
        return self._is_noted(unsettled) and (unsettled.due_ms is None or now_ms >= unsettled.due_ms)

    def _is_noted(self, unsettled: Unsettled) -> bool:
        return not unsettled.must_note and self._progress.is_stored(unsettled.noted)

    def _is_held(self) -> bool:
        """Nothing may be begun or dropped: what was settled is not stored, or what comes first is awaited."""
        is_waiting = self.work.delivery is not None or (self.window is not None and not self.window.is_ready)
        return is_waiting or self._progress.must_hold

    def _dispose(self, now_ms: int) -> bool:
        """Do what needs no environment: drop what can not or must not be run, open and close windows.

        Tells whether there may be more of it.
        """
        unsettled = self.work.unsettled
        if self._is_held():
            return False
        if unsettled is not None:
            is_due = unsettled.running is None and self._is_due(unsettled, now_ms)
            return is_due and self._cut_over_age(unsettled, now_ms)
        if self.window is not None:
            final = self.window.look(self.work.begun_to, now_ms)
            if final is not None:
                self.work.unsettled = final
                return False
        return self.batcher.is_ready(now_ms) and self._drop_next(self.batcher.peek(), now_ms)

    def _drop_next(self, batch: RecordBatch, now_ms: int) -> bool:
        """Take out what comes next where it must not be run: tell whether that was so."""
        if batch.too_large:
            taken = self._take()
            taken.error_message = f"the record's event is larger than {self._context.settings.event_bytes_max} bytes"
            self._drop(taken, "MaximumPayloadSizeExceeded", taken.batch, None, now_ms)
            return True
        attempts_ended, _ = self.work.resumed_attempts
        decision = self._context.retry_policy().after(attempts_ended) if attempts_ended else None
        if isinstance(decision, retry.GiveUp):
            taken = self._take()
            self._drop(taken, decision.condition, taken.batch, None, now_ms)
            return True
        oldest_ms = self._oldest_ms(now_ms)
        is_over_age = oldest_ms is not None and any(record.timestamp_ms < oldest_ms for record in batch.records)
        return is_over_age and self._cut_over_age(self._take(), now_ms)

    def _take(self) -> Unsettled:
        self._has_prepared = False
        return self.work.take()

    def _invoke(self, unsettled: Unsettled, grant: int, now_ms: int) -> None:
        context = self._context
        if not unsettled.was_invoked:
            unsettled.was_invoked = True
            context.counters.invoked_first += len(unsettled.batch.records)
            if self.window is not None:
                self.window.count_late(unsettled.batch)
        request_id = context.new_name()
        answer_by_ms = now_ms + context.settings.function_timeout_ms + INVOKE_SLACK_MS
        unsettled.running = Running(context.new_id(), request_id, now_ms, answer_by_ms)
        unsettled.due_ms = None
        context.counters.invocations += 1
        context.counters.invoked += len(unsettled.batch.records)
        attempt = unsettled.attempts_ended + 1
        frame = self._frame(unsettled)
        context.do(do.Invoke(unsettled.running.id, grant, request_id, unsettled.batch, attempt, frame))

    def _frame(self, unsettled: Unsettled) -> WindowFrame | None:
        return unsettled.final or (self.window.frame() if self.window is not None else None)

    def _has_to_save(self, found: outcome.Succeeded | outcome.PartlyFailed, now_ms: int) -> bool:
        if self.window is None or (isinstance(found, outcome.PartlyFailed) and not found.done):
            # Nothing was done, so there is nothing that a state could count.
            return False
        return self.window.begin_save(found, now_ms)

    def _prepare(self) -> None:
        """Have the next event encoded while this one runs. Records that may be cut out or regrouped are not."""
        may_change = self.window is not None or self._context.settings.record_age_ms_max is not None
        if may_change or self.number or not self.is_running or self._has_prepared or self.batcher.is_resuming:
            return
        if len(self.batcher) and self.batcher.is_full() and not self.batcher.peek().too_large:
            self._has_prepared = True
            self._context.do(do.Prepare(self.batcher.peek()))

    def _check_running(self, now_ms: int) -> None:
        """An invocation that never answers is ended, and was no attempt: its answer was lost, not the function."""
        running = self.work.unsettled.running if self.work.unsettled is not None else None
        if running is None or now_ms < running.answer_by_ms:
            return
        if running.cancelled:
            self.work.forget_running()
        else:
            self._cancel(running, now_ms)

    def _cancel(self, running: Running, now_ms: int) -> None:
        running.cancelled = True
        running.answer_by_ms = now_ms + CANCEL_ANSWER_MS
        self._context.do(do.Cancel(running.id))
