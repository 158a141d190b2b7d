"""Facts: what happened, as a machine is told of it. Past tense, immutable.

A fact that answers a command carries the command's `id`; one whose id is not awaited any more is stale and changes
nothing, so that slow and duplicate answers are harmless.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from penstock.api import Fetched, InvocationResult, Message
from penstock.core.settings import QueueSettings, StreamSettings


@dataclass(frozen=True, slots=True)
class Resolved:
    """Answers `Resolve`: read after this position."""

    id: int
    after: int


@dataclass(frozen=True, slots=True)
class RecordsFetched:
    """Answers `Fetch`. May hold no records."""

    id: int
    fetched: Fetched


@dataclass(frozen=True, slots=True)
class Received:
    """Answers `Receive`. May hold no messages."""

    id: int
    messages: Sequence[Message]


@dataclass(frozen=True, slots=True)
class SourceFailed:
    """Answers `Resolve`, `Fetch` or `Receive`: the source could not do it. `reason` is the broker's, in a sentence."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class EnvironmentGranted:
    """Answers `RequestEnvironment`: one environment is this machine's until its invocation has ended."""

    id: int


@dataclass(frozen=True, slots=True)
class HeadroomChanged:
    """How many environments would be granted right now, for a queue machine that wants to receive (D20).

    It is a floor: there may be more. It is told before `EnvironmentGranted` where a grant changes it.
    """

    free: int


@dataclass(frozen=True, slots=True)
class Responded:
    """Answers `Invoke`, also one that was cancelled (then with `NotRun`). The environment is given back already."""

    id: int
    result: InvocationResult


@dataclass(frozen=True, slots=True)
class Committed:
    """Answers `Commit`: the checkpoint is stored."""

    id: int


@dataclass(frozen=True, slots=True)
class CommitFailed:
    """Answers `Commit`. `refused`: the source says that the shard is not ours (D10)."""

    id: int
    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class Delivered:
    """Answers `Deliver`: the destination has it. `shrunk`: without its payload, since it was too large with it."""

    id: int
    shrunk: bool = False


@dataclass(frozen=True, slots=True)
class DeliveryFailed:
    """Answers `Deliver`. `refused`: the destination will never take it, however often it is sent (D14)."""

    id: int
    reason: str
    refused: bool = False


@dataclass(frozen=True, slots=True)
class StateSaved:
    """Answers `SaveState`: it is durable, in the store of this name."""

    id: int
    store: str


@dataclass(frozen=True, slots=True)
class StateLoaded:
    """Answers `LoadState`."""

    id: int
    state: bytes


@dataclass(frozen=True, slots=True)
class StateMissing:
    """Answers `LoadState`: this node's store has no such version, for this `reason` (D11: `StateLost`)."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class StoreFailed:
    """Answers `SaveState` or `LoadState`: the store could not do it now."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class ClockChanged:
    """What to add to `now_ms` for Unix time, in milliseconds. Told first of all, and when the clock was set."""

    offset_ms: int


@dataclass(frozen=True, slots=True)
class Settled:
    """Answers `Ack`, `Nack`, `Count` and `Extend`: done. `expired`: some receipts were no longer ours."""

    id: int
    expired: bool = False


@dataclass(frozen=True, slots=True)
class SettleFailed:
    """Answers `Ack`, `Nack`, `Count` and `Extend`: not done, and may be tried again."""

    id: int
    reason: str


@dataclass(frozen=True, slots=True)
class Revoked:
    """Let go of everything by a time: finish what runs, settle it, take nothing new (D10, D40).

    `deadline_ms` is on the same clock as `now_ms`.
    """

    deadline_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class Lost:
    """The shard is another node's already: settle nothing, end what runs."""


@dataclass(frozen=True, slots=True)
class StreamSettingsChanged:
    """The mapping's settings were changed; what is in flight goes on under the old ones until it is decided."""

    settings: StreamSettings


@dataclass(frozen=True, slots=True)
class QueueSettingsChanged:
    """The same for a queue mapping."""

    settings: QueueSettings


@dataclass(frozen=True, slots=True)
class BudgetChanged:
    """How many bytes of records this machine may buffer from now on."""

    bytes_max: int


StreamFact: TypeAlias = (
    Resolved
    | RecordsFetched
    | SourceFailed
    | EnvironmentGranted
    | Responded
    | Committed
    | CommitFailed
    | Delivered
    | DeliveryFailed
    | StateSaved
    | StateLoaded
    | StateMissing
    | StoreFailed
    | ClockChanged
    | Revoked
    | Lost
    | StreamSettingsChanged
    | BudgetChanged
)

QueueFact: TypeAlias = (
    Received
    | SourceFailed
    | EnvironmentGranted
    | HeadroomChanged
    | Responded
    | Settled
    | SettleFailed
    | Delivered
    | DeliveryFailed
    | ClockChanged
    | Revoked
    | QueueSettingsChanged
)
