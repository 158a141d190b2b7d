"""Commands: what a machine wants done. Imperative, immutable; the shell carries them out and decides nothing.

Every command with an `id` is answered by a fact with that id, sooner or later, or the machine asks again. `Prepare`,
`ReturnEnvironment`, `ForgetState`, `Announce` and `Release` need no answer.
"""

from dataclasses import dataclass
from typing import TypeAlias

from penstock.api import Checkpoint, Start
from penstock.core.batch import MessageBatch, RecordBatch
from penstock.core.dead_letter import DeadLetter
from penstock.core.events.window import WindowFrame
from penstock.core.invocation_record import InvocationRecord
from penstock.core.reports import Report


@dataclass(frozen=True, slots=True)
class Resolve:
    """Find the position of a start. Answered by `Resolved` or `SourceFailed`."""

    id: int
    start: Start


@dataclass(frozen=True, slots=True)
class Fetch:
    """Read records after a position. Stands until it is answered by `RecordsFetched` or `SourceFailed`; a newer
    `Fetch` of the same machine takes its place.
    """

    id: int
    after: int
    records_max: int
    bytes_max: int


@dataclass(frozen=True, slots=True)
class Receive:
    """Take messages. Answered by `Received` or `SourceFailed`."""

    id: int
    messages_max: int
    wait_ms: int


@dataclass(frozen=True, slots=True)
class RequestEnvironment:
    """Ask `Concurrency` for an environment. Answered by `EnvironmentGranted`, in its time."""

    id: int


@dataclass(frozen=True, slots=True)
class ReturnEnvironment:
    """Give back what was requested under this id, granted or not: it is not needed any more."""

    id: int


@dataclass(frozen=True, slots=True)
class Prepare:
    """Encode this batch's event while another one runs; an `Invoke` of the same batch follows, or never."""

    batch: RecordBatch


@dataclass(frozen=True, slots=True)
class Invoke:
    """Run the function on a batch, in the environment granted under `grant`. Answered by `Responded`.

    `attempt` is 1 for the first try. `request_id` is what the function sees.
    """

    id: int
    grant: int
    request_id: str
    batch: RecordBatch | MessageBatch
    attempt: int
    window: WindowFrame | None = None


@dataclass(frozen=True, slots=True)
class Deliver:
    """Write an invocation record to the mapping's destination. Answered by `Delivered` or `DeliveryFailed`."""

    id: int
    record: InvocationRecord


@dataclass(frozen=True, slots=True)
class SendAway:
    """Write a dead letter to the queue's dead-letter target. Answered by `Delivered` or `DeliveryFailed`."""

    id: int
    letter: DeadLetter


@dataclass(frozen=True, slots=True)
class SaveState:
    """Store a window's state for good, under a version that is new (D11). Answered by `StateSaved` or `StoreFailed`."""

    id: int
    version: str
    state: bytes


@dataclass(frozen=True, slots=True)
class LoadState:
    """Read a window's state. Answered by `StateLoaded`, `StateMissing` or `StoreFailed`."""

    id: int
    store: str
    version: str


@dataclass(frozen=True, slots=True)
class ForgetState:
    """Delete a window's state that no checkpoint names any more. Needs no answer; one that was missed is swept up."""

    version: str


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the invocation, the receive or the delivery with this id; it answers as it always does."""

    id: int


@dataclass(frozen=True, slots=True)
class Commit:
    """Store a checkpoint. Answered by `Committed` or `CommitFailed`."""

    id: int
    checkpoint: Checkpoint


@dataclass(frozen=True, slots=True)
class Ack:
    """Delete messages. Answered by `Settled` or `SettleFailed`."""

    id: int
    receipts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Nack:
    """Return messages, to come again after a delay. Answered by `Settled` or `SettleFailed`."""

    id: int
    receipts: tuple[str, ...]
    delay_ms: int
    counted: bool


@dataclass(frozen=True, slots=True)
class Count:
    """Store that these are to be run for the nth time now; they stay held (D22). Said before the run.

    Answered by `Settled` or `SettleFailed`; doing it twice is the same as once.
    """

    id: int
    receipts: tuple[str, ...]
    receive_count: int


@dataclass(frozen=True, slots=True)
class Extend:
    """Make leases end so long from now. Answered by `Settled` or `SettleFailed`."""

    id: int
    receipts: tuple[str, ...]
    lease_ms: int


@dataclass(frozen=True, slots=True)
class Announce:
    """Log this, once, and count it."""

    report: Report


@dataclass(frozen=True, slots=True)
class Release:
    """The machine is done: nothing of it runs, and it will say no more."""


StreamCommand: TypeAlias = (
    Resolve
    | Fetch
    | RequestEnvironment
    | ReturnEnvironment
    | Prepare
    | Invoke
    | Cancel
    | Deliver
    | SaveState
    | LoadState
    | ForgetState
    | Commit
    | Announce
    | Release
)
QueueCommand: TypeAlias = (
    Receive
    | RequestEnvironment
    | ReturnEnvironment
    | Invoke
    | Cancel
    | Ack
    | Nack
    | Count
    | Extend
    | SendAway
    | Announce
    | Release
)
