"""One queue mapping: what to receive, invoke, delete and return, and when (`lambda-semantics.md §4`).

Promises: it receives for environments that are free, and at most one batch ahead of those that run (D20); what failed
comes back after its delay (D21) until its runs are used up, and is then sent away (D22); of each group of a FIFO queue
one batch is out at a time (D23); what was never run is returned without being counted; leases are extended for as long
as messages are here. It never reads a clock and never waits.
"""

from collections.abc import Iterator, Sequence
from typing import assert_never

from penstock.api import Message
from penstock.core import commands as do
from penstock.core import facts, reports, retry
from penstock.core.batch import MessageBatch
from penstock.core.events.layout import Layout
from penstock.core.fates import Fates
from penstock.core.gathering import Gathering
from penstock.core.groups import Groups
from penstock.core.intake import Intake
from penstock.core.message_run import MessageRun
from penstock.core.outcome import Failed, Succeeded, Throttled
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.queue_context import QueueContext
from penstock.core.queue_response import Reported, read_queue_response
from penstock.core.receiving import RECEIVE_WAIT_MS, Receiving
from penstock.core.runs import INVOKE_SLACK_MS, Runs
from penstock.core.scaling import Scaling
from penstock.core.settings import QueueSettings
from penstock.core.verdict import judge
from penstock.core.views import Counters, QueueView

LAST_SETTLE_MS = 1_000
"""What is acked or returned at the very end of a stop still gets so long to be answered."""
RECEIVE_MESSAGES_MAX = 10_000
WAITING_EVENTS_MAX = 4
"""With as many bytes waiting as so many of the largest events hold, no more are received."""
QUICK_MS = 1_000
"""While the function takes no longer than this, one batch is received ahead of an environment of ours to be free."""
GROUPS_NAMED_MAX = 5


