"""Nodes that compete for one queue, and faults for a while; then no faults, and the queue must be empty in the end."""

from __future__ import annotations

from collections.abc import Callable

from penstock.core import facts
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.node import PUNCTUAL_MS
from simulation.queue_ledger import Ledger
from simulation.queue_letters import Letters
from simulation.queue_node import DrivenQueue, QueueNode
from simulation.queue_scenario import NO_QUEUE_FAULTS, QueueScenario, change_queue, draw_queue
from simulation.queue_source import Queue, Stored
from simulation.stream_scenario import UNIX_MS
from simulation.trace import Trace, Violation

DRAIN_MS = 1_200_000
GRACE_MS = 2_000
IDLE_MS = 25_000


class QueueWorld:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.scenario: QueueScenario = draw_queue(seed)
        self.chance = Chance(seed, "queue run")
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self.faults = self.scenario.faults
        self.settings = self.scenario.settings
        self.node_of: dict[int, int] = {}
        self._hosts: dict[int, QueueNode] = {}
        self.queue = Queue(
            self.scenario.broker,
            visibility_ms=self.settings.lease_ms,
            node_of=self.node_of,
            alive_until=lambda number: self._hosts[number].seen_until_ms(self.clock.now_ms),
        )
        self.ledger = Ledger(self.queue, self.node_of)
        self.letters = Letters(self.clock, self.chance)
        self.is_healed = False
        self._is_ending = False
        self._restarts = 0
        self._last_number = 0
        self.trace.add("world", f"{self.scenario.broker.name}: {self.settings}")
        self.nodes = [self._start(index, f"node-{index}") for index in range(self.scenario.nodes)]

    def run(self) -> None:
        """Live through the scenario. Raises a `Violation`, or an assertion of the core's own."""
        self._plan()
        self.clock.run_until(self.scenario.fault_ms)
        self._end_faults()
        self._drain()
        self._stop()
        self._check_end()

    def fails(self, message_id: str) -> bool:
        stored = self.queue.messages[int(message_id[1:])]
        return stored.is_stubborn or (stored.is_poison and not self.is_healed)

    # The plan.

    def _plan(self) -> None:
        scenario, chance = self.scenario, self.chance
        for _ in range(scenario.sends):
            self._sometime(lambda: self.queue.send(scenario, chance, self.clock.now_ms))
        for _ in range(scenario.crashes):
            self._sometime(self._crash, chance.between(0, scenario.nodes - 1))
        for _ in range(scenario.stops):
            self._sometime(self._stop_one, chance.between(0, scenario.nodes - 1))
        for _ in range(scenario.changes):
            self._sometime(self._change)
        for _ in range(scenario.breaks):
            self._sometime(self._break_one, chance.between(0, scenario.nodes - 1))
        for _ in range(scenario.standstills):
            self._sometime(self._stand_still, chance.between(0, scenario.nodes - 1))
        for _ in range(scenario.clock_jumps):
            self._sometime(self._set_clock, chance.between(0, scenario.nodes - 1))

    def _sometime(self, act: Callable[..., object], *arguments: object) -> None:
        self.clock.after(self.chance.between(0, self.scenario.fault_ms - 1), act, *arguments)

    def _crash(self, index: int) -> None:
        if self.nodes[index].is_alive:
            self.nodes[index].crash()

    def _stop_one(self, index: int) -> None:
        """Disable the mapping on one node, and enable it again."""
        node, grace_ms = self.nodes[index], self.chance.one_of((0, 100, GRACE_MS, 10_000))
        if node.is_alive:
            for driven in list(node.machines.values()):
                driven.step(facts.Revoked(self.clock.now_ms + grace_ms, "disabled"))
            self.clock.after(self.chance.between(100, 30_000), self._host_again, node)

    def _host_again(self, node: QueueNode) -> None:
        if not node.is_alive or self._is_ending:
            return
        if all(driven.is_released for driven in node.machines.values()):
            self._host(node)
        else:
            self.clock.after(1_000, self._host_again, node)

    def _change(self) -> None:
        self.settings = change_queue(self.settings, self.chance, self.scenario)
        self.trace.add("world", f"SETTINGS {self.settings}")
        for node in self.nodes:
            for driven in list(node.machines.values()):
                driven.step(facts.QueueSettingsChanged(self.settings))

    def _break_one(self, index: int) -> None:
        for driven in list(self.nodes[index].machines.values()):
            self.break_connection(driven)

    def break_connection(self, driven: DrivenQueue) -> None:
        """Whatever the machine has is the queue's again; it hears of that when it next says something."""
        if driven.node.is_alive and not driven.is_released:
            self.trace.add(driven.where, "CONNECTION LOST")
            self.queue.lose(driven.number, self.clock.now_ms)

    def _stand_still(self, index: int) -> None:
        if self.nodes[index].is_alive:
            duration_ms = self.chance.one_of((500, 5_000, 40_000))
            self.nodes[index].stand_still(min(duration_ms, self.scenario.fault_ms - self.clock.now_ms))

    def _set_clock(self, index: int) -> None:
        if self.nodes[index].is_alive:
            self.nodes[index].set_clock(UNIX_MS + self.chance.between(-100_000, 100_000))

    def _start(self, index: int, name: str) -> QueueNode:
        scenario = self.scenario
        node = QueueNode(
            self,
            name,
            environments_max=scenario.environments_max,
            function_max=scenario.function_max,
            timeout_ms=scenario.settings.function_timeout_ms,
        )
        node.index, node.offset_ms = index, UNIX_MS
        node.function.quick = scenario.quick
        self._host(node)
        return node

    def _host(self, node: QueueNode) -> None:
        self._last_number += 1
        self.node_of[self._last_number] = node.index
        self._hosts[self._last_number] = node
        node.host(self._last_number)

    def on_crashed(self, node: QueueNode) -> None:
        node.died_ms = self.clock.now_ms
        self.clock.after(self.chance.one_of((100, 1_000, 10_000)), self._restart, node.index)

    def on_tardy(self, number: int) -> None:
        """A timer that rings late excuses nothing here: a machine looks at its leases first of all."""

    def _restart(self, index: int) -> None:
        if self._is_ending:
            return
        self._restarts += 1
        self.nodes[index] = self._start(index, f"node-{index}.{self._restarts}")

    # The end.

    def _end_faults(self) -> None:
        self.trace.add("world", "FAULTS END")
        self.faults = NO_QUEUE_FAULTS
        self.is_healed = True
        for node in self.nodes:
            node.function.faults = self.faults

    def _drain(self) -> None:
        deadline_ms = self.clock.now_ms + DRAIN_MS
        while (left := self._first_left()) is not None:
            if self.clock.now_ms >= deadline_ms:
                raise Violation(f"did not drain: {left}")
            self.clock.run_until(self.clock.now_ms + 500)
        # What has grown rests when nothing comes (D24).
        self.clock.run_until(self.clock.now_ms + IDLE_MS)

    def _first_left(self) -> Stored | None:
        """Give a message that is still there and can not stay for good."""
        settings, left = self.settings, self.queue.left()
        # What fails for ever holds its group back, and fills what may be held (D23).
        failing = [stored for stored in left if stored.is_stubborn or stored.is_too_large]
        groups = {stored.group for stored in failing} if settings.is_fifo else set()
        if not settings.has_dead_letters and failing and settings.holds_failures:
            held = [stored for stored in left if stored in failing or stored.group in groups]
            size = sum(len(stored.body) + 60 for stored in held)
            if len(held) >= settings.held_max or size >= settings.held_bytes_max:
                return None
        for stored in left:
            if stored.is_filtered:
                must_end = settings.on_filtered != "keep" and stored.group not in groups
            else:
                fails = stored.is_stubborn or stored.is_too_large or stored.group in groups
                must_end = settings.has_dead_letters or not fails
            if must_end:
                return stored
        return None

    def _stop(self) -> None:
        """A machine that is stopped lets go soon, and holds nothing."""
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

    def _check_end(self) -> None:
        for stored in self.queue.messages:
            if not stored.is_deleted:
                continue
            if stored.is_stubborn and not stored.is_filtered and not self._is_explained(stored):
                raise Violation(f"{stored} never succeeded, and is gone")
            # A limit of the broker's on deliveries may be used up by restarts, never by a machine that goes on.
            has_worn_out = stored.has_vanished and stored.returns <= self.queue.endings
            if stored.is_too_large and not has_worn_out and not self.letters.written[stored.message_id]:
                raise Violation(f"{stored} is too large to be run, and is gone")

    def _is_explained(self, stored: Stored) -> bool:
        # A function that answers oddly may forget to report it.
        is_odd = self.scenario.faults.odd_response > 0
        return is_odd or stored.has_vanished or self.letters.written[stored.message_id] > 0
