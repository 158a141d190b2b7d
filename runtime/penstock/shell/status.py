"""What `penstock status` and `/penstock/v1/status` show: plain values, made when somebody asks.

Times are ISO 8601 in UTC; ages are seconds, by the source's clock.
"""

import msgspec

from penstock.core.views import Counters

STATES = {
    "disabled": "Disabled",
    "starting": "Enabling",
    "reading": "Enabled",
    "draining": "Disabling",
    "stopped": "Disabled",
    "failed": "Disabled",
}


class CountersStatus(msgspec.Struct, frozen=True):
    """What has happened since the node began, in records or messages.

    On a stream `polled` is always `filtered + invoked_first + dropped_before + buffered + let_go`.
    """

    polled: int = 0
    filtered: int = 0
    invoked_first: int = 0
    """Handed to the function for the first time; `invoked` counts every try."""
    dropped_before: int = 0
    """Given up without ever having been handed to the function."""
    buffered: int = 0
    """Read, and not handed to the function yet: how many there are now."""
    let_go: int = 0
    """Read, and still buffered when their shard went to another node or its source was opened anew."""
    invocations: int = 0
    invoked: int = 0
    failed_invocations: int = 0
    failed: int = 0
    processed: int = 0
    dropped: int = 0
    """Given up, delivered to a destination or not."""
    delivered: int = 0
    committed: int = 0
    late: int = 0
    lost: int = 0
    returned: int = 0
    deleted: int = 0
    """Messages deleted from their queue: done, filtered out, or with the dead letters."""


class InFlightStatus(msgspec.Struct, frozen=True):
    """A batch that is with the function now."""

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    since: str


class DeliveryStatus(msgspec.Struct, frozen=True):
    """A document that waits for its destination. `next_try` is null while it is on its way."""

    condition: str
    first: str
    last: str
    records: int
    tries: int
    since: str
    next_try: str | None
    last_error: str
    refused: bool


class LaneStatus(msgspec.Struct, frozen=True):
    """One lane of a shard (D6); without parallelization there is one. `segments` are the waiting parts of a split."""

    lane: int
    settled: int
    buffered: int
    oldest: int | None
    oldest_age_s: float | None
    in_flight: InFlightStatus | None
    segments: int
    attempts: int
    blocked_since: str | None
    last_error: str
    next_try: str | None
    delivering: DeliveryStatus | None


class WindowStatus(msgspec.Struct, frozen=True):
    """The open tumbling window of a shard (D11)."""

    start: str
    end: str
    state_bytes: int
    closing: bool


class ShardStatus(msgspec.Struct, frozen=True):
    """One shard. `lag` is null while it is not known.

    `in_flight` is the batch that is with the function for the longest, and `delivering` the document that waits for the
    longest; where there are more, `lanes` has them.
    """

    shard: str
    state: str
    committed: int | None
    reached: int | None
    lag: int | None
    buffered: int
    in_flight: InFlightStatus | None
    attempts: int
    blocked_since: str | None
    last_error: str
    next_try: str | None
    buffered_bytes: int = 0
    in_flight_records: int = 0
    oldest_age_s: float | None = None
    delivering: DeliveryStatus | None = None
    window: WindowStatus | None = None
    lanes: list[LaneStatus] = []


class QueueStatus(msgspec.Struct, frozen=True):
    """The queue of a queue mapping. `held` counts messages behind others of their group, or until they are run again;
    `full` says that so many are held that nothing more is received. `delivering` is the dead letter that is refused, or
    not taken yet.
    """

    state: str
    waiting: int
    in_flight: list[InFlightStatus]
    settling: int
    last_error: str
    next_try: str | None
    held: int = 0
    full: bool = False
    blocked_groups: list[str] = []
    blocked_since: str | None = None
    sending_away: int = 0
    delivering: DeliveryStatus | None = None
    concurrency: int | None = None


class MappingStatus(msgspec.Struct, frozen=True):
    """One mapping. `state` and `last_result` are in Lambda's words; `state_reason` says why it stopped."""

    name: str
    uuid: str
    function: str
    source: str
    source_type: str
    state: str
    state_reason: str
    last_result: str
    last_error: str
    lag: int | None
    in_flight: int
    counters: CountersStatus
    warning: str = ""
    oldest_age_s: float | None = None
    """How old the oldest record is that was read and is not done; null where there is none."""
    blocked_since: str | None = None
    delivering: int = 0
    """Documents that wait for their destination."""
    shards: list[ShardStatus] = []
    queue: QueueStatus | None = None


class FunctionStatus(msgspec.Struct, frozen=True):
    """One function: environments that are alive, that are in use, and the most there may be."""

    name: str
    environments: int
    in_use: int
    environments_max: int


class NodeStatus(msgspec.Struct, frozen=True):
    """A whole node."""

    project: str
    version: str
    pid: int
    state: str
    started: str
    uptime_s: float
    endpoint: str | None
    data_dir: str
    concurrency_in_use: int
    concurrency_max: int
    functions: list[FunctionStatus]
    mappings: list[MappingStatus]


_COUNTED = tuple(name for name in CountersStatus.__struct_fields__ if name not in {"buffered", "let_go"})


def counters_status(counters: Counters, *, buffered: int = 0, let_go: int = 0) -> CountersStatus:
    """Show counters beside what is buffered now, and what machines that are gone had buffered at their end."""
    return CountersStatus(**{name: getattr(counters, name) for name in _COUNTED}, buffered=buffered, let_go=let_go)


def unhandled(counters: Counters) -> int:
    """Count what of the records polled was neither filtered out, nor invoked, nor given up."""
    return counters.polled - counters.filtered - counters.invoked_first - counters.dropped_before
