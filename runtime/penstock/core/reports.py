"""Reports: what a machine wants known. The shell logs each once, with its mapping and shard, and keeps the last."""

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True, slots=True)
class BatchSucceeded:
    """The function took a batch."""

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class BatchFailed:
    """The function failed on a batch; it is tried again after `retry_in_ms` (a queue: comes back after it).

    None means that this was the last try.
    """

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    duration_ms: int
    error_type: str
    error_message: str
    retry_in_ms: int | None


@dataclass(frozen=True, slots=True)
class BatchPartlyFailed:
    """The function took the records before `failed_from` and reported that one (`lambda-semantics.md §3.4`).

    `records` counts all of the batch, `done` those that were taken; the rest is tried again after `retry_in_ms`.
    """

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    duration_ms: int
    done: int
    failed_from: str
    retry_in_ms: int | None


@dataclass(frozen=True, slots=True)
class BatchNotRun:
    """A batch could not be handed to the function; no attempt was spent (D2)."""

    first: str
    last: str
    records: int
    reason: str
    retry_in_ms: int


@dataclass(frozen=True, slots=True)
class RecordsDropped:
    """Records were given up, and the shard moves on. `condition` is Lambda's word for why (§3.6)."""

    condition: str
    first: str
    last: str
    records: int
    attempts: int
    error_type: str
    error_message: str


@dataclass(frozen=True, slots=True)
class RecordDelivered:
    """The destination has the invocation record of these records. `shrunk`: without its payload, for its size."""

    condition: str
    first: str
    last: str
    records: int
    shrunk: bool


@dataclass(frozen=True, slots=True)
class DeliveryTroubled:
    """The destination did not take an invocation record. It is sent again after `retry_in_ms`; None: it never will be.

    `refused`: the destination will not take it, whatever we do; somebody has to change something.
    """

    condition: str
    first: str
    last: str
    records: int
    reason: str
    refused: bool
    retry_in_ms: int | None


@dataclass(frozen=True, slots=True)
class LanesChanged:
    """The shard goes on with so many lanes (D6)."""

    before: int
    after: int


@dataclass(frozen=True, slots=True)
class RecordsLate:
    """Records came after their window was closed, and went into the open one (D11)."""

    records: int
    first: str
    last: str


@dataclass(frozen=True, slots=True)
class WindowClosed:
    """A window's final invocation succeeded. Times are Unix milliseconds."""

    start_ms: int
    end_ms: int
    early: bool


@dataclass(frozen=True, slots=True)
class PositionLost:
    """The source had trimmed what was to be read next (D9); reading goes on behind the gap."""

    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Started:
    """Reading begins after a position, because of `origin`: a checkpoint, or the starting position's name."""

    after: int
    origin: str


@dataclass(frozen=True, slots=True)
class SourceTroubled:
    """The source or its broker failed; it is tried again."""

    action: str
    reason: str
    retry_in_ms: int


@dataclass(frozen=True, slots=True)
class StoreTroubled:
    """The store of window states failed; it is tried again."""

    reason: str
    retry_in_ms: int


@dataclass(frozen=True, slots=True)
class Held:
    """The shard is held: it will not go on by itself, because of `reason`."""

    reason: str


@dataclass(frozen=True, slots=True)
class NothingMatches:
    """The mapping's filters have matched nothing of all that was read so far: they are probably wrong."""

    records: int


@dataclass(frozen=True, slots=True)
class MessagesReturned:
    """Messages were given back without being run."""

    messages: int
    reason: str


@dataclass(frozen=True, slots=True)
class LeasesExpired:
    """Messages were no longer ours when we settled them; they may be delivered twice."""

    messages: int


Report: TypeAlias = (
    BatchSucceeded
    | BatchFailed
    | BatchPartlyFailed
    | BatchNotRun
    | RecordsDropped
    | RecordDelivered
    | DeliveryTroubled
    | LanesChanged
    | RecordsLate
    | WindowClosed
    | PositionLost
    | Started
    | SourceTroubled
    | StoreTroubled
    | Held
    | NothingMatches
    | MessagesReturned
    | LeasesExpired
)