class QueueMachine:
    """Decides for one queue mapping. Has the face that all machines have (`design.md §4`)."""

    def __init__(
        self,
        settings: QueueSettings,
        layout: Layout[Message],
        *,
        jitter: retry.Jitter,
        request_ids: Iterator[str],
        record_filter: RecordFilter[Message] | None = None,
    ) -> None:
        """Take the mapping's settings, the layout of its events, chance and names."""
        self._context = QueueContext(settings, layout, jitter=jitter, request_ids=request_ids)
        self._gathering = Gathering(layout)
        self._groups = Groups(layout, by_group=settings.is_fifo) if settings.holds_failures else None
        self._ahead: Gathering | Groups = self._gathering if self._groups is None else self._groups
        self._fates = Fates(self._context, self._groups)
        self._intake = Intake(
            self._context, self._fates, gathering=self._gathering, groups=self._groups, record_filter=record_filter
        )
        self._receiving = Receiving()
        self._runs = Runs()
        self._scaling = Scaling(settings.scaling, settings.concurrency_max)
        self._granting: int | None = None
        self._free = 1
        self._pace_ms: int | None = None
        """How long the last invocation that was answered took."""
        self._not_run = 0
        self._run_again_ms: int | None = None
        self._stop_by_ms: int | None = None
        self._is_released = False

    @property
    def counters(self) -> Counters:
        """Count what has happened since the machine was made."""
        return self._context.counters

    # What comes in.

    def handle(self, fact: facts.QueueFact | None, *, now_ms: int) -> list[do.QueueCommand]:
        """Take in what happened (None: only time passed) and say what to do."""
        if not self._is_released:
            # First of all: after a standstill nothing is run that may be another's by now.
            self._on_doubtful(self._fates.leases.lapsed(now_ms), now_ms)
            if fact is not None:
                self._take_in(fact, now_ms)
            self._advance(now_ms)
        elif isinstance(fact, facts.EnvironmentGranted):
            self._context.do(do.ReturnEnvironment(fact.id))
        return self._context.take_commands()

    def next_deadline_ms(self) -> int | None:
        """Tell when to call `handle` again if nothing happens before."""
        if self._is_released:
            return None
        deadlines = [
            self._run_again_ms,
            self._receiving.deadline_ms(),
            self._fates.deadline_ms(),
            self._scaling.deadline_ms(),
            self._runs.deadline_ms(stop_by_ms=self._stop_by_ms),
        ]
        if self._stop_by_ms is not None and not len(self._runs):
            deadlines.append(self._stop_by_ms + LAST_SETTLE_MS)
        if self._stop_by_ms is not None and len(self._fates.away):
            deadlines.append(self._stop_by_ms)
        since_ms = self._ahead.since_ms
        if since_ms is not None:
            deadlines.append(self._return_ahead_ms(since_ms))
            if self._granting is None and self._may_run_one_more():
                deadlines.append(since_ms + self._context.settings.batching_window_ms)
        if self._groups is not None and self._stop_by_ms is None:
            deadlines.append(self._groups.deadline_ms())
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def view(self) -> QueueView:
        """Show how it stands."""
        groups = self._groups
        return QueueView(
            state="released" if self._is_released else "running" if self._stop_by_ms is None else "stopping",
            waiting=len(self._ahead),
            in_flight=tuple(running.view() for running in self._runs),
            settling=self._fates.settling,
            last_error=self._context.last_error,
            next_try_ms=self._next_try_ms(),
            is_idle=self._is_idle(),
            held=self._ahead.held - len(self._ahead) + self._fates.hidden,
            unrun=self._ahead.unrun,
            is_full=self._is_full(),
            blocked_groups=groups.blocked(GROUPS_NAMED_MAX) if groups is not None else (),
            blocked_since_ms=groups.blocked_since_ms if groups is not None else None,
            sending_away=len(self._fates.away),
            delivering=self._fates.away.view(),
            concurrency=self._scaling.limit,
            counters=self.counters,
        )

    def _take_in(self, fact: facts.QueueFact, now_ms: int) -> None:  # noqa: C901 - one arm per fact
        match fact:
            case facts.Received():
                self._on_received(fact, now_ms)
            case facts.SourceFailed():
                self._on_source_failed(fact, now_ms)
            case facts.EnvironmentGranted():
                self._on_granted(fact, now_ms)
            case facts.HeadroomChanged():
                self._free = fact.free
            case facts.Responded():
                self._on_responded(fact, now_ms)
            case facts.Settled():
                self._on_doubtful(self._fates.on_settled(fact, now_ms), now_ms)
            case facts.SettleFailed():
                self._fates.on_settle_failed(fact, now_ms)
            case facts.Delivered() | facts.DeliveryFailed():
                self._fates.on_delivery_answered(fact, now_ms)
            case facts.ClockChanged():
                self._context.wall_offset_ms = fact.offset_ms
            case facts.Revoked():
                deadline_ms = max(fact.deadline_ms, now_ms)
                self._stop_by_ms = deadline_ms if self._stop_by_ms is None else min(self._stop_by_ms, deadline_ms)
            case facts.QueueSettingsChanged():
                self._on_settings(fact.settings, now_ms)
            case _:
                assert_never(fact)

    def _on_settings(self, settings: QueueSettings, now_ms: int) -> None:
        assert settings.holds_failures == self._context.settings.holds_failures
        self._context.settings = settings
        self._fates.leases.lease_ms = settings.lease_ms
        self._scaling.change(settings.scaling, settings.concurrency_max)
        self._intake.fit(now_ms)

    def _on_received(self, fact: facts.Received, now_ms: int) -> None:
        messages = tuple(fact.messages)
        kind = self._receiving.on_received(fact.id)
        if kind == "stale":
            return
        self.counters.polled += len(messages)
        if kind == "late" or self._stop_by_ms is not None:
            # Nobody waits for these any more, and yet they are ours now.
            reason = "they came too late" if kind == "late" else "the mapping stops"
            self._return(messages, reason, now_ms)
            return
        if not messages and not len(self._ahead):
            self._scaling.on_empty_receive()
        self._intake.take_in(messages, now_ms)

    def _on_source_failed(self, fact: facts.SourceFailed, now_ms: int) -> None:
        if self._receiving.on_failed(fact.id):
            wait_ms = self._context.back_off_ms(self._receiving.failures)
            self._receiving.again_ms = now_ms + wait_ms
            self._context.last_error = fact.reason
            self._context.announce(reports.SourceTroubled("receive", fact.reason, wait_ms))

    def _on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> None:
        is_awaited = self._granting == fact.id
        if is_awaited:
            self._granting = None
        if not is_awaited or not len(self._ahead) or self._stop_by_ms is not None or not self._may_run_one_more():
            self._context.do(do.ReturnEnvironment(fact.id))
            return
        settings = self._context.settings
        messages, first = self._ahead.take(settings.batch_size, settings.event_bytes_max)
        batch = MessageBatch(messages)
        invocation_id, request_id = self._context.new_id(), self._context.new_name()
        answer_by_ms = now_ms + settings.function_timeout_ms + INVOKE_SLACK_MS
        running = MessageRun(request_id, batch, now_ms, answer_by_ms)
        self._runs.add(invocation_id, running)
        self._scaling.on_busy(len(self._runs), now_ms)
        self.counters.invocations += 1
        self.counters.invoked += len(messages)
        self.counters.invoked_first += first
        self._context.do(do.Invoke(invocation_id, fact.id, request_id, batch, running.attempt))

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        running = self._runs.end(fact.id)
        if running is None:
            return
        messages, settings = running.batch.messages, self._context.settings
        found = read_queue_response(fact.result, messages, reports_item_failures=settings.reports_item_failures)
        if isinstance(found, Throttled):
            self._on_not_run(running, found, now_ms)
            return
        self._not_run = 0
        self._pace_ms = now_ms - running.since_ms
        verdict = judge(messages, found, settings)
        self._count(found, len(messages), len(verdict.done))
        error = ("", "") if isinstance(found, Succeeded) else running.error(found)
        self._context.last_error = ": ".join(part for part in error if part)
        self._context.announce(running.report(found, verdict))
        self._fates.decide(verdict, error, now_ms)

    def _count(self, found: Succeeded | Reported | Failed, messages: int, done: int) -> None:
        self.counters.processed += done
        if isinstance(found, Failed):
            self.counters.failed_invocations += 1
            self.counters.failed += messages
            if not self._context.settings.reports_item_failures:
                self._scaling.on_failed()
        elif isinstance(found, Reported):
            self.counters.failed += len(found.delays_ms)

    def _on_not_run(self, running: MessageRun, throttled: Throttled, now_ms: int) -> None:
        messages = running.batch.messages
        if running.cancelled:
            reason = "their invocation was ended by the node"
            self._fates.give_up_groups(running.batch.receipts, reason, now_ms)
            # A stop takes the run back (D40); else the function was handed these, and it counts (D22).
            self._fates.give_back(messages, reason, now_ms, counted=self._stop_by_ms is None)
            return
        self._not_run += 1
        wait_ms = max(self._context.back_off_ms(self._not_run), throttled.retry_after_ms or 0)
        self._run_again_ms = now_ms + wait_ms
        self._context.last_error = throttled.reason
        self._context.announce(running.report_not_run(throttled, wait_ms))
        if self._groups is not None:
            self._groups.put_back(messages, now_ms)
        else:
            self._fates.hide(messages, wait_ms, counted=False, now_ms=now_ms)

    def _on_doubtful(self, receipts: tuple[str, ...], now_ms: int) -> None:
        """Give back what waits and may be another's by now; in a FIFO queue, end what runs of it."""
        if not receipts:
            return
        if self._groups is None:
            self._return(self._gathering.take_out(set(receipts)), "their leases may have run out", now_ms)
            return
        self._fates.give_up_groups(receipts, "their leases may have run out", now_ms)
        if self._context.settings.is_fifo:
            for cancel in self._runs.cancel_those_with(receipts, now_ms):
                self._context.do(cancel)

    # What goes out.

    def _advance(self, now_ms: int) -> None:
        """Do whatever is due. Each step looks at the state alone, so that their order is all there is to know."""
        self._scaling.advance(now_ms)
        if self._run_again_ms is not None and now_ms >= self._run_again_ms:
            self._run_again_ms = None
        self._fates.give_up_lost(now_ms)
        self._check_runs(now_ms)
        # Before the way is cleared: a receive that is given up is no hindrance any more.
        self._context.do(self._receiving.overdue(now_ms))
        if self._stop_by_ms is not None:
            self._stop(self._stop_by_ms, now_ms)
        else:
            self._return_ahead(now_ms)
            self._clear_the_way(now_ms)
            self._count_due(now_ms)
            self._request_environment(now_ms)
        self._fates.advance(now_ms)
        if self._stop_by_ms is None:
            self._receive(now_ms)
        elif self._is_stopped(self._stop_by_ms, now_ms):
            self._is_released = True
            self._context.do(do.Release())

    def _check_runs(self, now_ms: int) -> None:
        """An invocation that never answers is ended; its messages come back by their lease."""
        cancels, lost = self._runs.check(now_ms, stop_by_ms=self._stop_by_ms)
        for cancel in cancels:
            self._context.do(cancel)
        for running in lost:
            self._fates.leases.let_go(running.batch.receipts)
            if self._groups is not None:
                # By their lease they would come behind others of their groups: those that the queue still has for us.
                self._fates.give_up_groups(running.batch.receipts, "their invocation never answered", now_ms)
                timeout_ms = self._context.settings.visibility_timeout_ms
                self._fates.hide(running.batch.messages, timeout_ms, counted=True, now_ms=now_ms)

    def _return_ahead(self, now_ms: int) -> None:
        """What has waited for an environment for a whole lease goes back, for others to run."""
        since_ms = self._ahead.since_ms
        if since_ms is not None and now_ms >= self._return_ahead_ms(since_ms):
            self._give_up_ahead("no environment was free for them", now_ms)

    def _return_ahead_ms(self, since_ms: int) -> int:
        return since_ms + self._context.settings.batching_window_ms + self._context.settings.lease_ms

    def _give_up_ahead(self, reason: str, now_ms: int) -> None:
        if self._granting is not None:
            self._context.do(do.ReturnEnvironment(self._granting))
            self._granting = None
        self._return(self._gathering.clear(), reason, now_ms)
        if self._groups is not None:
            is_all = self._stop_by_ms is not None
            self._fates.give_up_groups(None if is_all else self._groups.ready_heads(), reason, now_ms)

    def _count_due(self, now_ms: int) -> None:
        """Count the next run of what is due; then it may run (D22)."""
        if self._groups is None:
            return
        counts = self._groups.due(now_ms, count_max=self._context.settings.batch_size)
        self._fates.count(counts, now_ms)

    def _request_environment(self, now_ms: int) -> None:
        settings = self._context.settings
        if self._granting is not None or not self._may_run_one_more():
            return
        if self._ahead.is_ready(now_ms, batch_size=settings.batch_size, window_ms=settings.batching_window_ms):
            self._granting = self._context.new_id()
            self._context.do(do.RequestEnvironment(self._granting))

    def _receive(self, now_ms: int) -> None:
        if not self._receiving.is_possible or self._run_again_ms is not None or self._is_full():
            return
        wanted = self._wanted()
        if wanted <= 0:
            return
        wait_ms, since_ms = RECEIVE_WAIT_MS, self._ahead.since_ms
        if since_ms is not None and self._granting is None:
            wait_ms = min(wait_ms, max(0, since_ms + self._context.settings.batching_window_ms - now_ms))
        asked = self._receiving.ask(self._context.new_id(), messages_max=wanted, wait_ms=wait_ms, now_ms=now_ms)
        self._context.do(asked)

    def _clear_the_way(self, now_ms: int) -> None:
        """Let groups come again that have gone back, once nothing is received that was asked for before."""
        if self._groups is None or not self._groups.is_barred:
            return
        if not self._receiving.is_outstanding:
            self._groups.lift_bars(now_ms)
        else:
            cancel = self._receiving.cancel(now_ms)
            if cancel is not None:
                self._context.do(cancel)

    def _wanted(self) -> int:
        """Tell how many messages to ask for: for every environment that is free, less what waits for it already."""
        settings, waiting = self._context.settings, len(self._ahead)
        granting = self._granting is not None
        batches = self._free - granting
        if self._scaling.limit is not None:
            batches = min(batches, self._scaling.limit - len(self._runs) - granting)
        if batches <= 0 and self._is_quick() and not granting:
            batches = 1
        beyond = max(0, waiting - settings.batch_size) if granting else waiting
        wanted = settings.batch_size * max(0, batches) - beyond
        if self._groups is not None:
            wanted = min(wanted, settings.held_max - self._groups.held - self._fates.hidden)
        return min(wanted, RECEIVE_MESSAGES_MAX)

    def _is_quick(self) -> bool:
        """An environment of ours will be free in a moment, so that one batch may be fetched for it (D20)."""
        return len(self._runs) > 0 and self._pace_ms is not None and self._pace_ms <= QUICK_MS

    def _is_full(self) -> bool:
        settings = self._context.settings
        if self._fates.is_full or self._gathering.bytes_count >= WAITING_EVENTS_MAX * settings.event_bytes_max:
            return True
        groups = self._groups
        if groups is None:
            return False
        held = groups.held + self._fates.hidden
        return held >= settings.held_max or groups.bytes_count >= settings.held_bytes_max or groups.is_barred

    def _may_run_one_more(self) -> bool:
        limit = self._scaling.limit
        return self._run_again_ms is None and (limit is None or len(self._runs) < limit)

    def _stop(self, stop_by_ms: int, now_ms: int) -> None:
        """Return what was never run, let what runs end (D40)."""
        cancel = self._receiving.cancel(now_ms)
        if cancel is not None:
            self._context.do(cancel)
        self._give_up_ahead("the mapping stops", now_ms)
        self._fates.stop(now_ms, is_over=now_ms >= stop_by_ms)

    def _is_stopped(self, stop_by_ms: int, now_ms: int) -> bool:
        if len(self._runs):
            return False
        is_all_answered = not self._receiving.is_outstanding and self._fates.is_settled
        return is_all_answered or now_ms >= stop_by_ms + LAST_SETTLE_MS

    # Small change.

    def _return(self, messages: Sequence[Message], reason: str, now_ms: int) -> None:
        self.counters.returned += len(messages)
        self._fates.give_back(messages, reason, now_ms)

    def _next_try_ms(self) -> int | None:
        times = (self._receiving.again_ms, self._run_again_ms)
        return min((time for time in times if time is not None), default=None)

    def _is_idle(self) -> bool:
        is_empty = not len(self._runs) and not self._ahead.held and not self._fates.hidden and self._fates.is_settled
        return is_empty and self._next_try_ms() is None
