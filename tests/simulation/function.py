"""The model of an executor: it runs a batch for a while, and answers, mostly."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from penstock.api import FunctionFailed, InvocationResult, NotRun, Returned
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.scenario import Faults

KILL_MS = 400


@dataclass(slots=True)
class Run:
    """One invocation while it has its environment."""

    end: Callable[[InvocationResult | None], None]
    """Called once; with None where the answer gets lost."""
    respond: Callable[[], bytes]
    is_over: bool = False

    def finish(self, result: InvocationResult | None) -> None:
        if not self.is_over:
            self.is_over = True
            self.end(result)

    def kill(self) -> None:
        """End it with its node: nobody hears of it."""
        self.is_over = True


class Function:
    """`poisoned` tells of a batch whether it holds a record that makes the function fail."""

    def __init__(self, clock: Clock, chance: Chance, *, timeout_ms: int) -> None:
        self._clock = clock
        self._chance = chance
        self._timeout_ms = timeout_ms
        self.faults: Faults
        self.quick = 0.95
        """How likely a run takes no longer than 400 ms."""

    def invoke(
        self, *, is_poisoned: bool, respond: Callable[[], bytes], end: Callable[[InvocationResult | None], None]
    ) -> Run:
        """Run a batch: it fails where it `is_poisoned`, and else returns what `respond` says."""
        chance, faults = self._chance, self.faults
        run = Run(end, respond)
        if chance.happens(faults.function_stuck):
            return run
        is_quick = chance.happens(self.quick)
        duration_ms = chance.between(1, 400) if is_quick else chance.between(400, self._timeout_ms - 1)
        result: InvocationResult | None
        if chance.happens(faults.throttled):
            duration_ms = chance.between(0, 20)
            result = NotRun("too many requests", chance.one_of((None, 1_000)))
        elif is_poisoned or chance.happens(faults.function_failed):
            result = FunctionFailed("ValueError", "a poisoned record", b"{}", duration_ms)
        elif chance.happens(faults.function_timed_out):
            duration_ms = self._timeout_ms
            result = FunctionFailed("Sandbox.Timedout", "Task timed out", b"{}", duration_ms)
        else:
            result = Returned(respond(), duration_ms)
        if chance.happens(faults.function_reply_lost):
            result = None
        self._clock.after(duration_ms, run.finish, result)
        return run

    def cancel(self, run: Run) -> None:
        """End it, in a moment; whoever was stuck answers now, unless the answer gets lost."""
        lost = self._chance.happens(self.faults.function_reply_lost)
        delay_ms = self._chance.between(1, KILL_MS)
        result: InvocationResult | None = None if lost else NotRun("ended by the node")
        if self._chance.happens(0.2):
            # It was done at that very moment.
            result = Returned(run.respond(), delay_ms)
        self._clock.after(delay_ms, run.finish, result)
