"""What must hold for one queue machine, looked at around every step."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from penstock.api import FunctionFailed, Message, NotRun, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch
from penstock.core.events.layout import raw_bytes
from penstock.core.queue_machine import LAST_SETTLE_MS, QueueMachine
from penstock.core.settings import QueueSettings
from simulation.layout import event_bytes
from simulation.queue_asking import Asking
from simulation.queue_hand import Back, Hand, Kept, Running, after
from simulation.queue_leaving import Leaving
from simulation.queue_letters import Letters
from simulation.queue_scaling import Allowance
from simulation.queue_settling import Settling
from simulation.queue_source import Queue
from simulation.queue_verdict import decide, meaning_of
from simulation.trace import Violation

BACK_OFF_LEAST = 0.79
BACK_OFF_MOST_MS = 24_001


class QueueChecks:
    """One per machine."""

    def __init__(
        self, machine: QueueMachine, queue: Queue, letters: Letters, settings: QueueSettings, number: int
    ) -> None:
        self._machine = machine
        self._queue = queue
        self.settings = settings
        self._number = number
        self._hand = Hand()
        self._settling = Settling(self._hand, settings)
        self._leaving = Leaving(self._hand, letters)
        self._asking = Asking()
        self._allowance = Allowance(settings)
        self._grants: list[int] = []
        self._running: dict[int, Running] = {}
        self._free = 1
        self._not_run = 0
        self._throttled: tuple[int, int] | None = None
        """Under which invocation, and until when nothing may be run or received."""
        self._throttled_before: tuple[int, int] | None = None
        self._throttled_batch: Sequence[Kept] = ()
        self._stop_by_ms: int | None = None
        self._is_released = False
        self._replaced: dict[str, tuple[Kept, Kept]] = {}
        """What was received once more in this step, by its receipt of before."""

    # Facts.

    def on_fact(self, fact: facts.QueueFact | None, now_ms: int) -> None:  # noqa: C901, PLR0912 - one arm per fact
        match fact:
            case facts.EnvironmentGranted(id=grant):
                self._grants.append(grant)
            case facts.HeadroomChanged(free=free):
                self._free = free
            case facts.Received(id=asked, messages=messages):
                self._on_received(asked, messages, now_ms)
            case facts.SourceFailed(id=asked):
                self._asking.on_failed(asked, now_ms)
            case facts.Responded():
                self._on_responded(fact, now_ms)
            case facts.Settled():
                self._settling.on_settled(fact, now_ms)
            case facts.SettleFailed(id=command_id):
                self._settling.on_failed(command_id)
            case facts.Delivered(id=command_id):
                self._leaving.on_delivered(command_id)
            case facts.DeliveryFailed():
                self._leaving.on_failed(fact, now_ms)
            case facts.ClockChanged(offset_ms=offset_ms):
                self._leaving.offsets_ms.add(offset_ms)
            case facts.Revoked(deadline_ms=deadline_ms):
                self._stop_by_ms = min(self._stop_by_ms or deadline_ms, max(deadline_ms, now_ms))
            case facts.QueueSettingsChanged(settings=settings):
                self.settings = self._settling.settings = settings
                self._allowance.change(settings)
            case _:
                pass

    def _on_received(self, asked: int, messages: Sequence[Message], now_ms: int) -> None:
        kind = self._asking.on_received(asked)
        if kind == "stale" or self._is_released:
            return
        if kind == "awaited" and self._stop_by_ms is None and not messages and not self._machine.view().waiting:
            self._allowance.on_empty()
        counting = {kept.message.group for kept in self._hand.standing("counting")}
        for message in messages:
            kept = Kept(
                message, self._queue.at(message.receipt), message.receive_count, now_ms,
                now_ms + self.settings.lease_ms,
            )  # fmt: skip
            if kind == "late" or self._stop_by_ms is not None:
                kept.standing, kept.back = "back", after(0, counted=False)
            elif kept.stored.is_filtered or kept.stored.is_too_large:
                self._sift(kept, now_ms)
            else:
                before = self._hand.same(message)
                if before is not None and before.is_waiting and message.group not in counting:
                    # It keeps its place and what is known of it, and goes by its newest receipt.
                    kept.count, kept.standing, kept.due_ms = before.count, before.standing, before.due_ms
                    self._replaced[before.message.receipt] = self._hand.kept.pop(before.message.receipt), kept
            self._hand.kept[message.receipt] = kept

    def _sift(self, kept: Kept, now_ms: int) -> None:
        settings, timeout_ms = self.settings, self.settings.visibility_timeout_ms
        comes_again = settings.on_filtered == "keep" if kept.stored.is_filtered else not settings.has_dead_letters
        if comes_again and not settings.is_delayed:
            # The queue would bring it again at once.
            kept.standing, kept.due_ms = "hidden", now_ms + timeout_ms
            return
        if kept.stored.is_filtered and settings.on_filtered == "delete":
            kept.standing = "done"
        elif kept.stored.is_filtered and settings.on_filtered == "keep":
            kept.standing, kept.back = "back", after(timeout_ms, counted=False)
        elif kept.stored.is_filtered or settings.has_dead_letters:
            condition = "Filtered" if kept.stored.is_filtered else "MaximumPayloadSizeExceeded"
            kept.standing, kept.condition, kept.ended_ms = "leaving", condition, now_ms
        else:
            kept.standing, kept.back = "back", after(timeout_ms, counted=True)

    def _on_responded(self, fact: facts.Responded, now_ms: int) -> None:
        running = self._running.pop(fact.id, None)
        if running is None:
            return
        batch = [self._hand.kept[receipt] for receipt in running.receipts]
        if isinstance(fact.result, NotRun):
            self._on_not_run(fact, running, batch, now_ms)
            return
        assert isinstance(fact.result, Returned | FunctionFailed)
        self._not_run = 0
        meaning = meaning_of(fact.result, batch, self.settings)
        if meaning.kind == "failure" and not self.settings.reports_item_failures:
            self._allowance.on_failed()
        decide(batch, meaning, self.settings, now_ms)

    def _on_not_run(self, fact: facts.Responded, running: Running, batch: Sequence[Kept], now_ms: int) -> None:
        assert isinstance(fact.result, NotRun)
        if running.is_cancelled:
            self._take_back(batch)
            return
        for kept in batch:
            kept.stored.runs -= 1
            kept.standing = "ahead" if self.settings.holds_failures else "back"
        self._not_run += 1
        asked_ms = fact.result.retry_after_ms or 0
        wait_ms = max(int(min(500 * 2 ** (self._not_run - 1), 20_000) * BACK_OFF_LEAST), asked_ms)
        self._throttled_before, self._throttled = self._throttled, (fact.id, now_ms + wait_ms)
        self._throttled_batch = batch
        for kept in batch:
            kept.back = Back(counted=False, delay_least_ms=wait_ms, delay_most_ms=max(BACK_OFF_MOST_MS, asked_ms))

    def _take_back(self, batch: Sequence[Kept]) -> None:
        """A stop takes the run of what it ended back (D40); else the function was handed it, and it counts (D22)."""
        counted = self._stop_by_ms is None
        for kept in batch:
            kept.stored.runs -= not counted
            kept.standing, kept.back = "back", after(0, counted=counted)

    # Commands.

    def on_command(self, command: do.QueueCommand, now_ms: int) -> None:  # noqa: C901 - one arm per command
        if self._is_released and not isinstance(command, do.ReturnEnvironment):
            self._fail(f"said {command} after its release")
        match command:
            case do.Receive():
                self._on_receive(command, now_ms)
            case do.Invoke():
                self._on_invoke(command, now_ms)
            case do.Cancel(id=command_id):
                self._on_cancel(command_id, now_ms)
            case do.ReturnEnvironment(id=grant) if grant in self._grants:
                self._grants.remove(grant)
            case do.Ack():
                self._settling.on_ack(command)
            case do.Nack():
                self._on_nack(command, now_ms)
            case do.Count():
                self._settling.on_count(command, now_ms)
            case do.Extend():
                self._settling.on_extend(command, now_ms)
            case do.SendAway():
                self._leaving.on_send(command, now_ms)
            case do.Release():
                self._on_release(now_ms)
            case _:
                pass

    def _on_receive(self, command: do.Receive, now_ms: int) -> None:
        settings, view = self.settings, self._machine.view()
        if self._stop_by_ms is not None:
            self._fail("receives while it stops")
        self._check_throttled("receives", now_ms)
        self._allowance.pass_time(now_ms)
        running, limit = len(view.in_flight), self._allowance.limit
        batches = self._free if limit is None else min(self._free, limit - running)
        if batches <= 0 and not running:
            self._fail("receives what it could not run")
        # One batch may wait ahead of those that run (D20), and one may just be about to begin.
        if command.messages_max + view.waiting > settings.batch_size * (max(batches, 1) + 1):
            self._fail(f"receives {command.messages_max} with {view.waiting} waiting, and {batches} free")
        held = view.waiting + view.held
        if settings.holds_failures and command.messages_max + held > settings.held_max:
            self._fail(f"receives {command.messages_max} while it holds {held}")
        self._asking.on_receive(command, now_ms)

    def _check_throttled(self, what: str, now_ms: int) -> None:
        if self._throttled is not None and now_ms < self._throttled[1]:
            self._fail(f"{what} at {now_ms}, when it was told to wait until {self._throttled[1]}")

    def _on_invoke(self, command: do.Invoke, now_ms: int) -> None:
        batch, settings = command.batch, self.settings
        assert isinstance(batch, MessageBatch)
        if command.grant not in self._grants:
            self._fail(f"invokes under {command.grant}, which it does not hold")
        self._grants.remove(command.grant)
        self._check_throttled("invokes", now_ms)
        if self._stop_by_ms is not None:
            self._fail("invokes while it stops")
        if not 0 < len(batch.messages) <= settings.batch_size or event_bytes(batch.messages) > settings.event_bytes_max:
            self._fail(f"invokes {len(batch.messages)} messages, {event_bytes(batch.messages)} bytes")
        if command.attempt != max(message.receive_count for message in batch.messages):
            self._fail(f"calls it attempt {command.attempt}")
        for message in batch.messages:
            kept = self._hand.kept.get(message.receipt)
            if kept is None or kept.standing != "ahead":
                self._fail(f"invokes {message.receipt}, which does not wait: {kept}")
            if now_ms >= kept.lapses_ms:
                self._fail(f"invokes {message.receipt}, whose lease ended at {kept.lapses_ms}")
            if message.receive_count != kept.count:
                self._fail(f"invokes {message.receipt} with count {message.receive_count}, which is {kept.count}")
            kept.standing = "running"
        self._running[command.id] = Running(command.request_id, batch.receipts)
        running, limit = len(self._machine.view().in_flight), self._allowance.limit
        if limit is not None and running > limit:
            self._fail(f"runs {running} at once, and {limit} are allowed")
        self._allowance.on_invoked(running, now_ms)

    def _on_cancel(self, command_id: int, now_ms: int) -> None:
        if command_id in self._running:
            self._running[command_id].is_cancelled = True
            return
        if self._throttled is not None and self._throttled[0] == command_id:
            # It was ended by its machine, just before it said that it had not run.
            self._throttled = self._throttled_before
            for kept in self._throttled_batch:
                kept.stored.runs += 1
            self._take_back(self._throttled_batch)
        self._asking.on_cancel(command_id, now_ms)

    def _on_nack(self, command: do.Nack, now_ms: int) -> None:
        for receipt in command.receipts:
            kept = self._hand.kept.pop(receipt, None)
            if kept is None and receipt in self._replaced:
                # It had gone back before it was received once more, and the two are strangers.
                kept, again = self._replaced.pop(receipt)
                again.standing, again.count = "ahead", again.message.receive_count
            if kept is None:
                said = self._hand.settled.get(receipt)
                if said != (command.counted, command.delay_ms):
                    self._fail(f"returns {receipt}, of which it has said {said}")
            else:
                wanted = self._back_of(kept, now_ms)
                if wanted is None or not wanted.fits(counted=command.counted, delay_ms=command.delay_ms):
                    self._fail(f"says {command} of {kept}, and should {wanted}")
                if kept.standing == "leaving":
                    self._leaving.forget(receipt)
                self._hand.settled[receipt] = (command.counted, command.delay_ms)
        self._settling.on_nack(command)

    def _back_of(self, kept: Kept, now_ms: int) -> Back | None:  # noqa: PLR0911 - one for each standing
        """Say how a message may be given back; None: not at all."""
        match kept.standing:
            case "ahead":
                return after(0, counted=False)
            case "hidden":
                left_ms = 0 if self._stop_by_ms is not None else max(0, (kept.due_ms or 0) - now_ms)
                return after(left_ms, counted=False) if not left_ms or self._is_crowded() else None
            case "spent":
                return after(max(0, (kept.due_ms or 0) - now_ms), counted=True)
            case "back":
                return kept.back
            case "leaving" if self._stop_by_ms is not None:
                return after(0, counted=kept.condition == "MaximumReceiveCountExceeded")
            case "running" if self.settings.holds_failures and self._is_given_up(kept):
                # It never answered, and may have run.
                return after(self.settings.visibility_timeout_ms, counted=True)
            case _:
                return None

    def _is_crowded(self) -> bool:
        """Say whether so much is held that more goes back at once (D26)."""
        held = [kept for kept in self._hand.kept.values() if kept.is_waiting or kept.standing == "hidden"]
        size = sum(raw_bytes(kept.message) for kept in held)
        return len(held) * 2 >= self.settings.held_max or size * 2 >= self.settings.held_bytes_max

    def _is_given_up(self, kept: Kept) -> bool:
        known = {running.request_id for running in self._machine.view().in_flight}
        return any(
            kept.message.receipt in running.receipts and running.is_cancelled and running.request_id not in known
            for running in self._running.values()
        )

    def _on_release(self, now_ms: int) -> None:
        self._is_released = True
        self._give_up_runs(set())
        if self._stop_by_ms is None:
            self._fail("lets go of its own accord")
        # What was being counted to the last comes back by its lease: nobody knows how often it counts.
        in_hand = [kept for kept in self._hand.kept.values() if kept.standing != "counting"]
        if in_hand or (self._hand.kept and now_ms < self._stop_by_ms + LAST_SETTLE_MS):
            self._fail(f"lets go with {list(self._hand.kept.values())[:2]} in its hands")
        if self._machine.view().settling and now_ms < self._stop_by_ms + LAST_SETTLE_MS:
            self._fail("lets go before it has settled")

    # The state after a step.

    def after_step(self, now_ms: int) -> None:
        self._replaced.clear()
        self._allowance.pass_time(now_ms)
        self._asking.pass_time(now_ms)
        self._leaving.pass_time(now_ms)
        view = self._machine.view()
        self._give_up_runs({running.request_id for running in view.in_flight})
        if self._is_released:
            return
        count = Counter(kept.standing for kept in self._hand.kept.values())
        if count["done"] or count["back"]:
            owed = self._hand.standing("done") + self._hand.standing("back")
            self._fail(f"does not say what becomes of {owed[:2]}")
        if self._grants:
            self._fail(f"keeps environments that it can not use: {self._grants}")
        waiting = count["ahead"] + count["spent"] + count["hidden"]
        # What is being counted may be on its way back already.
        most = waiting + count["counting"]
        if not waiting <= view.waiting + view.held <= most:
            self._fail(f"shows {view.waiting} waiting and {view.held} held at {now_ms}, and has {waiting} to {most}")
        if view.sending_away != count["leaving"]:
            self._fail(f"shows {view.sending_away} leaving, and has {self._hand.standing('leaving')}")
        if view.concurrency != self._allowance.limit:
            self._fail(f"allows {view.concurrency} at once, and {self._allowance.limit} are right")
        self._settling.check_leases(now_ms, self._machine.next_deadline_ms())

    def _give_up_runs(self, known: set[str]) -> None:
        """What its machine waits for no more comes back by its lease, or was given back already."""
        for command_id, running in list(self._running.items()):
            if running.request_id in known:
                continue
            if not running.is_cancelled:
                self._fail(f"forgets invocation {command_id}")
            del self._running[command_id]
            for receipt in running.receipts:
                kept = self._hand.kept.pop(receipt, None)
                if kept is not None and self.settings.holds_failures:
                    self._fail(f"forgets {kept}")

    def _fail(self, what: str) -> None:
        raise Violation(f"machine {self._number} {what}")
