"""What a seed draws before time begins: which faults, and for a queue its settings and how much of everything."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import TypeVar

from penstock.core.settings import QueueSettings
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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueScenario:
    settings: QueueSettings
    faults: Faults
    fault_ms: int
    nodes: int
    environments_max: int
    function_max: int | None
    sends: int
    messages_per_send: int
    poison: float
    too_large: float
    stops: int
    crashes: int
    changes: int


def draw_queue(seed: int) -> QueueScenario:
    chance = Chance(seed, "queue")
    return QueueScenario(
        settings=change_queue(
            QueueSettings(
                function_timeout_ms=chance.one_of((3_000, 9_000)),
                visibility_timeout_ms=chance.one_of((3_000, 30_000)),
                event_bytes_max=600,
            ),
            chance,
        ),
        faults=draw_faults(chance, Faults),
        fault_ms=chance.one_of((20_000, 60_000, 150_000)),
        nodes=chance.between(1, 3),
        environments_max=chance.between(1, 4),
        function_max=chance.one_of((None, 1, 2)),
        sends=chance.between(10, 60),
        messages_per_send=chance.one_of((1, 4, 20)),
        poison=chance.one_of((0, 0.02, 0.1)),
        too_large=chance.one_of((0, 0.02, 0.1)),
        stops=chance.one_of((0, 2, 8)),
        crashes=chance.one_of((0, 0, 4)),
        changes=chance.one_of((0, 3, 10)),
    )


def change_queue(settings: QueueSettings, chance: Chance) -> QueueSettings:
    return replace(
        settings,
        batch_size=chance.one_of((1, 3, 10, 30)),
        batching_window_ms=chance.one_of((0, 0, 1_000, 60_000)),
        concurrency_max=chance.one_of((None, 1, 2, 3)),
    )
