"""What must hold for one queue machine, looked at around every step."""

from __future__ import annotations

from dataclasses import dataclass

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch
from penstock.core.queue_machine import LAST_SETTLE_MS, QueueMachine
from penstock.core.settings import QueueSettings
from simulation.layout import event_bytes
from simulation.queue_source import Queue
from simulation.trace import Violation


@dataclass(slots=True)
class Running:
    batch: MessageBatch
    is_cancelled: bool = False


class QueueChecks:
    """One per machine."""

    def __init__(self, machine: QueueMachine, queue: Queue, settings: QueueSettings, number: int) -> None:
        self._machine = machine
        self._queue = queue
        self._settings = settings
        self._number = number
        self._grants: list[int] = []
        self._running: dict[int, Running] = {}
        self._ahead: dict[str, int] = {}
        """Receipts that wait, with the time of their coming."""
        self._receiving: int | None = None
        self._owed: set[str] = set()
        self._due_back: set[str] = set()
        self._free = 1
        self._waiting_max = 0
        """As many as it ever asked for, what waited then among them."""
        self._stop_by_ms: int | None = None
        self._is_released = False

    def holds(self, receipt: str) -> bool:
        """Tell whether the machine has a message of this receipt, waiting or running."""
        return receipt in self._ahead or any(
            receipt in running.batch.receipts for running in self._running.values() if not running.is_cancelled
        )

    # Facts.

    def on_fact(self, fact: facts.QueueFact | None, now_ms: int) -> None:
        match fact:
            case facts.EnvironmentGranted(id=grant):
                self._grants.append(grant)
            case facts.HeadroomChanged(free=free):
                self._free = free
            case facts.Received(id=asked, messages=messages):
                if asked == self._receiving and self._stop_by_ms is not None and not self._is_released:
                    self._receiving = None
                    self._due_back = {message.receipt for message in messages}
                elif asked == self._receiving and self._stop_by_ms is None:
                    self._receiving = None
                    self._ahead |= {
                        message.receipt: now_ms
                        for message in messages
                        if not self._queue.at(message.receipt).is_too_large
                    }
            case facts.SourceFailed(id=asked) if asked == self._receiving:
                self._receiving = None
            case facts.Responded():
                self._on_responded(fact)
            case facts.Revoked(deadline_ms=deadline_ms):
                self._stop_by_ms = min(self._stop_by_ms or deadline_ms, deadline_ms)
            case facts.QueueSettingsChanged(settings=settings):
                self._settings = settings
            case _:
                pass

    def _on_responded(self, fact: facts.Responded) -> None:
        running = self._running.pop(fact.id, None)
        if running is None:
            return
        for receipt in running.batch.receipts:
            held = self._queue.at(receipt)
            if isinstance(fact.result, Returned):
                held.succeeded.add(receipt)
            if isinstance(fact.result, Returned | FunctionFailed):
                self._owed.add(receipt)
            elif isinstance(fact.result, NotRun):
                held.runs -= 1

    # Commands.

    def on_command(self, command: do.QueueCommand, now_ms: int) -> None:  # noqa: C901, PLR0912 - one arm per command
        if self._is_released and not isinstance(command, do.ReturnEnvironment):
            self._fail(f"said {command} after its release")
        match command:
            case do.Receive():
                self._on_receive(command)
            case do.Invoke():
                self._on_invoke(command)
            case do.Cancel(id=command_id):
                if command_id in self._running:
                    self._running[command_id].is_cancelled = True
                elif command_id == self._receiving and self._stop_by_ms is None:
                    self._receiving = None
            case do.ReturnEnvironment(id=grant) if grant in self._grants:
                self._grants.remove(grant)
            case do.Ack(receipts=receipts):
                self._on_ack(receipts)
            case do.Nack():
                self._on_nack(command)
            case do.Extend(receipts=receipts):
                if not all(self.holds(receipt) or self._is_cancelled(receipt) for receipt in receipts):
                    self._fail(f"extends {receipts}, which it does not hold")
            case do.Release():
                self._on_release(now_ms)
            case _:
                pass

    def _on_receive(self, command: do.Receive) -> None:
        if self._receiving is not None:
            self._fail("receives twice at once")
        running = len(self._machine.view().in_flight)
        most = self._settings.concurrency_max
        batches = self._free if most is None else min(self._free, most - running)
        if batches <= 0 and not running:
            self._fail("receives what it could not run")
        # One batch may wait ahead of those that run (D20), and one may just be about to begin.
        waiting = command.messages_max + len(self._ahead)
        if waiting > self._settings.batch_size * (max(batches, 1) + 1):
            self._fail(f"receives {command.messages_max} with {len(self._ahead)} waiting, and {batches} free")
        self._waiting_max = max(self._waiting_max, waiting)
        if self._stop_by_ms is not None:
            self._fail("receives while it stops")
        self._receiving = command.id

    def _runs_more_than(self, beyond: int) -> bool:
        most = self._settings.concurrency_max
        # One that was cancelled and never answered is given up; only the machine knows when.
        return most is not None and len(self._machine.view().in_flight) > most + beyond

    def _on_invoke(self, command: do.Invoke) -> None:
        batch = command.batch
        assert isinstance(batch, MessageBatch)
        if command.grant not in self._grants:
            self._fail(f"invokes under {command.grant}, which it does not hold")
        self._grants.remove(command.grant)
        if self._runs_more_than(0):
            self._fail("runs more at once than it may")
        if self._stop_by_ms is not None:
            self._fail("invokes while it stops")
        if len(batch.messages) > self._settings.batch_size or event_bytes(batch.messages) > 600:
            self._fail(f"invokes {len(batch.messages)} messages, {event_bytes(batch.messages)} bytes")
        for message in batch.messages:
            if message.receipt not in self._ahead:
                self._fail(f"invokes {message.receipt}, which does not wait")
            del self._ahead[message.receipt]
            self._queue.at(message.receipt).runs += 1
        self._running[command.id] = Running(batch)

    def _on_ack(self, receipts: tuple[str, ...]) -> None:
        for receipt in receipts:
            if receipt not in self._queue.at(receipt).succeeded:
                self._fail(f"acks {receipt}, which the function did not take")
            self._owed.discard(receipt)

    def _on_nack(self, command: do.Nack) -> None:
        self._due_back.difference_update(command.receipts)
        for receipt in command.receipts:
            if self.holds(receipt) and receipt not in self._ahead:
                self._fail(f"returns {receipt}, which runs")
            held = self._queue.at(receipt)
            if receipt in held.succeeded:
                self._fail(f"returns {receipt}, which the function took")
            if command.counted != (receipt in self._owed) and not held.is_too_large:
                self._fail(f"returns {receipt} with counted={command.counted}")
            if command.counted and command.delay_ms != self._settings.visibility_timeout_ms:
                self._fail(f"returns {receipt} for {command.delay_ms} ms")
            self._ahead.pop(receipt, None)

    def _is_cancelled(self, receipt: str) -> bool:
        return any(receipt in running.batch.receipts for running in self._running.values() if running.is_cancelled)

    def _on_release(self, now_ms: int) -> None:
        self._is_released = True
        if self._stop_by_ms is None:
            self._fail("lets go of its own accord")
        elif self._ahead:
            self._fail(f"lets go with {list(self._ahead)} in its hands")
        elif any(not running.is_cancelled for running in self._running.values()):
            self._fail("lets go while a batch runs")
        elif self._owed and now_ms < self._stop_by_ms + LAST_SETTLE_MS and self._machine.view().settling:
            self._fail("lets go before it has settled")

    # The state after a step.

    def after_step(self, now_ms: int) -> None:
        if len(self._ahead) > self._waiting_max:
            self._fail(f"has {len(self._ahead)} messages waiting")
        if self._grants or self._due_back:
            self._fail(f"keeps what it can not use: environments {self._grants}, messages {sorted(self._due_back)}")
        view = self._machine.view()
        if view.waiting != len(self._ahead):
            self._fail(f"shows {view.waiting} waiting, and has {list(self._ahead)} at {now_ms}")

    def _fail(self, what: str) -> None:
        raise Violation(f"machine {self._number} {what}")
