"""Bugs planted in the core, one at a time: the simulation has to catch each, or its checks do not bite.

Run `python tests/simulation/mutants.py` for the table.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from types import FunctionType, ModuleType

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulation.run import run_seed, say

SEEDS_MAX = 200
"""All are caught within 100 today; a change of the core deals the seeds anew."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """One piece of a core module's source, and what takes its place."""

    bug: str
    world: str
    module: str
    right: str
    wrong: str


@dataclass(frozen=True, slots=True)
class Caught:
    """The first seed that found the bug, and in what words; None where no seed did."""

    mutant: Mutant
    seed: int | None
    failure: str


STREAM = "stream_machine"
SHARD = "shard"
QUEUE = "queue_machine"

MUTANTS = (
    Mutant(
        "tries again before the attempt is on record", "stream", SHARD,
        "return unsettled.attempts_ended == 0 or self.progress.is_clean", "return True",
    ),
    Mutant(
        "retries once too often", "stream", "retry",
        "0 <= self._retry_attempts_max < attempts_ended", "0 <= self._retry_attempts_max < attempts_ended - 1",
    ),
    Mutant(
        "gives up one retry too early", "stream", "retry",
        "0 <= self._retry_attempts_max < attempts_ended", "0 <= self._retry_attempts_max <= attempts_ended",
    ),
    Mutant(
        "counts a throttle as an attempt", "stream", STREAM,
        "unsettled.not_run += 1", "unsettled.not_run += 1; unsettled.attempts_ended += 1",
    ),
    Mutant(
        "believes a cancelled invocation's result", "stream", STREAM,
        "if self._is_lost or running.cancelled:", "if self._is_lost:",
    ),
    Mutant(
        "commits a shard that is lost", "stream", STREAM,
        "self._may_still_commit = not self._is_lost and now_ms", "self._may_still_commit = now_ms",
    ),
    Mutant(
        "settles one position too far", "stream", SHARD,
        "self.progress.settle(unsettled.batch.position, ", "self.progress.settle(unsettled.batch.position + 1, ",
    ),
    Mutant(
        "never sends an unanswered commit again", "stream", "progress",
        "if self._in_flight is not None and now_ms < self._in_flight.answer_by_ms:", "if self._in_flight is not None:",
    ),
    Mutant(
        "takes a failed commit for a stored one", "stream", "progress",
        "self.last_error = reason", "self.committed = self.settled",
    ),
    Mutant(
        "forgets the attempts of a crashed node", "stream", SHARD,
        "self._attempts_resumed = resumed.attempts_ended", "self._attempts_resumed = 0",
    ),
    Mutant(
        "resumes with another batch", "stream", SHARD,
        "batcher.resume(resumed.batch_end)", "pass",
    ),
    Mutant(
        "lays a trimmed batch's attempts on the next one", "stream", SHARD,
        "self._attempts_resumed if self.batcher.is_resuming else 0", "self._attempts_resumed",
    ),
    Mutant(
        "never commits positions without records", "stream", SHARD,
        "self.progress.settle(batcher.reached)", "pass",
    ),
    Mutant(
        "commits positions past what is buffered", "stream", SHARD,
        "if self.unsettled is not None or len(batcher) or self._quiet_since_ms is None:",
        "if self._quiet_since_ms is None:",
    ),
    Mutant(
        "spins on a quiet shard", "stream", SHARD,
        "self._quiet_since_ms = None", "pass",
    ),
    Mutant(
        "keeps an environment that it does not use", "stream", STREAM,
        "self._out.append(do.ReturnEnvironment(fact.id))\n            return", "return",
    ),
    Mutant(
        "runs two batches of a shard at once", "stream", SHARD,
        "if unsettled.running is not None or (unsettled.due_ms", "if (unsettled.due_ms",
    ),
    Mutant(
        "lets go while its batch runs", "stream", STREAM,
        "if shard.is_busy or (self._may_still_commit", "if (self._may_still_commit",
    ),
    Mutant(
        "lets a batch run on past the grace", "stream", STREAM,
        "if not running.cancelled and now_ms >= stop_by_ms:",
        "if not running.cancelled and now_ms >= stop_by_ms + 5000:",
    ),
    Mutant(
        "is blocked by a record that is too large", "stream", SHARD,
        "return len(self.batcher) > 0 and self.batcher.peek().too_large", "return False",
    ),
    Mutant(
        "retries without waiting", "stream", STREAM,
        "unsettled.due_ms = now_ms + wait_ms\n                shard.keep",
        "unsettled.due_ms = now_ms\n                shard.keep",
    ),
    Mutant(
        "ignores the size of the event", "stream", "batcher",
        "if room < 0:\n                return index", "if False:\n                return index",
    ),
    Mutant(
        "is silent about a trimmed range", "stream", STREAM,
        "self._announce(reports.PositionLost(fetched.gap.first, fetched.gap.last))", "pass",
    ),
    Mutant(
        "believes an outdated fetch", "stream", "reading",
        "if self._asked is None or self._asked.id != fact_id:\n            return False\n        self._asked = None",
        "if self._asked is None:\n            return False\n        self._asked = None",
    ),
    Mutant(
        "never asks again when an answer is lost", "stream", "reading",
        "if self._asked is not None and now_ms >= self._asked.answer_by_ms:", "if False:",
    ),
    Mutant(
        "grants more environments than the function may have", "stream", "concurrency",
        "0) < self._function_cap(function)", "0) <= self._function_cap(function)",
    ),
    Mutant(
        "acks what failed", "queue", QUEUE,
        "self._nack(running.batch.receipts, timeout_ms, counted=True, now_ms=now_ms)",
        "self._owe(do.Ack(self._new_id(), running.batch.receipts), now_ms)",
    ),
    Mutant(
        "brings a failed message back at once", "queue", QUEUE,
        "self._nack(running.batch.receipts, timeout_ms, counted=True, now_ms=now_ms)",
        "self._nack(running.batch.receipts, 0, counted=True, now_ms=now_ms)",
    ),
    Mutant(
        "counts what a throttle kept from running", "queue", QUEUE,
        "self._nack(running.batch.receipts, wait_ms, counted=False, now_ms=now_ms)",
        "self._nack(running.batch.receipts, wait_ms, counted=True, now_ms=now_ms)",
    ),
    Mutant(
        "lets the leases of a running batch lapse", "queue", QUEUE,
        "self._leases.move(AHEAD, invocation_id, batch.receipts, self._ahead.receipts)",
        "self._leases.let_go(AHEAD)",
    ),
    Mutant(
        "extends what it has settled", "queue", QUEUE,
        "        self._leases.let_go(fact.id)\n", "",
    ),
    Mutant(
        "receives without room", "queue", QUEUE,
        "if not self._may_run_one_more() or not self._has_headroom:", "if False:",
    ),
    Mutant(
        "runs more of a mapping than it may", "queue", QUEUE,
        "or not self._may_run_one_more():\n            self._out", "or False:\n            self._out",
    ),
    Mutant(
        "keeps what it was given while it stops", "queue", QUEUE,
        'self._return(messages, "the mapping stops", now_ms)', "pass",
    ),
    Mutant(
        "waits for ever for a receive", "queue", QUEUE,
        "if self._receiving is not None and now_ms >= self._receiving.answer_by_ms:", "if False:",
    ),
    Mutant(
        "runs messages that are too large", "queue", "gathering",
        "return too_large", "self._messages.extend(too_large); self._sizes = []; return []",
    ),
)  # fmt: skip


