"""What a seed draws before time begins, whatever the world: which faults, and how likely each is."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

from simulation.chance import Chance


@dataclass(frozen=True, slots=True, kw_only=True)
class Faults:
    """Likelihoods, each between 0 and 1; `crash` is that of dying between two commands."""

    crash: float = 0
    ask_failed: float = 0
    ask_lost: float = 0
    ask_late: float = 0
    store_failed: float = 0
    store_lost: float = 0
    store_reply_lost: float = 0
    store_reply_wrong: float = 0
    """Stored, and answered with a failure."""
    store_reply_late: float = 0
    duplicate: float = 0
    function_failed: float = 0
    function_timed_out: float = 0
    function_stuck: float = 0
    function_reply_lost: float = 0
    throttled: float = 0
    slow_timer: float = 0


NO_FAULTS = Faults()
F = TypeVar("F", bound=Faults)
RATES = (0, 0, 0.03, 0.1, 0.3)


def draw_faults(chance: Chance, kind: type[F]) -> F:
    rates = {field.name: chance.one_of(RATES) for field in fields(kind)}
    rates["crash"] /= 20
    if chance.happens(0.2):
        # Where nothing of a kind goes wrong, more may be promised.
        rates |= {name: 0 for name in rates if name.startswith(("store", "slow", "function_reply"))}
    return kind(**rates)
