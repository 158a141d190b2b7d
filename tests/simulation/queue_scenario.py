"""What a seed draws for a queue: the broker, the settings of its mapping, what is sent, and what goes wrong."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from penstock.core.settings import QueueSettings
from simulation.chance import Chance
from simulation.scenario import Faults, draw_faults

EVENT_BYTES_MAX = 6 * 1024 * 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """What kind of queue it is. All of them are known from brokers that exist (D22, D23, D26, D27)."""

    name: str
    is_fifo: bool = False
    is_delayed: bool = True
    by_connection: bool = False
    """A lease is the connection; without, it ends by time. What a lost connection held is a redelivery to all."""
    counts_deaths: bool = True
    """Each loss of a connection adds one to the broker's figure; without, a redelivery is all it tells."""
    keeps_place: bool = True
    """What is returned stands where it stood; without, it comes behind all others."""
    has_one_owner: bool = False
    """One receiver at a time; the others stand by until it is gone."""
    is_counted: bool = True
    """Runs are counted in the queue; without, each node counts in a store of its own."""
    prefetch: int = 0
    delivery_limit: int | None = None
    """What was returned or lost more often than that vanishes."""
    repeats: bool = False
    """It delivers twice now and then, as SQS may."""


STANDARD = Broker(name="standard", repeats=True)
GROUPED = Broker(name="grouped", is_fifo=True)
OWNED = Broker(name="owned", is_fifo=True, has_one_owner=True)
CLASSIC = Broker(
    name="classic", is_delayed=False, by_connection=True, counts_deaths=False, is_counted=False, prefetch=500
)
QUORUM = Broker(
    name="quorum", is_delayed=False, by_connection=True, keeps_place=False, is_counted=False, prefetch=500,
    delivery_limit=20,
)  # fmt: skip
CLASSIC_FIFO = replace(CLASSIC, name="classic fifo", is_fifo=True, has_one_owner=True)
QUORUM_FIFO = replace(QUORUM, name="quorum fifo", is_fifo=True, has_one_owner=True)
BROKERS = {STANDARD: 4.0, GROUPED: 4.0, OWNED: 1.0, CLASSIC: 1.0, QUORUM: 1.5, CLASSIC_FIFO: 1.5, QUORUM_FIFO: 0.5}


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueFaults(Faults):
    """What can go wrong besides, on a queue."""

    odd_response: float = 0
    """The function returns what its mapping does not understand, or reports a healthy message."""
    received_and_lost: float = 0
    """Messages were taken, and the answer never came."""
    ack_unwritten: float = 0
    """It was said to be done, and the connection broke before it was (D26)."""
    delivery_failed: float = 0
    delivery_refused: float = 0
    delivery_lost: float = 0
    delivery_reply_lost: float = 0
    delivery_reply_wrong: float = 0
    repeated: float = 0
    """A message is delivered although somebody has it."""


NO_QUEUE_FAULTS = QueueFaults()


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueScenario:
    broker: Broker
    settings: QueueSettings
    faults: QueueFaults
    fault_ms: int
    nodes: int
    environments_max: int
    function_max: int | None
    quick: float
    """How likely the function takes no longer than 400 ms."""
    is_filtered: bool
    groups: int
    sends: int
    messages_per_send: int
    poison: float
    """Fails while there are faults."""
    stubborn: float
    """Fails for ever."""
    too_large: float
    filtered: float
    reported: float
    """How likely a failure is reported, where it may be; else the function raises."""
    delays: float
    """How likely a report asks for a delay of its own."""
    stops: int
    crashes: int
    changes: int
    breaks: int
    """Connections that are lost."""
    standstills: int
    clock_jumps: int


def draw_queue(seed: int) -> QueueScenario:
    chance = Chance(seed, "queue")
    broker = chance.weighted(BROKERS)
    grows = chance.happens(0.1)
    has_dead_letters = chance.happens(0.5)
    event_bytes_max = chance.one_of((600, 600, 6_000, EVENT_BYTES_MAX))
    first = QueueSettings(
        function_timeout_ms=chance.one_of((3_000, 9_000)),
        visibility_timeout_ms=chance.one_of((3_000, 10_000, 30_000)),
        event_bytes_max=event_bytes_max,
        is_fifo=broker.is_fifo,
        is_delayed=broker.is_delayed,
        is_leased=not broker.by_connection,
        has_dead_letters=has_dead_letters,
        receive_count_max=chance.between(1, 5) if has_dead_letters else None,
        reports_item_failures=chance.happens(0.5 if grows else 0.75),
        scaling=chance.one_of(("lambda", "lambda-2023")) if grows else "eager",
        held_max=chance.one_of((30, 200, 10_000)),
        held_bytes_max=chance.one_of((4_000, 1_000_000)),
    )
    settings = _change(first, chance, broker, grows=grows)
    return QueueScenario(
        broker=broker,
        settings=settings,
        faults=draw_faults(chance, QueueFaults),
        fault_ms=130_000 if grows else chance.one_of((20_000, 40_000, 90_000)),
        nodes=1 if grows else chance.between(1, 3),
        environments_max=chance.one_of((10, 70)) if grows else chance.between(1, 4),
        function_max=None if grows else chance.one_of((None, 1, 2)),
        quick=0 if grows else chance.one_of((0.95, 0.95, 0.6)),
        is_filtered=chance.happens(0.4),
        groups=400 if grows else chance.one_of((1, 3, 12)),
        sends=chance.between(10, 40),
        messages_per_send=chance.one_of((30, 50)) if grows else chance.one_of((2, 5, 12)),
        poison=chance.one_of((0, 0.05, 0.2)),
        # Where it fails whole batches for ever, nothing may be promised of what is in one with it.
        stubborn=chance.one_of((0, 0.02, 0.1)) if settings.reports_item_failures else 0,
        too_large=chance.one_of((0, 0.02, 0.1)) if event_bytes_max < EVENT_BYTES_MAX else 0,
        filtered=chance.one_of((0.05, 0.3)),
        reported=chance.one_of((0.7, 1)),
        delays=chance.one_of((0, 0.3)),
        stops=chance.one_of((0, 2, 8)),
        crashes=chance.one_of((0, 0, 4)),
        changes=chance.one_of((0, 3, 10)),
        breaks=chance.one_of((0, 2, 5)) if broker.by_connection else 0,
        standstills=chance.one_of((0, 0, 2)),
        clock_jumps=chance.one_of((0, 0, 3)),
    )


def change_queue(settings: QueueSettings, chance: Chance, scenario: QueueScenario) -> QueueSettings:
    """Draw what may change while a mapping runs."""
    return _change(settings, chance, scenario.broker, grows=settings.scaling != "eager")


def _change(settings: QueueSettings, chance: Chance, broker: Broker, *, grows: bool) -> QueueSettings:
    on_filtered: list[Literal["delete", "keep", "dead-letter"]] = ["delete"]
    if not broker.is_fifo:
        on_filtered.append("keep")
    if settings.has_dead_letters:
        on_filtered.append("dead-letter")
    return replace(
        settings,
        batch_size=1 if grows else chance.one_of((1, 3, 10, 30, 10_000)),
        batching_window_ms=0 if grows else chance.one_of((0, 0, 0, 0, 0, 1_000, 1_000, 60_000, 300_000)),
        concurrency_max=chance.one_of((None, None, None, 40)) if grows else chance.one_of((None, 1, 2, 3)),
        on_filtered=chance.one_of(on_filtered),
        group_failure_mode=chance.one_of(("group", "group", "aws")),
        receive_count_max=chance.between(1, 5) if settings.has_dead_letters else None,
    )
