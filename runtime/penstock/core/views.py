"""Views: what a machine shows of itself to `status`, `--until-idle` and tests. Plain values, taken at one instant."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

StreamState: TypeAlias = Literal["starting", "running", "retrying", "stopping", "held", "released"]


@dataclass(slots=True)
class Counters:
    """What has happened since the machine was made. Records and messages are counted alike."""

    polled: int = 0
    filtered: int = 0
    """Read, and left out by the mapping's filters."""
    invocations: int = 0
    invoked: int = 0
    """Handed to the function; what is tried again counts again (`lambda-semantics.md §9.2`)."""
    invoked_first: int = 0
    """Handed to the function for the first time since the machine was made."""
    failed_invocations: int = 0
    failed: int = 0
    """Records of failed invocations; of a response that reports failures, the reported ones (§9.2)."""
    processed: int = 0
    dropped: int = 0
    """Given up, delivered to a destination or not."""
    dropped_before: int = 0
    """Of these, the ones that were never handed to the function: `polled` is always the sum of `filtered`,
    `invoked_first`, `dropped_before` and what is buffered."""
    delivered: int = 0
    """Records whose invocation record a destination has."""
    committed: int = 0
    """Records that a stored checkpoint has passed."""
    late: int = 0
    """Records that went into a later window than their own (D11)."""
    lost: int = 0
    """Positions that were trimmed before they were read."""
    returned: int = 0
    """Messages given back without being run. On a queue `polled` is the sum of `filtered`, `invoked_first`,
    `dropped_before`, `returned` and what waits or is held and was never run."""
    deleted: int = 0
    """Messages that were deleted from their queue: done, filtered out, or with the dead letters."""


@dataclass(frozen=True, slots=True, kw_only=True)
class InFlightView:
    """A batch that is with the function now."""

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    since_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DeliveryView:
    """An invocation record that waits for its destination. `next_try_ms` None: it is on its way now."""

    condition: str
    first: str
    last: str
    records: int
    tries: int
    since_ms: int
    next_try_ms: int | None
    last_error: str
    refused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class LaneView:
    """One lane of a shard (D6); a shard without parallelization has one. Times are on the machine's own clock."""

    lane: int
    settled: int
    """Everything of this lane up to this position is done."""
    buffered: int
    oldest: int | None
    """The position of its oldest unsettled record that was read."""
    oldest_timestamp_ms: int | None
    """That record's time, Unix milliseconds."""
    at_hand: int = 0
    """How many records the batch at hand has, running or waiting for its next try."""
    in_flight: InFlightView | None
    segments: int
    """How many parts of a split batch wait behind the one at hand (D3)."""
    attempts_ended: int
    last_error: str
    blocked_since_ms: int | None
    next_try_ms: int | None
    delivering: DeliveryView | None


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowView:
    """The open tumbling window (D11). Times are Unix milliseconds."""

    start_ms: int
    end_ms: int
    state_bytes: int
    is_closing: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamView:
    """One shard. Times are on the machine's own clock."""

    state: StreamState
    committed: int | None
    reached: int | None
    buffered: int
    buffered_bytes: int
    lag: int | None
    """Positions known to lie ahead, buffered and in flight included; None while not known."""
    in_flight: InFlightView | None
    attempts_ended: int
    last_error: str
    blocked_since_ms: int | None
    next_try_ms: int | None
    is_anchored: bool
    """The position is committed: from here on nothing written is missed, whatever happens."""
    is_idle: bool
    """Nothing buffered, in flight, retrying, waiting for a destination or uncommitted."""
    lanes: tuple[LaneView, ...] = ()
    window: WindowView | None = None
    counters: Counters = field(default_factory=Counters)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueView:
    """One queue mapping. Times are on the machine's own clock."""

    state: Literal["running", "stopping", "released"]
    waiting: int
    """Messages received and waiting for an environment or for their batch to fill."""
    in_flight: tuple[InFlightView, ...]
    settling: int
    last_error: str
    next_try_ms: int | None
    is_idle: bool
    held: int = 0
    """Messages held back behind others of their group, or until they are run again."""
    unrun: int = 0
    """Of all that wait or are held, those that were never handed to the function."""
    is_full: bool = False
    """Nothing more is received, since too much is held back: every group waits for those that block."""
    blocked_groups: tuple[str, ...] = ()
    """The first few groups whose messages failed, those that have failed for longest first."""
    blocked_since_ms: int | None = None
    sending_away: int = 0
    """Dead letters that are not with their target yet."""
    delivering: DeliveryView | None = None
    """The dead letter that its target refuses, or else the first one that it did not take yet."""
    concurrency: int | None = None
    """How many invocations there may be at once by the mapping's own settings; None: as many as the function has."""
    counters: Counters = field(default_factory=Counters)
