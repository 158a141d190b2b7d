"""One queue mapping: what to receive, invoke, ack and return, and when (`lambda-semantics.md §4`).

Promises: it receives only while an environment would be free, and at most one batch ahead of those that run (D20);
what succeeded is acked; what failed comes back after the visibility timeout (D21); what was never run is returned
without being counted; leases are extended for as long as messages are here. It never reads a clock and never waits.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import assert_never

from penstock.api import Message
from penstock.core import commands as do
from penstock.core import facts, outcome, reports, retry
from penstock.core.events.layout import Layout
from penstock.core.filtering import Filtering
from penstock.core.gathering import Gathering
from penstock.core.leases import Leases
from penstock.core.message_run import MessageRun
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.settings import QueueSettings
from penstock.core.settlement import Settlement
from penstock.core.views import Counters, QueueView

RECEIVE_WAIT_MS = 20_000
RECEIVE_SLACK_MS = 70_000
INVOKE_SLACK_MS = 60_000
CANCEL_ANSWER_MS = 15_000
LAST_SETTLE_MS = 1_000
"""What is acked or returned at the very end of a stop still gets so long to be answered."""
GIVEN_UP_MAX = 16
AHEAD = "ahead"


@dataclass(slots=True)
class _Receiving:
    id: int
    answer_by_ms: int
    cancelled: bool = False


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
        self.counters = Counters()
        self._settings = settings
        self._jitter = jitter
        self._request_ids = request_ids
        self._last_id = 0
        self._out: list[do.QueueCommand] = []
        self._filtering = Filtering(record_filter)
        self._ahead = Gathering(layout)
        self._leases = Leases(lease_ms=settings.lease_ms)
        self._settlement = Settlement(back_off_ms=self._back_off_ms)
        self._running: dict[int, MessageRun] = {}
        self._receiving: _Receiving | None = None
        self._given_up: deque[int] = deque(maxlen=GIVEN_UP_MAX)
        """Receives that were not answered in time; what one of them brings after all is returned."""
        self._granting: int | None = None
        self._has_headroom = True
        self._failures = 0
        self._not_run = 0
        self._receive_again_ms: int | None = None
        self._run_again_ms: int | None = None
        self._last_error = ""
        self._stop_by_ms: int | None = None
        self._is_released = False

    # What comes in.

    def handle(self, fact: facts.QueueFact | None, *, now_ms: int) -> list[do.QueueCommand]:
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
        deadlines = [self._next_try_ms(), self._leases.deadline_ms(), self._settlement.deadline_ms()]
        if self._receiving is not None:
            deadlines.append(self._receiving.answer_by_ms)
        if self._ahead.since_ms is not None:
            if self._granting is None and self._may_run_one_more():
                deadlines.append(self._ahead.since_ms + self._settings.batching_window_ms)
            deadlines.append(self._return_ahead_ms())
        deadlines.extend(running.answer_by_ms for running in self._running.values())
        if self._stop_by_ms is not None and not self._running:
            deadlines.append(self._stop_by_ms + LAST_SETTLE_MS)
        elif self._stop_by_ms is not None and any(not running.cancelled for running in self._running.values()):
            deadlines.append(self._stop_by_ms)
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def view(self) -> QueueView:
        """Show how it stands."""
        return QueueView(
            state="released" if self._is_released else "running" if self._stop_by_ms is None else "stopping",
            waiting=len(self._ahead),
            in_flight=tuple(running.view() for running in self._running.values()),
            settling=len(self._settlement),
            last_error=self._last_error,
            next_try_ms=self._next_try_ms(),
            is_idle=self._is_idle(),
            counters=self.counters,
        )

    def _take_in(self, fact: facts.QueueFact, now_ms: int) -> None:
        match fact:
            case facts.Received():
                self._on_received(fact, now_ms)
            case facts.SourceFailed():
                self._on_source_failed(fact, now_ms)
            case facts.EnvironmentGranted():
                self._on_granted(fact, now_ms)
            case facts.HeadroomChanged():
                self._has_headroom = fact.free
            case facts.Responded():
                self._on_responded(fact, now_ms)
            case facts.Settled():
                self._on_settled(fact)
            case facts.SettleFailed():
                self._on_settle_failed(fact, now_ms)
            case facts.Revoked():
                deadline_ms = max(fact.deadline_ms, now_ms)
                self._stop_by_ms = deadline_ms if self._stop_by_ms is None else min(self._stop_by_ms, deadline_ms)
            case facts.QueueSettingsChanged():
                self._settings = fact.settings
                self._leases.lease_ms = fact.settings.lease_ms
                self._fit_ahead(now_ms)
            case _:
                assert_never(fact)

    def _on_received(self, fact: facts.Received, now_ms: int) -> None:
        messages = tuple(fact.messages)
        if fact.id in self._given_up:
            # Nobody waits for these any more, and yet they are ours now.
            self._given_up.remove(fact.id)
            self._return(messages, "they came too late", now_ms)
            return
        if self._receiving is None or fact.id != self._receiving.id:
            return
        self._receiving = None
        self._failures = 0
        if self._stop_by_ms is not None:
            self._return(messages, "the mapping stops", now_ms)
            return
        self.counters.polled += len(messages)
        self._ahead.add(self._sift(messages, now_ms), now_ms)
        self._fit_ahead(now_ms)

    def _sift(self, messages: tuple[Message, ...], now_ms: int) -> Sequence[Message]:
        """Give what the filters match, and settle the rest (D25)."""
        sifted = self._filtering.sift(messages)
        if self._settings.on_filtered == "delete" and self._filtering.takes_suspicion():
            self._announce(reports.NothingMatches(self._filtering.polled))
        if sifted.left_out:
            self.counters.filtered += len(sifted.left_out)
            receipts = tuple(message.receipt for message in sifted.left_out)
            if self._settings.on_filtered == "keep":
                self._nack(receipts, self._settings.visibility_timeout_ms, counted=False, now_ms=now_ms)
            else:
                self._owe(do.Ack(self._new_id(), receipts), now_ms)
        return sifted.kept

    def _fit_ahead(self, now_ms: int) -> None:
        for message in self._ahead.drop_too_large(self._settings.event_bytes_max):
            self._on_too_large(message, now_ms)
        self._ahead.close_if_full(self._settings.event_bytes_max)
        self._lease_ahead(now_ms)

    def _on_too_large(self, message: Message, now_ms: int) -> None:
        # With no dead-letter queue to go to, it comes back after its timeout: it blocks nothing and is never lost.
        error = f"the message's event is larger than {self._settings.event_bytes_max} bytes"
        self._last_error = f"MaximumPayloadSizeExceeded: {error}"
        timeout_ms = self._settings.visibility_timeout_ms
        self._nack((message.receipt,), timeout_ms, counted=True, now_ms=now_ms)
        self._announce(
            reports.BatchFailed(
                "", message.message_id, message.message_id, 1, message.receive_count, 0,
                "MaximumPayloadSizeExceeded", error, timeout_ms,
            )
        )  # fmt: skip

    def _on_source_failed(self, fact: facts.SourceFailed, now_ms: int) -> None:
        if self._receiving is None or fact.id != self._receiving.id:
            return
        self._receiving = None
        self._failures += 1
        wait_ms = self._back_off_ms(self._failures)
        self._receive_again_ms = now_ms + wait_ms
        self._last_error = fact.reason
        self._announce(reports.SourceTroubled("receive", fact.reason, wait_ms))

    def _on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> None:
        is_awaited = self._granting == fact.id
        if is_awaited:
            self._granting = None
        if not is_awaited or not len(self._ahead) or self._stop_by_ms is not None or not self._may_run_one_more():
            self._out.append(do.ReturnEnvironment(fact.id))
            return
        settings = self._settings
        batch = self._ahead.take(settings.batch_size, settings.event_bytes_max)
        invocation_id = self._new_id()
        self._leases.move(AHEAD, invocation_id, batch.receipts, self._ahead.receipts)
        request_id = next(self._request_ids)
        answer_by_ms = now_ms + settings.function_timeout_ms + INVOKE_SLACK_MS
        running = self._running[invocation_id] = MessageRun(request_id, batch, now_ms, answer_by_ms)
        self.counters.invocations += 1
        self.counters.invoked += len(batch.messages)
        self._out.append(do.Invoke(invocation_id, fact.id, request_id, batch, running.attempt))

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        running = self._running.pop(fact.id, None)
        if running is None:
            return
        self._leases.let_go(fact.id)
        batch = running.batch
        match outcome.read(fact.result):
            case outcome.Succeeded() as succeeded:
                self._not_run = 0
                self._last_error = ""
                self.counters.processed += len(batch.messages)
                self._owe(do.Ack(self._new_id(), batch.receipts), now_ms)
                self._announce(running.report_succeeded(succeeded))
            case outcome.Failed() as failed:
                self._not_run = 0
                self._on_failed(running, failed, now_ms)
            case outcome.Throttled() as throttled if not running.cancelled:
                self._on_throttled(running, throttled, now_ms)
            case _:
                self._return(batch.messages, "their invocation was ended by the node", now_ms)

    def _on_failed(self, running: MessageRun, failed: outcome.Failed, now_ms: int) -> None:
        self.counters.failed_invocations += 1
        self._last_error = f"{failed.error_type}: {failed.error_message}"
        timeout_ms = self._settings.visibility_timeout_ms
        self._nack(running.batch.receipts, timeout_ms, counted=True, now_ms=now_ms)
        self._announce(running.report_failed(failed, timeout_ms))

    def _on_throttled(self, running: MessageRun, throttled: outcome.Throttled, now_ms: int) -> None:
        self._not_run += 1
        wait_ms = max(self._back_off_ms(self._not_run), throttled.retry_after_ms or 0)
        self._run_again_ms = now_ms + wait_ms
        self._last_error = throttled.reason
        self._nack(running.batch.receipts, wait_ms, counted=False, now_ms=now_ms)
        self._announce(running.report_not_run(throttled, wait_ms))

    def _on_settled(self, fact: facts.Settled) -> None:
        settled = self._settlement.on_settled(fact.id)
        if settled is not None and fact.expired and not isinstance(settled, do.Extend):
            self._announce(reports.LeasesExpired(len(settled.receipts)))

    def _on_settle_failed(self, fact: facts.SettleFailed, now_ms: int) -> None:
        failed = self._settlement.on_failed(fact.id, now_ms)
        if failed is None:
            return
        command, wait_ms = failed
        self._last_error = fact.reason
        if wait_ms is not None:
            action = {do.Ack: "ack", do.Nack: "return"}.get(type(command), "extend")
            self._announce(reports.SourceTroubled(action, fact.reason, wait_ms))
        elif not isinstance(command, do.Extend):
            self._announce(reports.LeasesExpired(len(command.receipts)))

    # What goes out.

    def _advance(self, now_ms: int) -> None:
        """Do whatever is due. Each step looks at the state alone, so that their order is all there is to know."""
        if self._receive_again_ms is not None and now_ms >= self._receive_again_ms:
            self._receive_again_ms = None
        if self._run_again_ms is not None and now_ms >= self._run_again_ms:
            self._run_again_ms = None
        self._check_running(now_ms)
        if self._stop_by_ms is not None:
            self._stop(now_ms)
        else:
            self._return_ahead(now_ms)
            self._request_environment(now_ms)
        for receipts in self._leases.due(now_ms):
            self._owe(do.Extend(self._new_id(), receipts, self._leases.lease_ms), now_ms)
        for lapsed in self._settlement.give_up(now_ms):
            self._announce(reports.LeasesExpired(len(lapsed.receipts)))
        self._out.extend(self._settlement.next(now_ms, self._new_id))
        if self._stop_by_ms is None:
            self._receive(now_ms)
        elif self._is_stopped(self._stop_by_ms, now_ms):
            self._is_released = True
            self._out.append(do.Release())

    def _check_running(self, now_ms: int) -> None:
        """An invocation that never answers is ended; its messages come back by their lease."""
        for invocation_id, running in list(self._running.items()):
            must_end = self._stop_by_ms is not None and now_ms >= self._stop_by_ms
            if not running.cancelled and (must_end or now_ms >= running.answer_by_ms):
                running.cancelled = True
                running.answer_by_ms = now_ms + CANCEL_ANSWER_MS
                self._out.append(do.Cancel(invocation_id))
            elif running.cancelled and now_ms >= running.answer_by_ms:
                del self._running[invocation_id]
                self._leases.let_go(invocation_id)

    def _return_ahead(self, now_ms: int) -> None:
        """What has waited for an environment for a whole lease goes back, for others to run."""
        if self._ahead.since_ms is None or now_ms < self._return_ahead_ms():
            return
        self._give_up_ahead("no environment was free for them", now_ms)

    def _return_ahead_ms(self) -> int:
        assert self._ahead.since_ms is not None
        return self._ahead.since_ms + self._settings.batching_window_ms + self._settings.lease_ms

    def _give_up_ahead(self, reason: str, now_ms: int) -> None:
        if self._granting is not None:
            self._out.append(do.ReturnEnvironment(self._granting))
            self._granting = None
        count = len(self._ahead)
        receipts = self._ahead.clear()
        self._leases.let_go(AHEAD)
        if receipts:
            self._return_receipts(receipts, count, reason, now_ms)

    def _request_environment(self, now_ms: int) -> None:
        if self._granting is not None or not self._may_run_one_more():
            return
        settings = self._settings
        if self._ahead.is_ready(now_ms, batch_size=settings.batch_size, window_ms=settings.batching_window_ms):
            self._ahead.is_closed = True
            self._granting = self._new_id()
            self._out.append(do.RequestEnvironment(self._granting))

    def _receive(self, now_ms: int) -> None:
        if self._receiving is not None and now_ms >= self._receiving.answer_by_ms:
            self._out.append(do.Cancel(self._receiving.id))
            self._give_up_receiving(self._receiving)
        wanted = self._settings.batch_size - len(self._ahead)
        if self._receiving is not None or self._ahead.is_closed or wanted <= 0 or self._receive_again_ms is not None:
            return
        if not self._may_run_one_more() or not self._has_headroom:
            return
        wait_ms = RECEIVE_WAIT_MS
        if self._ahead.since_ms is not None:
            wait_ms = min(wait_ms, max(0, self._ahead.since_ms + self._settings.batching_window_ms - now_ms))
        self._receiving = _Receiving(self._new_id(), now_ms + wait_ms + RECEIVE_SLACK_MS)
        self._out.append(do.Receive(self._receiving.id, wanted, wait_ms))

    def _give_up_receiving(self, receiving: _Receiving) -> None:
        self._given_up.append(receiving.id)
        self._receiving = None

    def _may_run_one_more(self) -> bool:
        most = self._settings.concurrency_max
        return self._run_again_ms is None and (most is None or len(self._running) < most)

    def _stop(self, now_ms: int) -> None:
        """Return what was never run, let what runs end (D40)."""
        receiving = self._receiving
        if receiving is not None and not receiving.cancelled:
            # What it took nevertheless comes with its answer, and goes back.
            receiving.cancelled = True
            receiving.answer_by_ms = now_ms + LAST_SETTLE_MS
            self._out.append(do.Cancel(receiving.id))
        elif receiving is not None and now_ms >= receiving.answer_by_ms:
            self._give_up_receiving(receiving)
        self._give_up_ahead("the mapping stops", now_ms)

    def _is_stopped(self, stop_by_ms: int, now_ms: int) -> bool:
        if self._running:
            return False
        is_all_answered = self._receiving is None and not len(self._settlement)
        return is_all_answered or now_ms >= stop_by_ms + LAST_SETTLE_MS

    def _lease_ahead(self, now_ms: int) -> None:
        receipts = self._ahead.receipts
        if receipts:
            self._leases.hold(AHEAD, receipts, now_ms)
        else:
            self._leases.let_go(AHEAD)

    def _return(self, messages: tuple[Message, ...], reason: str, now_ms: int) -> None:
        if messages:
            self._return_receipts(tuple(message.receipt for message in messages), len(messages), reason, now_ms)

    def _return_receipts(self, receipts: tuple[str, ...], count: int, reason: str, now_ms: int) -> None:
        self.counters.returned += count
        self._nack(receipts, 0, counted=False, now_ms=now_ms)
        self._announce(reports.MessagesReturned(count, reason))

    def _nack(self, receipts: tuple[str, ...], delay_ms: int, *, counted: bool, now_ms: int) -> None:
        self._owe(do.Nack(self._new_id(), receipts, delay_ms, counted), now_ms)

    def _owe(self, command: do.Ack | do.Nack | do.Extend, now_ms: int) -> None:
        self._settlement.owe(command, give_up_ms=now_ms + self._settings.lease_ms, now_ms=now_ms)

    # Small change.

    def _next_try_ms(self) -> int | None:
        times = (self._receive_again_ms, self._run_again_ms)
        return min((time for time in times if time is not None), default=None)

    def _is_idle(self) -> bool:
        is_empty = not self._running and not len(self._ahead) and not len(self._settlement)
        return is_empty and self._next_try_ms() is None

    def _back_off_ms(self, tries: int) -> int:
        return retry.wait_ms(self._settings.backoff, tries, self._jitter)

    def _new_id(self) -> int:
        self._last_id += 1
        return self._last_id

    def _announce(self, report: reports.Report) -> None:
        self._out.append(do.Announce(report))
