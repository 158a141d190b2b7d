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

from simulation.mutant import Mutant
from simulation.queue_mutants import QUEUE_MUTANTS
from simulation.run import run_seed, say
from simulation.stream_mutants import STREAM_MUTANTS

SEEDS_MAX = 100


@dataclass(frozen=True, slots=True)
class Caught:
    """The first seed that found the bug, and in what words; None where no seed did."""

    mutant: Mutant
    seed: int | None
    failure: str


MUTANTS = (*STREAM_MUTANTS, *QUEUE_MUTANTS)


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
