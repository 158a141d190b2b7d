"""Commands: what a machine wants done. Imperative, immutable; the shell carries them out and decides nothing.

Every command with an `id` is answered by a fact with that id, sooner or later, or the machine asks again. `Prepare`,
`ReturnEnvironment`, `Announce` and `Release` need no answer.
"""

from dataclasses import dataclass
from typing import TypeAlias

from penstock.api import Checkpoint, Start
from penstock.core.batch import MessageBatch, RecordBatch
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


@dataclass(frozen=True, slots=True)
class Cancel:
    """End the invocation or the receive with this id; it answers as it always does."""

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
    Resolve | Fetch | RequestEnvironment | ReturnEnvironment | Prepare | Invoke | Cancel | Commit | Announce | Release
)
QueueCommand: TypeAlias = (
    Receive | RequestEnvironment | ReturnEnvironment | Invoke | Cancel | Ack | Nack | Extend | Announce | Release
)