@contextmanager
def planted(mutant: Mutant) -> Iterator[None]:
    """Run the core with this bug in it: its functions keep their identity and get other code."""
    module = import_module(f"penstock.core.{mutant.module}")
    assert module.__file__ is not None
    source = Path(module.__file__).read_text(encoding="utf-8")
    assert mutant.right in source, f"{mutant.module}.py has changed; '{mutant.bug}' must be planted in another place"
    mutated = ModuleType(module.__name__)
    mutated.__file__ = module.__file__
    real = sys.modules[module.__name__]
    sys.modules[module.__name__] = mutated  # dataclasses look up their module by its name
    try:
        exec(compile(source.replace(mutant.right, mutant.wrong), module.__file__, "exec"), mutated.__dict__)
    finally:
        sys.modules[module.__name__] = real
    changed = []
    for function, replacement in _functions_of(module, mutated):
        changed.append((function, function.__code__))
        function.__code__ = replacement.__code__
    try:
        yield
    finally:
        for function, code in changed:
            function.__code__ = code


def _functions_of(module: ModuleType, mutated: ModuleType) -> Iterator[tuple[FunctionType, FunctionType]]:
    for name, value in vars(module).items():
        other = vars(mutated).get(name)
        if getattr(value, "__module__", None) != module.__name__:
            continue
        if isinstance(value, FunctionType) and isinstance(other, FunctionType):
            yield value, other
        elif isinstance(value, type):
            for attribute, method in vars(value).items():
                twin = vars(other)[attribute]
                real = getattr(method, "fget", method)
                if isinstance(real, FunctionType) and real.__code__.co_filename == module.__file__:
                    yield real, getattr(twin, "fget", twin)


def hunt(mutant: Mutant) -> Caught:
    """Run seeds until one of them finds the bug."""
    with planted(mutant):
        for seed in range(SEEDS_MAX):
            ended = run_seed(mutant.world, seed)
            if ended.failure:
                return Caught(mutant, seed, ended.failure.strip().splitlines()[-1])
    return Caught(mutant, None, "")


def main() -> int:
    escaped = 0
    for mutant in MUTANTS:
        caught = hunt(mutant)
        escaped += caught.seed is None
        seed = "ESCAPED" if caught.seed is None else f"seed {caught.seed}"
        say(f"{mutant.world:<7} {mutant.bug:<50} {seed:<9} {caught.failure[:100]}")
    say(f"{len(MUTANTS) - escaped} of {len(MUTANTS)} planted bugs caught within {SEEDS_MAX} seeds")
    return 1 if escaped else 0


if __name__ == "__main__":
    sys.exit(main())
