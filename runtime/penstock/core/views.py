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
    failed_invocations: int = 0
    processed: int = 0
    dropped: int = 0
    lost: int = 0
    """Positions that were trimmed before they were read."""
    returned: int = 0
    """Messages given back without being run."""


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
    """Nothing buffered, in flight, retrying or uncommitted."""
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
    counters: Counters = field(default_factory=Counters)
