"""Makes the status of mappings from what their machines show."""

import time
from collections.abc import Callable
from datetime import UTC, datetime

from penstock.core.views import InFlightView, QueueView, StreamView
from penstock.shell.composition import Mapping
from penstock.shell.health import add_counters
from penstock.shell.status import (
    STATES,
    InFlightStatus,
    MappingStatus,
    QueueStatus,
    ShardStatus,
    counters_status,
)
from penstock.shell.stream_mapping import StreamMapping

AsText = Callable[[int | None], str | None]


def inspect_mapping(mapping: Mapping, now_ms: int) -> MappingStatus:
    """Show one mapping as it is now; `now_ms` is the machines' clock."""
    as_text = _clock(now_ms)
    health, config = mapping.health, mapping.config
    counters = health.counted
    shards: list[ShardStatus] = []
    queue: QueueStatus | None = None
    lag: int | None = None
    if isinstance(mapping, StreamMapping):
        views = mapping.views()
        for view in views.values():
            counters = add_counters(counters, view.counters)
        shards = [_shard(name, view, as_text) for name, view in views.items()]
        known = [view.lag for view in views.values()]
        lag = sum(one for one in known if one is not None) if known and None not in known else None
        in_flight = sum(view.in_flight.records for view in views.values() if view.in_flight)
    else:
        queue_view = mapping.view()
        counters = add_counters(counters, queue_view.counters)
        queue = _queue(queue_view, as_text)
        in_flight = sum(batch.records for batch in queue_view.in_flight)
    return MappingStatus(
        name=config.name,
        uuid=config.uuid,
        function=config.function.spec.name,
        source=config.source.name,
        source_type=config.source.type.name,
        state=state_of(mapping),
        state_reason=health.failure,
        last_result=health.last_result,
        warning=health.warning,
        last_error=health.last_error,
        lag=lag,
        in_flight=in_flight,
        counters=counters_status(counters),
        shards=shards,
        queue=queue,
    )


def state_of(mapping: Mapping) -> str:
    """Name a mapping's state in Lambda's words. A stream is enabled when every shard's position is committed (D47)."""
    state = STATES[mapping.health.phase]
    if state == "Enabled" and isinstance(mapping, StreamMapping):
        is_anchored = mapping.is_assigned and all(view.is_anchored for view in mapping.views().values())
        return state if is_anchored else "Enabling"
    return state


def _shard(name: str, view: StreamView, as_text: AsText) -> ShardStatus:
    return ShardStatus(
        shard=name,
        state=view.state,
        committed=view.committed,
        reached=view.reached,
        lag=view.lag,
        buffered=view.buffered,
        in_flight=_in_flight(view.in_flight, as_text) if view.in_flight else None,
        attempts=view.attempts_ended,
        blocked_since=as_text(view.blocked_since_ms),
        last_error=view.last_error,
        next_try=as_text(view.next_try_ms),
    )


def _queue(view: QueueView, as_text: AsText) -> QueueStatus:
    return QueueStatus(
        state=view.state,
        waiting=view.waiting,
        in_flight=[_in_flight(batch, as_text) for batch in view.in_flight],
        settling=view.settling,
        last_error=view.last_error,
        next_try=as_text(view.next_try_ms),
    )


def _in_flight(view: InFlightView, as_text: AsText) -> InFlightStatus:
    return InFlightStatus(
        request_id=view.request_id,
        first=view.first,
        last=view.last,
        records=view.records,
        attempt=view.attempt,
        since=as_text(view.since_ms) or "",
    )


def _clock(now_ms: int) -> AsText:
    wall_s = time.time()

    def as_text(at_ms: int | None) -> str | None:
        return None if at_ms is None else timestamp(wall_s + (at_ms - now_ms) / 1000)

    return as_text


def timestamp(wall_s: float) -> str:
    """Write Unix seconds as ISO 8601 in UTC with milliseconds."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
