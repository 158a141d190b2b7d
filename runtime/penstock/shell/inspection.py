"""Makes the status of mappings from what their machines show."""

from typing import Any

from penstock.core.events.instants import iso_seconds
from penstock.core.views import DeliveryView, InFlightView, LaneView, QueueView, StreamView, WindowView
from penstock.shell.composition import Mapping
from penstock.shell.health import add_counters
from penstock.shell.queue_mapping import QueueMapping
from penstock.shell.status import (
    STATES,
    DeliveryStatus,
    InFlightStatus,
    LaneStatus,
    MappingStatus,
    QueueStatus,
    ShardStatus,
    WindowStatus,
    counters_status,
    unhandled,
)
from penstock.shell.stream_mapping import StreamMapping
from penstock.shell.wall_clock import WallClock

HELD = "held"


def inspect_mapping(mapping: Mapping, now_ms: int) -> MappingStatus:
    """Show one mapping as it is now; `now_ms` is the machines' clock."""
    clock = WallClock(now_ms)
    shown = _inspect_stream(mapping, clock) if isinstance(mapping, StreamMapping) else _inspect_queue(mapping, clock)
    health, config = mapping.health, mapping.config
    return MappingStatus(
        name=config.name,
        uuid=config.uuid,
        function=config.function.spec.name,
        source=config.source.name,
        source_type=config.source.type.name,
        state=state_of(mapping),
        state_reason=health.failure,
        last_result=last_result_of(mapping),
        warning=health.warning,
        last_error=health.last_error,
        **shown,
    )


def state_of(mapping: Mapping) -> str:
    """Name a mapping's state in Lambda's words. A stream is enabled when every shard's position is committed (D47)."""
    state = STATES[mapping.health.phase]
    if state == "Enabled" and isinstance(mapping, StreamMapping):
        is_anchored = mapping.is_assigned and all(view.is_anchored for view in mapping.views().values())
        return state if is_anchored else "Enabling"
    return state


def last_result_of(mapping: Mapping) -> str:
    """Say a mapping's `LastProcessingResult`: what keeps a shard from going on goes before the last batch's fate."""
    health = mapping.health
    if isinstance(mapping, StreamMapping) and not health.failure and health.trouble is None:
        for shard, view in mapping.views().items():
            problem = problem_of(view)
            if problem:
                return f"PROBLEM: shard {shard} {problem}"
    if isinstance(mapping, QueueMapping) and not health.failure and health.trouble is None:
        problem = problem_of_queue(mapping.view())
        if problem:
            return f"PROBLEM: {problem}"
    return health.last_result


def problem_of_queue(view: QueueView) -> str:
    """Say what keeps a queue from going on that the function has no part in; empty where there is nothing."""
    if view.delivering is not None and view.delivering.last_error:
        letters = "1 dead letter" if view.sending_away == 1 else f"{view.sending_away} dead letters"
        state = "refused by the target" if view.delivering.refused else "waiting for the target"
        return f"{letters} {state}: {view.delivering.last_error}"
    if view.is_full:
        groups = ", ".join(view.blocked_groups)
        return (
            f"nothing more is received: {view.held} messages are held behind those that failed of the groups {groups}"
        )
    return ""


def problem_of(view: StreamView) -> str:
    """Say what a shard waits for that the function has no part in; empty where there is nothing of the kind."""
    if view.state == HELD:
        return f"is held: {view.last_error}"
    waiting = [lane.delivering for lane in view.lanes if lane.delivering is not None and lane.delivering.last_error]
    if not waiting:
        return ""
    first = min(waiting, key=lambda one: (not one.refused, one.since_ms))
    verb = "refuses" if first.refused else "does not take"
    return f"waits for its destination, which {verb} a document: {first.last_error}"


def inspect_shard(name: str, view: StreamView, clock: WallClock) -> ShardStatus:
    """Show one shard."""
    lanes = [_lane(lane, clock) for lane in view.lanes]
    delivering = [lane.delivering for lane in view.lanes if lane.delivering is not None]
    longest = min(delivering, key=lambda one: one.since_ms, default=None)
    return ShardStatus(
        shard=name,
        state=view.state,
        committed=view.committed,
        reached=view.reached,
        lag=view.lag,
        buffered=view.buffered,
        in_flight=_in_flight(view.in_flight, clock) if view.in_flight else None,
        attempts=view.attempts_ended,
        blocked_since=clock.iso(view.blocked_since_ms),
        last_error=view.last_error,
        next_try=clock.iso(view.next_try_ms),
        buffered_bytes=view.buffered_bytes,
        in_flight_records=records_in_flight(view),
        oldest_age_s=max((lane.oldest_age_s for lane in lanes if lane.oldest_age_s is not None), default=None),
        delivering=_delivery(longest, clock) if longest is not None else None,
        window=_window(view.window) if view.window is not None else None,
        lanes=lanes,
    )


