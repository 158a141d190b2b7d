"""What must hold for one machine of a shard, looked at around every step.

It keeps books of its own from the facts and commands that it sees, and never looks into the machine but through its
view. Each concern has a file of its own; this one passes on to them what happens.
"""

from __future__ import annotations

from collections.abc import Sequence

from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.settings import StreamSettings
from penstock.core.stream_machine import StreamMachine
from simulation.books import Books, Bounds
from simulation.bound_checks import BoundChecks
from simulation.checkpoint_checks import CheckpointChecks
from simulation.destination import StateStore
from simulation.fate_checks import FateChecks
from simulation.invoke_checks import InvokeChecks
from simulation.outcome_checks import OutcomeChecks
from simulation.shard_model import Snapshot
from simulation.stream_scenario import StreamScenario
from simulation.stream_source import Shard
from simulation.window_checks import WindowChecks


class StreamChecks:
    """One per machine."""

    def __init__(
        self,
        machine: StreamMachine,
        shard: Shard,
        number: int,
        *,
        scenario: StreamScenario,
        settings: StreamSettings,
        bounds: Bounds,
        stores: Sequence[StateStore],
    ) -> None:
        self.books = Books(machine, shard, number, scenario=scenario, settings=settings, bounds=bounds)
        self._windows = WindowChecks(self.books, stores)
        self._fates = FateChecks(self.books, self._windows)
        self._invokes = InvokeChecks(self.books, self._windows)
        self._outcomes = OutcomeChecks(self.books, self._windows, self._fates)
        self._checkpoints = CheckpointChecks(self.books)
        self._bounds = BoundChecks(self.books)
        self._resolving = -1
        self._is_released = False

    def snapshot(self, command: do.Commit) -> Snapshot:
        return self._checkpoints.snapshots[command.id]

    # Facts.

    def on_fact(self, fact: facts.StreamFact | None, now_ms: int) -> None:  # noqa: C901, PLR0912 - an arm for each
        books = self.books
        match fact:
            case facts.EnvironmentGranted():
                self._invokes.on_granted(fact)
            case facts.Responded():
                self._outcomes.on_responded(fact, now_ms)
            case facts.Delivered() if not self._is_released:
                self._fates.on_delivered(fact)
            case facts.DeliveryFailed() if not self._is_released:
                self._fates.on_delivery_failed(fact, now_ms)
            case facts.StateSaved() if not self._is_released:
                self._outcomes.on_saved(fact, now_ms)
            case facts.StateLoaded():
                self._windows.on_loaded()
            case facts.StateMissing():
                self._windows.on_missing()
            case facts.Committed():
                self._windows.on_committed(fact)
            case facts.Resolved(id=asked, after=after) if asked == self._resolving and books.model.cursor is None:
                books.model.begin(after)
            case facts.Revoked(deadline_ms=deadline_ms):
                books.stop_by_ms = min(books.stop_by_ms or deadline_ms, deadline_ms)
            case facts.Lost():
                books.is_lost = True
            case facts.StreamSettingsChanged(settings=settings):
                books.settings = settings
            case facts.ClockChanged(offset_ms=offset_ms):
                books.wall_offset_ms = offset_ms
            case _:
                pass

    # Commands.

    def on_command(self, command: do.StreamCommand, now_ms: int) -> None:  # noqa: C901 - an arm for each
        if self._is_released and not isinstance(command, do.ReturnEnvironment):
            self.books.fail(f"said {command} after its release")
        match command:
            case do.Resolve(id=asked):
                self._resolving = asked
            case do.Invoke():
                self._invokes.on_invoke(command, now_ms)
            case do.Commit():
                self._checkpoints.on_commit(command, now_ms)
                self._windows.on_commit(command)
            case do.Cancel(id=invocation_id):
                self._on_cancel(invocation_id)
            case do.ReturnEnvironment():
                self._invokes.on_returned(command)
            case do.Deliver():
                self._fates.on_deliver(command, now_ms)
            case do.SaveState():
                self._windows.on_save(command)
            case do.ForgetState():
                self._windows.on_forget(command)
            case do.Announce(report=report):
                self._on_report(report, now_ms)
            case do.Release():
                self._on_release()
            case _:
                pass

    def _on_cancel(self, command_id: int) -> None:
        for lane in self.books.lanes():
            if lane.running is not None and lane.running.id == command_id:
                lane.running.is_cancelled = True
            if lane.dooms and lane.dooms[0].id == command_id:
                # Whatever it answers, the machine does not listen any more.
                lane.dooms[0].id = None

    def _on_report(self, report: reports.Report, now_ms: int) -> None:
        match report:
            case reports.PositionLost():
                self._checkpoints.on_position_lost(report)
            case reports.LanesChanged():
                self._checkpoints.on_lanes_changed(report)
            case reports.RecordsDropped():
                self._fates.on_dropped(report, now_ms)
            case _:
                pass

    def _on_release(self) -> None:
        self._is_released = True
        if not self.books.is_stopping:
            self.books.fail("lets go of its own accord")
        if any(lane.running is not None and not lane.running.is_cancelled for lane in self.books.lanes()):
            self.books.fail("lets go while its batch runs")

    # The state after a step.

    def after_step(self, now_ms: int) -> None:
        if self.books.model.cursor is not None and self.books.machine.view().lanes:
            self.books.know_factor()
        self._invokes.after_step(now_ms)
        self._fates.after_step()
        self._bounds.after_step()
