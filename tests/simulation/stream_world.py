"""Nodes, shards and faults for a while; then no faults, and the backlog must drain."""

from __future__ import annotations

from penstock.core import facts
from simulation.books import Bounds
from simulation.chance import Chance
from simulation.checkpoint_checks import LAST_COMMIT_MS
from simulation.clock import Clock
from simulation.destination import Destination, StateStore
from simulation.end_checks import check_end
from simulation.stream_node import DrivenStream, StreamNode
from simulation.stream_scenario import NO_STREAM_FAULTS, UNIX_MS, StreamScenario, change_stream, draw_stream
from simulation.stream_source import Shard
from simulation.trace import Trace, Violation
from simulation.window_checks import NAME

DRAIN_MS = 1_200_000
"""Far above what anything waits for, far below for ever."""
GRACE_MS = 2_000


class StreamWorld:
    """One run of one seed."""

    def __init__(self, seed: int) -> None:
        self.scenario: StreamScenario = draw_stream(seed)
        self.chance = Chance(seed, "stream run")
        self.clock = Clock()
        self.trace = Trace(self.clock)
        self.faults = self.scenario.faults
        self.settings = self.scenario.settings
        self.buffer_bytes_max = self.scenario.buffer_bytes_max
        self.bounds = Bounds()
        self.bounds.widen(self.settings, self.buffer_bytes_max)
        self.is_healed = False
        self._moving: dict[str, int] = {}
        self._excused: set[int] = set()
        self._restarts = 0
        self._last_number = 0
        self.destination = Destination(self.clock, self.chance)
        count = 1 if self.scenario.shares_store else self.scenario.nodes
        stores = [StateStore(f"store-{index}", self.clock, self.chance) for index in range(count)]
        self.stores = [stores[index % count] for index in range(self.scenario.nodes)]
        skew_ms = 20 if self.scenario.clock_jumps else 0
        self.offsets_ms = [UNIX_MS + self.chance.between(-skew_ms, skew_ms) for _ in range(self.scenario.nodes)]
        self.shards = [Shard(f"shard-{index}") for index in range(self.scenario.shards)]
        self.nodes = [self._start(index) for index in range(self.scenario.nodes)]

    def run(self) -> None:
        """Live through the scenario. Raises a `Violation`, or an assertion of the core's own."""
        self._plan()
        self.clock.run_until(self.scenario.fault_ms)
        self._end_faults()
        self._drain()
        for shard in self.shards:
            check_end(shard, self.scenario, self.destination)
        self._stop()

    def is_excused(self, number: int) -> bool:
        """Tell whether a machine may still run beside the next owner: it lost its shard, or its node stood still."""
        return number in self._excused

    def on_tardy(self, number: int) -> None:
        self._excused.add(number)

    # The plan.

    def _plan(self) -> None:
        scenario, chance = self.scenario, self.chance
        for shard in self.shards:
            if chance.happens(0.5):
                shard.append(scenario, chance, 0)
            self.clock.after(chance.between(0, 500), self._assign, shard)
        for _ in range(scenario.appends):
            shard = chance.one_of(self.shards)
            self._sometime(lambda shard=shard: shard.append(scenario, chance, self.clock.now_ms))
        for _ in range(scenario.trims):
            shard = chance.one_of(self.shards)
            self._sometime(lambda shard=shard: self._trim(shard))
        for _ in range(scenario.rebalances):
            shard = chance.one_of(self.shards)
            self._sometime(lambda shard=shard: self._take_away(shard))
        for _ in range(scenario.crashes):
            index = chance.between(0, scenario.nodes - 1)
            self._sometime(lambda index=index: self._crash(index))
        for _ in range(scenario.changes):
            self._sometime(self._change)
        for _ in range(scenario.clock_jumps):
            index = chance.between(0, scenario.nodes - 1)
            self._sometime(lambda index=index: self._set_clock(index))

    def _sometime(self, act) -> None:
        self.clock.after(self.chance.between(0, self.scenario.fault_ms - 1), act)

    def _trim(self, shard: Shard) -> None:
        shard.trim(shard.end if self.chance.happens(0.3) else self.chance.between(shard.oldest, shard.end))
        self.trace.add(shard.name, f"TRIMMED before {shard.oldest}")

    def _trim_begun(self, shard: Shard) -> None:
        """Trim a part of what the next owner would have gone on with."""
        stored = shard.stored.position if shard.stored is not None else -1
        begun = list(shard.snapshot.segments.values()) if shard.snapshot is not None else []
        if begun and self.chance.happens(0.7):
            # Of a batch that was split, the first part alone.
            shard.trim(self.chance.one_of(begun)[0][0] + 1)
        else:
            shard.trim(stored + self.chance.between(1, 15))
        self.trace.add(shard.name, f"TRIMMED before {shard.oldest}")

    def _crash(self, index: int) -> None:
        if self.nodes[index].is_alive:
            self.nodes[index].crash()

    def _change(self) -> None:
        self.settings = change_stream(self.settings, self.chance)
        self.buffer_bytes_max = self.chance.one_of((self.buffer_bytes_max, 600, 2_000, 20_000))
        self.bounds.widen(self.settings, self.buffer_bytes_max)
        for node in self.nodes:
            for driven in list(node.machines.values()):
                driven.step(facts.StreamSettingsChanged(self.settings))
                driven.step(facts.BudgetChanged(self.buffer_bytes_max))

    def _set_clock(self, index: int) -> None:
        jump_ms = self.chance.one_of((50, -50, 3_000, -3_000, 30_000, -30_000, 3_600_000, -3_600_000))
        # A clock that is far off is set right again by the next jump.
        is_off = abs(self.offsets_ms[index] - UNIX_MS) > 1_000
        self._tell_time(index, UNIX_MS if is_off else self.offsets_ms[index] + jump_ms)

    def _tell_time(self, index: int, offset_ms: int) -> None:
        self.offsets_ms[index] = offset_ms
        node = self.nodes[index]
        node.wall_offset_ms = offset_ms
        for driven in list(node.machines.values()):
            driven.step(facts.ClockChanged(offset_ms))

    # Who owns what.

    def _assign(self, shard: Shard) -> None:
        alive = [node for node in self.nodes if node.is_alive]
        if shard.owner is not None:
            return
        if not alive:
            self.clock.after(100, self._assign, shard)
            return
        node = self._choose(shard, alive)
        if node is None:
            self.clock.after(100, self._assign, shard)
            return
        self._last_number += 1
        shard.owner = self._last_number
        shard.waiting = None
        self.trace.add(shard.name, f"ASSIGNED to {node.name}#{shard.owner} with {shard.stored}")
        node.host(shard, shard.owner)

    def _choose(self, shard: Shard, alive: list[StreamNode]) -> StreamNode | None:
        """Once the faults are over, a window goes to a node that has its state; None while that one is away."""
        if not self.scenario.has_window or (not self.is_healed and self.chance.happens(0.5)):
            return self.chance.one_of(alive)
        names = NAME.findall(shard.stored.note) if shard.stored is not None else []
        having = [store.name for store in self.stores if names and names[0] in store.states]
        if not having:
            return self.chance.one_of(alive)
        return next((node for node in alive if node.store.name in having), None)

    def _owner(self, shard: Shard) -> DrivenStream | None:
        for node in self.nodes:
            if node.is_alive and shard.owner in node.machines:
                return node.machines[shard.owner]
        return None

    def _take_away(self, shard: Shard) -> None:
        driven = self._owner(shard)
        if driven is None or shard.name in self._moving:
            return
        if self.chance.happens(0.3):
            self._lose(shard, driven)
        else:
            self._revoke(shard, driven)

    def _lose(self, shard: Shard, driven: DrivenStream) -> None:
        self._excused.add(driven.number)
        shard.owner = None
        self.clock.after(self.chance.between(0, 5_000), driven.step, facts.Lost())
        self.clock.after(self.chance.between(0, 2_000), self._assign, shard)

    def _revoke(self, shard: Shard, driven: DrivenStream) -> None:
        grace_ms = self.chance.one_of((0, 100, GRACE_MS))
        self._moving[shard.name] = driven.number
        driven.step(facts.Revoked(self.clock.now_ms + grace_ms, "a rebalance"))
        # A moment more than the last commit has, and than a killed environment needs to die.
        self.clock.after(grace_ms + LAST_COMMIT_MS + 100, self._give_on, shard, driven.number)

    def on_held(self, driven: DrivenStream) -> None:
        """Somebody notices, in a while, and moves the shard to another node."""
        self.clock.after(self.chance.between(500, 5_000), self._move_held, driven)

    def _move_held(self, driven: DrivenStream) -> None:
        shard = driven.shard
        if shard.owner == driven.number and driven.node.is_alive and shard.name not in self._moving:
            self._revoke(shard, driven)

    def on_released(self, driven: DrivenStream) -> None:
        self._give_on(driven.shard, driven.number)

    def _give_on(self, shard: Shard, number: int) -> None:
        if self._moving.get(shard.name) == number:
            del self._moving[shard.name]
            if shard.owner == number:
                shard.owner = None
                self.clock.after(self.chance.between(0, 300), self._assign, shard)

    def on_crashed(self, node: StreamNode) -> None:
        seconds = (100, 1_000, 10_000)
        for driven in node.machines.values():
            shard = driven.shard
            if shard.owner == driven.number:
                shard.owner = None
                self._moving.pop(shard.name, None)
                if self.scenario.trims and self.chance.happens(0.3):
                    self._trim_begun(shard)
                self.clock.after(self.chance.one_of(seconds), self._assign, shard)
        self.clock.after(self.chance.one_of(seconds), self._restart, self.nodes.index(node))

    def _restart(self, index: int) -> None:
        self._restarts += 1
        self.nodes[index] = self._start(index)

    def _start(self, index: int) -> StreamNode:
        scenario = self.scenario
        node = StreamNode(
            self,
            f"node-{index}.{self._restarts}" if self._restarts else f"node-{index}",
            environments_max=scenario.environments_max,
            function_max=scenario.function_max,
            timeout_ms=scenario.settings.function_timeout_ms,
        )
        node.store, node.wall_offset_ms = self.stores[index], self.offsets_ms[index]
        return node

    # The end.

    def _end_faults(self) -> None:
        self.trace.add("world", "FAULTS END")
        self.faults = NO_STREAM_FAULTS
        self.is_healed = True
        for node in self.nodes:
            node.function.faults = self.faults
        for index in range(len(self.nodes)):
            self._tell_time(index, UNIX_MS)
        for shard in self.shards:
            shard.show_all()

    def _drain(self) -> None:
        deadline_ms = self.clock.now_ms + DRAIN_MS
        while not all(self._is_drained(shard) for shard in self.shards):
            if self.clock.now_ms >= deadline_ms:
                stuck = [shard for shard in self.shards if not self._is_drained(shard)]
                raise Violation(f"did not drain: {[self._describe(shard) for shard in stuck]}")
            self.clock.run_until(self.clock.now_ms + 500)

    def _is_drained(self, shard: Shard) -> bool:
        driven = self._owner(shard)
        if driven is None or shard.stored is None or shard.active:
            return False
        is_through = shard.stored.position >= shard.end - 1 and shard.next_undone() is None
        view = driven.machine.view()
        is_settled = view.window is None and len(view.lanes) == self.settings.lanes
        return is_through and is_settled and view.is_idle

    def _describe(self, shard: Shard) -> str:
        driven = self._owner(shard)
        view = driven.machine.view() if driven is not None else None
        return f"{shard.name}: stored {shard.stored}, end {shard.end}, undone {shard.next_undone()}, {view}"

    def _stop(self) -> None:
        """Once all is done a new owner runs nothing again, and a machine that is stopped lets go and holds nothing."""
        for node in self.nodes:
            for driven in list(node.machines.values()):
                driven.step(facts.Revoked(self.clock.now_ms + GRACE_MS, "the node stops"))
        self.clock.run_until(self.clock.now_ms + 20_000)
        for node in self.nodes:
            if not all(driven.is_released for driven in node.machines.values()):
                raise Violation(f"{node.name} did not let go")
            if node.concurrency.held or node.runs:
                raise Violation(f"{node.name} still holds {node.concurrency.held} environments")
        for shard in self.shards:
            shard.owner = None
            self._assign(shard)
        before = len(self.trace.lines)
        self.clock.run_until(self.clock.now_ms + 5_000)
        if any(" > Invoke" in line for line in self.trace.lines[before:]):
            raise Violation("a second run ran something again")
