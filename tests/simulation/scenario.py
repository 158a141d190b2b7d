"""What a seed draws before time begins: settings, how much there is of everything, and which faults."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

from penstock.api import Start
from penstock.core.settings import QueueSettings, RetryBackoff, StreamSettings
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
RATES = (0, 0, 0.03, 0.1, 0.3)


def draw_faults(chance: Chance) -> Faults:
    rates = {field.name: chance.one_of(RATES) for field in fields(Faults)}
    rates["crash"] /= 20
    if chance.happens(0.2):
        # Where nothing of a kind goes wrong, more may be promised.
        rates |= {name: 0 for name in rates if name.startswith(("store", "slow", "function_reply"))}
    return Faults(**rates)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamScenario:
    settings: StreamSettings
    faults: Faults
    fault_ms: int
    shards: int
    nodes: int
    environments_max: int
    """Of a node."""
    function_max: int | None
    buffer_bytes_max: int
    appends: int
    records_per_append: int
    poison: float
    too_large: float
    markers: float
    """How likely positions without records are after a record."""
    trims: int
    rebalances: int
    crashes: int
    changes: int


def draw_stream(seed: int) -> StreamScenario:
    chance = Chance(seed, "stream")
    return StreamScenario(
        settings=_stream_settings(chance),
        faults=draw_faults(chance),
        fault_ms=chance.one_of((20_000, 60_000, 150_000)),
        shards=chance.between(1, 3),
        nodes=chance.between(1, 3),
        environments_max=chance.between(1, 4),
        function_max=chance.one_of((None, 1, 2)),
        buffer_bytes_max=chance.one_of((600, 2_000, 20_000)),
        appends=chance.between(10, 60),
        records_per_append=chance.one_of((1, 4, 12, 40)),
        poison=chance.one_of((0, 0.02, 0.1, 0.3)),
        too_large=chance.one_of((0, 0.02, 0.1)),
        markers=chance.one_of((0, 0.1, 0.4)),
        trims=chance.one_of((0, 0, 2, 6)),
        rebalances=chance.one_of((0, 2, 8)),
        crashes=chance.one_of((0, 2, 8)),
        changes=chance.one_of((0, 3, 10)),
    )


def _stream_settings(chance: Chance) -> StreamSettings:
    starts = (Start("TRIM_HORIZON"), Start("TRIM_HORIZON"), Start("LATEST"), Start("AT_TIMESTAMP", 3_000))
    return change_stream(
        StreamSettings(start=chance.one_of(starts), function_timeout_ms=3_000, event_bytes_max=600), chance
    )


def change_stream(settings: StreamSettings, chance: Chance) -> StreamSettings:
    return replace(
        settings,
        batch_size=chance.one_of((1, 2, 5, 10, 100)),
        batching_window_ms=chance.one_of((0, 0, 300, 5_000)),
        retry_attempts_max=chance.one_of((-1, 0, 1, 2, 4)),
        backoff=chance.one_of((RetryBackoff(), RetryBackoff(initial_ms=100, maximum_ms=2_000, multiplier=3))),
    )


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
        faults=draw_faults(chance),
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
