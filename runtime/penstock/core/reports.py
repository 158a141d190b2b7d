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
    | BatchNotRun
    | RecordsDropped
    | PositionLost
    | Started
    | SourceTroubled
    | Held
    | NothingMatches
    | MessagesReturned
    | LeasesExpired
)
