"""What a seed draws for a stream: the settings of its mapping, what it reads from and writes to, and the faults."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from penstock.api import Start
from penstock.core.settings import DeliverySettings, RetryBackoff, StreamSettings
from simulation.chance import Chance
from simulation.scenario import Faults, draw_faults

UNIX_MS = 1_750_000_000_000
"""What a right wall clock shows when time begins; a multiple of every window's length."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamFaults(Faults):
    """What can go wrong besides, on a stream."""

    odd_response: float = 0
    """The function returns what its mapping does not understand, or reports a healthy record."""
    late_record: float = 0
    """A record's time is not the one of its writing."""
    delivery_failed: float = 0
    delivery_refused: float = 0
    delivery_lost: float = 0
    delivery_reply_lost: float = 0
    """Written, and not answered."""
    delivery_reply_wrong: float = 0
    """Written, and answered with a failure."""
    state_failed: float = 0
    state_lost: float = 0
    state_reply_lost: float = 0
    state_too_large: float = 0


NO_STREAM_FAULTS = StreamFaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamScenario:
    settings: StreamSettings
    faults: StreamFaults
    fault_ms: int
    shards: int
    nodes: int
    environments_max: int
    """Of a node."""
    function_max: int | None
    buffer_bytes_max: int
    is_filtered: bool
    shares_store: bool
    """All nodes keep the state of windows in one store; else each in its own."""
    keys: int
    appends: int
    records_per_append: int
    poison: float
    poison_reported: float
    """How likely the function reports a poisoned record by its id, where it may; else it raises."""
    too_large: float
    markers: float
    """How likely positions without records are after a record."""
    trims: int
    rebalances: int
    crashes: int
    changes: int
    clock_jumps: int

    @property
    def has_window(self) -> bool:
        return self.settings.tumbling_window_ms > 0

    @property
    def blames_rightly(self) -> bool:
        """The function fails for no reason but a poisoned record, and bisection finds that one."""
        faults = self.faults
        failing = faults.function_failed, faults.function_timed_out, faults.odd_response, faults.state_too_large
        return self.settings.bisects and not any(failing)


Kind = Literal["calm", "tumbling", "wild"]


def draw_stream(seed: int) -> StreamScenario:
    chance = Chance(seed, "stream")
    kind: Kind = chance.weighted({"calm": 1, "tumbling": 2, "wild": 5})
    settings = _draw_settings(chance, kind)
    scenario = StreamScenario(
        settings=settings,
        faults=_draw_faults(chance),
        fault_ms=chance.one_of((20_000, 60_000, 150_000)),
        shards=chance.between(1, 3),
        nodes=chance.between(1, 3),
        environments_max=chance.between(1, 5),
        function_max=chance.one_of((None, None, 1, 2)),
        buffer_bytes_max=chance.one_of((600, 2_000, 20_000)),
        is_filtered=chance.happens(0.3),
        shares_store=chance.happens(0.4),
        keys=chance.one_of((2, 5, 30)),
        appends=chance.between(10, 60),
        records_per_append=chance.one_of((1, 4, 12, 40)),
        poison=chance.one_of((0, 0.02, 0.1, 0.3)),
        poison_reported=chance.one_of((0, 0.5, 1)),
        too_large=chance.one_of((0, 0.02, 0.1)),
        markers=chance.one_of((0, 0.1, 0.4)),
        trims=chance.one_of((0, 0, 2, 6)),
        rebalances=chance.one_of((0, 2, 8)),
        crashes=chance.one_of((0, 2, 8)),
        changes=chance.one_of((0, 3, 10)),
        clock_jumps=chance.one_of((0, 0, 1, 4)),
    )
    return _calmed(scenario, chance) if kind == "calm" else scenario


STALLS = (
    "ask_lost", "ask_late", "store_lost", "store_reply_lost", "store_reply_late", "function_stuck",
    "function_reply_lost", "delivery_lost", "delivery_reply_lost", "state_lost", "state_reply_lost",
)  # fmt: skip
"""Each of these costs half a minute or more; where they are frequent, nothing else happens."""


def _draw_faults(chance: Chance) -> StreamFaults:
    faults = draw_faults(chance, StreamFaults)
    rarer = {name: getattr(faults, name) / 8 for name in STALLS}
    return replace(faults, **rarer, odd_response=chance.one_of((0, 0, 0.1, 0.2, 0.4)))


def _calmed(scenario: StreamScenario, chance: Chance) -> StreamScenario:
    """Nothing goes wrong but what is poisoned, so that it can be counted what a poisoned record costs (D3)."""
    return replace(
        scenario,
        faults=replace(NO_STREAM_FAULTS, throttled=chance.one_of((0, 0.1))),
        poison=chance.one_of((0.01, 0.05)),
        trims=0,
        rebalances=0,
        crashes=0,
        changes=0,
        clock_jumps=0,
    )


def _draw_settings(chance: Chance, kind: Kind) -> StreamSettings:
    starts = (Start("TRIM_HORIZON"), Start("TRIM_HORIZON"), Start("LATEST"), Start("AT_TIMESTAMP", UNIX_MS + 3_000))
    settings = StreamSettings(
        start=chance.one_of(starts),
        function_timeout_ms=3_000,
        event_bytes_max=chance.one_of((600, 5_000)),
        delivery=DeliverySettings(
            on_failure=chance.happens(0.6),
            on_success=chance.happens(0.15),
            on_refusal=chance.one_of(("hold", "drop")),
            attempts_max=chance.one_of((None, None, 1, 3)),
        ),
        tumbling_window_ms=chance.one_of((2_000, 10_000)) if kind == "tumbling" else 0,
        tumbling_idle_ms=chance.one_of((1_000, 5_000)),
        reports_item_failures=chance.happens(0.7),
    )
    settings = change_stream(settings, chance)
    if kind == "calm":
        settings = replace(settings, bisects=True, retry_attempts_max=chance.between(0, 3), record_age_ms_max=None)
    return settings


def change_stream(settings: StreamSettings, chance: Chance) -> StreamSettings:
    has_window = settings.tumbling_window_ms > 0
    reports_item_failures = chance.happens(0.7)
    return replace(
        settings,
        batch_size=chance.one_of((1, 2, 5, 10, 100)),
        batching_window_ms=chance.one_of((0, 0, 300, 5_000)),
        retry_attempts_max=chance.one_of((-1, 0, 1, 2, 4)),
        record_age_ms_max=chance.one_of((None, None, None, 4_000, 20_000, 60_000)),
        bisects=chance.happens(0.5),
        # What a window's state has to count is agreed between the function and the mapping.
        reports_item_failures=settings.reports_item_failures if has_window else reports_item_failures,
        lanes=1 if has_window else chance.one_of((1, 2, 3, 5, 10)),
        backoff=chance.one_of((RetryBackoff(), RetryBackoff(initial_ms=100, maximum_ms=2_000, multiplier=3))),
    )