def records_in_flight(view: StreamView) -> int:
    """Count the records that are with the function, over all lanes."""
    batches = [lane.in_flight for lane in view.lanes] or [view.in_flight]
    return sum(batch.records for batch in batches if batch is not None)


def _inspect_stream(mapping: StreamMapping, clock: WallClock) -> dict[str, Any]:
    views = mapping.views()
    counters = mapping.health.counted
    for view in views.values():
        counters = add_counters(counters, view.counters)
    shards = [inspect_shard(name, view, clock) for name, view in views.items()]
    lags = [shard.lag for shard in shards if shard.lag is not None]
    counted = counters_status(
        counters,
        buffered=sum(view.buffered for view in views.values()),
        let_go=unhandled(mapping.health.counted),
    )
    return {
        "lag": sum(lags) if shards and len(lags) == len(shards) else None,
        "in_flight": sum(shard.in_flight_records for shard in shards),
        "counters": counted,
        "oldest_age_s": max((shard.oldest_age_s for shard in shards if shard.oldest_age_s is not None), default=None),
        "blocked_since": min(
            (shard.blocked_since for shard in shards if shard.blocked_since is not None), default=None
        ),
        "delivering": sum(lane.delivering is not None for shard in shards for lane in shard.lanes),
        "shards": shards,
    }


def _inspect_queue(mapping: QueueMapping, clock: WallClock) -> dict[str, Any]:
    view = mapping.view()
    in_flight = [_in_flight(batch, clock) for batch in view.in_flight]
    return {
        "lag": None,
        "in_flight": sum(batch.records for batch in in_flight),
        "counters": counters_status(add_counters(mapping.health.counted, view.counters), buffered=view.unrun),
        "queue": QueueStatus(
            state=view.state,
            waiting=view.waiting,
            in_flight=in_flight,
            settling=view.settling,
            last_error=view.last_error,
            next_try=clock.iso(view.next_try_ms),
            held=view.held,
            full=view.is_full,
            blocked_groups=list(view.blocked_groups),
            blocked_since=clock.iso(view.blocked_since_ms),
            sending_away=view.sending_away,
            delivering=_delivery(view.delivering, clock) if view.delivering else None,
            concurrency=view.concurrency,
        ),
    }


def _lane(view: LaneView, clock: WallClock) -> LaneStatus:
    return LaneStatus(
        lane=view.lane,
        settled=view.settled,
        buffered=view.buffered,
        oldest=view.oldest,
        oldest_age_s=_age_s(view.oldest_timestamp_ms, clock),
        in_flight=_in_flight(view.in_flight, clock) if view.in_flight else None,
        segments=view.segments,
        attempts=view.attempts_ended,
        blocked_since=clock.iso(view.blocked_since_ms),
        last_error=view.last_error,
        next_try=clock.iso(view.next_try_ms),
        delivering=_delivery(view.delivering, clock) if view.delivering is not None else None,
    )


def _delivery(view: DeliveryView, clock: WallClock) -> DeliveryStatus:
    return DeliveryStatus(
        condition=view.condition,
        first=view.first,
        last=view.last,
        records=view.records,
        tries=view.tries,
        since=_iso(clock, view.since_ms),
        next_try=clock.iso(view.next_try_ms),
        last_error=view.last_error,
        refused=view.refused,
    )


def _window(view: WindowView) -> WindowStatus:
    return WindowStatus(
        start=iso_seconds(view.start_ms),
        end=iso_seconds(view.end_ms),
        state_bytes=view.state_bytes,
        closing=view.is_closing,
    )


def _in_flight(view: InFlightView, clock: WallClock) -> InFlightStatus:
    return InFlightStatus(
        request_id=view.request_id,
        first=view.first,
        last=view.last,
        records=view.records,
        attempt=view.attempt,
        since=_iso(clock, view.since_ms),
    )


def _iso(clock: WallClock, at_ms: int) -> str:
    return clock.iso(at_ms) or ""


def _age_s(timestamp_ms: int | None, clock: WallClock) -> float | None:
    # A record from the future is new (D8).
    return None if timestamp_ms is None else round(max(clock.unix_ms - timestamp_ms, 0) / 1000, 3)
