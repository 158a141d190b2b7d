"""What the shell does for any machine: drives it, keeps its timer, shares environments out, and dies."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

from penstock.api import InvocationResult
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.concurrency import Concurrency
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.function import Function, Run
from simulation.scenario import Faults
from simulation.trace import Trace, Violation, show_result

FUNCTION = "billing"
PUNCTUAL_MS = 50
"""A timer that is later than this makes a node break promises about time, which the core can not mend."""


class World(Protocol):
    """What a node needs of the world around it."""

    chance: Chance
    clock: Clock
    trace: Trace
    faults: Faults

    def on_crashed(self, node: Any) -> None: ...

    def on_tardy(self, number: int) -> None: ...


class Machine(Protocol):
    def handle(self, fact: Any, *, now_ms: int) -> Sequence[Any]: ...

    def next_deadline_ms(self) -> int | None: ...


class Checks(Protocol):
    def on_fact(self, fact: Any, now_ms: int) -> None: ...

    def on_command(self, command: Any, now_ms: int) -> None: ...

    def after_step(self, now_ms: int) -> None: ...


class Node:
    """Hosts machines under one `Concurrency`. A restart is a new node."""

    def __init__(
        self, world: World, name: str, *, environments_max: int, function_max: int | None, timeout_ms: int
    ) -> None:
        self.world = world
        self.name = name
        self.is_alive = True
        self.machines: dict[int, Any] = {}
        self.runs: dict[tuple[int, int], Run] = {}
        self.concurrency = Concurrency(node_max=environments_max)
        self.concurrency.cap(FUNCTION, function_max)
        self.function = Function(world.clock, world.chance, timeout_ms=timeout_ms)
        self.function.faults = world.faults
        self._caps = min(environments_max, function_max or environments_max)

    def crash(self) -> None:
        self.world.trace.add(self.name, "CRASH")
        self.is_alive = False
        for run in self.runs.values():
            run.kill()
        for driven in self.machines.values():
            driven.on_crashed()
        self.runs.clear()
        self.world.on_crashed(self)

    def request(self, number: int, grant: int, mapping: str) -> None:
        self._tell_granted(self.concurrency.request((number, grant), mapping))

    def give_back(self, number: int, grant: int) -> None:
        self._tell_granted(self.concurrency.give_back((number, grant)))

    def _tell_granted(self, granted: Sequence[Any]) -> None:
        for number, grant in granted:
            self.world.clock.after(
                self.world.chance.soon_ms(), self.machines[number].step, facts.EnvironmentGranted(grant)
            )
        self.on_concurrency_changed()

    def on_concurrency_changed(self) -> None:
        """Hear that environments were taken or given back."""

    def check_caps(self) -> None:
        if len(self.runs) > self._caps:
            raise Violation(f"{self.name} runs {len(self.runs)} environments, more than {self._caps}")


class Driven:
    """One machine with its driver, as `MachineDriver` is in the shell."""

    machine: Machine
    checks: Checks

    def __init__(self, node: Node, number: int, where: str) -> None:
        self.node = node
        self.number = number
        self.where = where
        self.is_released = False
        self._world = node.world
        self._timer_ms: int | None = None
        node.world.clock.after(0, self.step, None)

    def step(self, fact: Any) -> None:
        world, now_ms = self._world, self._world.clock.now_ms
        if not self.node.is_alive:
            return
        world.trace.fact(self.where, fact)
        self.checks.on_fact(fact, now_ms)
        commands = self.machine.handle(fact, now_ms=now_ms)
        for command in commands:
            world.trace.command(self.where, command)
            self.checks.on_command(command, now_ms)
        self._check_deadline(now_ms)
        self.checks.after_step(now_ms)
        for command in commands:
            if world.chance.happens(world.faults.crash):
                self.node.crash()
                return
            self.perform(command)
        self.node.check_caps()
        self._arm()

    def perform(self, command: Any) -> None:
        raise NotImplementedError

    def on_crashed(self) -> None:
        """Hear that the node is dead, and all that ran on it."""

    def post(self, fact: Any, delay_ms: int) -> None:
        """Tell the machine something after a while, perhaps twice."""
        self._world.clock.after(delay_ms, self.step, fact)
        if self._world.chance.happens(self._world.faults.duplicate):
            self._world.clock.after(delay_ms + self._world.chance.between(0, 500), self.step, fact)

    def run(
        self,
        command: do.Invoke,
        *,
        is_poisoned: bool,
        on_ended: Callable[[do.Invoke, InvocationResult | None], None],
        respond: Callable[[], bytes] = lambda: b"null",
    ) -> None:
        """Run the function; `on_ended` hears of its end before the machine does."""
        key = (self.number, command.id)

        def end(result: InvocationResult | None) -> None:
            del self.node.runs[key]
            self._world.trace.add(self.where, f"ENDED {command.id} {show_result(result)}")
            on_ended(command, result)
            self.node.give_back(self.number, command.grant)
            if result is not None:
                self.post(facts.Responded(command.id, result), self._world.chance.soon_ms())

        self.node.runs[key] = self.node.function.invoke(is_poisoned=is_poisoned, respond=respond, end=end)

    def cancel_run(self, invocation_id: int) -> bool:
        run = self.node.runs.get((self.number, invocation_id))
        if run is not None:
            self.node.function.cancel(run)
        return run is not None

    def request_ids(self) -> Iterator[str]:
        count = 0
        while True:
            count += 1
            yield f"{self.number}-{count}"

    def _check_deadline(self, now_ms: int) -> None:
        deadline_ms = self.machine.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= now_ms:
            raise Violation(f"{self.where} would spin: at {now_ms} its next deadline is {deadline_ms}")

    def _arm(self) -> None:
        deadline_ms = self.machine.next_deadline_ms()
        if deadline_ms is None or (self._timer_ms is not None and self._timer_ms <= deadline_ms):
            return
        late_ms = 0
        if self._world.chance.happens(self._world.faults.slow_timer):
            late_ms = self._world.chance.one_of((self._world.chance.between(1, PUNCTUAL_MS), 3_000))
        if late_ms > PUNCTUAL_MS:
            self._world.on_tardy(self.number)
        self._timer_ms = deadline_ms + late_ms
        self._world.clock.after(self._timer_ms - self._world.clock.now_ms, self._ring, self._timer_ms)

    def _ring(self, timer_ms: int) -> None:
        if timer_ms != self._timer_ms or not self.node.is_alive:
            return
        self._timer_ms = None
        deadline_ms = self.machine.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= timer_ms:
            self.step(None)
        else:
            self._arm()
