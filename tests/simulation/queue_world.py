"""Nodes that compete for one queue, and faults for a while; then no faults, and the queue must be empty in the end."""

from __future__ import annotations

from collections.abc import Callable

from penstock.core import facts
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.node import PUNCTUAL_MS
from simulation.queue_node import QueueNode
from simulation.queue_source import Held, Queue
from simulation.scenario import NO_FAULTS, QueueScenario, change_queue, draw_queue
from simulation.trace import Trace, Violation

DRAIN_MS = 1_800_000
GRACE_MS = 2_000


class QueueWorld:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.scenario: QueueScenario = draw_queue(seed)
        self.chance = Chance(seed, "queue run")
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self.faults = self.scenario.faults
        self.settings = self.scenario.settings
        self.queue = Queue(visibility_ms=self.settings.visibility_timeout_ms)
        self.is_healed = False
        faults = self.faults
        self.is_storing_unreliable = any(
            (
                faults.store_failed, faults.store_lost, faults.store_reply_lost, faults.store_reply_late,
                faults.store_reply_wrong, faults.slow_timer,
            )
        )  # fmt: skip
        self._is_ending = False
        self._restarts = 0
        self._last_number = 0
        self.nodes = [self._start(f"node-{index}") for index in range(self.scenario.nodes)]

    def run(self) -> None:
        """Live through the scenario. Raises a `Violation`, or an assertion of the core's own."""
        self._plan()
        self.clock.run_until(self.scenario.fault_ms)
        self._end_faults()
        self._drain()
        self._stop()

    def check_lapsed(self, lapsed: list[tuple[Held, int]]) -> None:
        """A lease ends by itself only when its owner is dead, or could not say what became of it (D21)."""
        if self.is_storing_unreliable or self.scenario.faults.function_reply_lost:
            return
        for held, number in lapsed:
            if any(node.is_alive and number in node.machines for node in self.nodes):
                raise Violation(f"a lease of {held.message_id} lapsed, which machine {number} had")

    # The plan.

    def _plan(self) -> None:
        scenario, chance = self.scenario, self.chance
        for _ in range(scenario.sends):
            self._sometime(lambda: self.queue.send(scenario, chance, self.clock.now_ms))
        for _ in range(scenario.crashes):
            index = chance.between(0, scenario.nodes - 1)
            self._sometime(lambda index=index: self._crash(index))
        for _ in range(scenario.stops):
            index = chance.between(0, scenario.nodes - 1)
            self._sometime(lambda index=index: self._stop_one(index))
        for _ in range(scenario.changes):
            self._sometime(self._change)

    def _sometime(self, act: Callable[[], object]) -> None:
        self.clock.after(self.chance.between(0, self.scenario.fault_ms - 1), act)

    def _crash(self, index: int) -> None:
        if self.nodes[index].is_alive:
            self.nodes[index].crash()

    def _stop_one(self, index: int) -> None:
        """Disable the mapping on one node, and enable it again."""
        node, grace_ms = self.nodes[index], self.chance.one_of((0, 100, GRACE_MS))
        if node.is_alive:
            for driven in list(node.machines.values()):
                driven.step(facts.Revoked(self.clock.now_ms + grace_ms, "disabled"))
            self.clock.after(self.chance.between(20_000, 30_000), self._host_again, node)

    def _host_again(self, node: QueueNode) -> None:
        if node.is_alive and not self._is_ending and all(driven.is_released for driven in node.machines.values()):
            self._host(node)

    def _change(self) -> None:
        self.settings = change_queue(self.settings, self.chance)
        for node in self.nodes:
            for driven in list(node.machines.values()):
                driven.step(facts.QueueSettingsChanged(self.settings))

    def _start(self, name: str) -> QueueNode:
        scenario = self.scenario
        node = QueueNode(
            self,
            name,
            environments_max=scenario.environments_max,
            function_max=scenario.function_max,
            timeout_ms=scenario.settings.function_timeout_ms,
        )
        self._host(node)
        return node

    def _host(self, node: QueueNode) -> None:
        self._last_number += 1
        node.host(self._last_number)

    def on_crashed(self, node: QueueNode) -> None:
        self.clock.after(self.chance.one_of((100, 1_000, 10_000)), self._restart, self.nodes.index(node))

    def on_tardy(self, number: int) -> None:
        """Timers that ring late excuse leases that lapse; `is_storing_unreliable` says so already."""

    def _restart(self, index: int) -> None:
        if self._is_ending:
            return
        self._restarts += 1
        self.nodes[index] = self._start(f"node-{index}.{self._restarts}")

    # The end.

    def _end_faults(self) -> None:
        self.trace.add("world", "FAULTS END")
        self.faults = NO_FAULTS
        self.is_healed = True
        for node in self.nodes:
            node.function.faults = self.faults

    def _drain(self) -> None:
        deadline_ms = self.clock.now_ms + DRAIN_MS
        while left := [held for held in self.queue.messages if not held.is_deleted and not held.is_too_large]:
            if self.clock.now_ms >= deadline_ms:
                raise Violation(f"did not drain: {left[:3]}")
            self.clock.run_until(self.clock.now_ms + 500)

    def _stop(self) -> None:
        """A machine that is stopped lets go soon, holds nothing, and what was never run comes back uncounted."""
        self._is_ending = True
        for node in self.nodes:
            for driven in list(node.machines.values()):
                driven.step(facts.Revoked(self.clock.now_ms + GRACE_MS, "the node stops"))
        self.clock.run_until(self.clock.now_ms + 20_000 + PUNCTUAL_MS)
        for node in self.nodes:
            if node.is_alive and not all(driven.is_released for driven in node.machines.values()):
                raise Violation(f"{node.name} did not let go")
            if node.is_alive and (node.concurrency.held or node.runs):
                raise Violation(f"{node.name} still holds {node.concurrency.held} environments")
        wrong = [held.message_id for held in self.queue.messages if held.is_too_large and held.is_deleted]
        if wrong:
            raise Violation(f"{wrong} are too large to be run, and are gone")
