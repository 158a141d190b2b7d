"""What `penstock status` and `/penstock/v1/status` show: plain values, made when somebody asks."""

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
    """What has happened since the node began."""

    polled: int = 0
    filtered: int = 0
    invocations: int = 0
    invoked: int = 0
    failed_invocations: int = 0
    processed: int = 0
    dropped: int = 0
    lost: int = 0
    returned: int = 0


class InFlightStatus(msgspec.Struct, frozen=True):
    """A batch that is with the function now."""

    request_id: str
    first: str
    last: str
    records: int
    attempt: int
    since: str


class ShardStatus(msgspec.Struct, frozen=True):
    """One shard. `lag` is null while it is not known; times are ISO 8601 in UTC."""

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


class QueueStatus(msgspec.Struct, frozen=True):
    """The queue of a queue mapping."""

    state: str
    waiting: int
    in_flight: list[InFlightStatus]
    settling: int
    last_error: str
    next_try: str | None


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


def counters_status(counters: Counters) -> CountersStatus:
    """Show counters."""
    return CountersStatus(
        **{name: getattr(counters, name) for name in CountersStatus.__struct_fields__},
    )
