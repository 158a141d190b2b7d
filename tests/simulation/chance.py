"""Chance from one seed, in the words that scenarios use."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import TypeVar

T = TypeVar("T")


class Chance:
    """Text seeds of `Random` do not depend on the process, so a trace does not either."""

    def __init__(self, *seed: object) -> None:
        self._random = Random("/".join(map(str, seed)))

    def happens(self, likelihood: float) -> bool:
        # A fault that is switched off draws nothing, so that it leaves the rest of the scenario as it was.
        return likelihood > 0 and self._random.random() < likelihood

    def between(self, least: int, most: int) -> int:
        return self._random.randint(least, most)

    def soon_ms(self) -> int:
        """Draw how long the way of a fact takes: next to nothing, mostly."""
        return self.between(0, 3) if self.happens(0.9) else self.between(0, 800)

    def one_of(self, choices: Sequence[T]) -> T:
        return self._random.choice(choices)

    def weighted(self, choices: dict[T, float]) -> T:
        return self._random.choices(list(choices), list(choices.values()))[0]

    def jitter(self) -> float:
        return self._random.uniform(-1, 1)
