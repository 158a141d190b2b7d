"""What is said of one lane of a shard to an operator: a sentence on what it does, or what it waits for and why."""

from penstock.core.settings import StreamSettings
from penstock.core.views import DeliveryView, InFlightView, LaneView, StreamView
from penstock.shell.wall_clock import WallClock, duration

IDLE = "idle"


def lanes_of(view: StreamView) -> tuple[LaneView, ...]:
    """Give the lanes of a shard; one that shows none is shown as the one lane that it is."""
    if view.lanes:
        return view.lanes
    return (
        LaneView(
            lane=0,
            settled=-1 if view.committed is None else view.committed,
            buffered=view.buffered,
            oldest=None,
            oldest_timestamp_ms=None,
            in_flight=view.in_flight,
            segments=0,
            attempts_ended=view.attempts_ended,
            last_error=view.last_error,
            blocked_since_ms=view.blocked_since_ms,
            # Where nothing has failed it is the source that is tried again, and that is not the lane's matter.
            next_try_ms=view.next_try_ms if view.attempts_ended or view.blocked_since_ms is not None else None,
            delivering=None,
        ),
    )


def describe_lane(lane: LaneView, settings: StreamSettings, clock: WallClock) -> str:
    """Say what a lane does now."""
    if lane.delivering is not None:
        return describe_delivery(lane.delivering, clock)
    parts = []
    if is_blocked(lane):
        parts.append(_blocked(lane, clock))
    if lane.in_flight is not None:
        parts.append(_in_flight(lane.in_flight, settings, clock))
    elif is_blocked(lane) or lane.next_try_ms is not None:
        parts.append(_next_try(lane, settings, clock))
    elif lane.buffered:
        what = "1 record waits" if lane.buffered == 1 else f"{lane.buffered} records wait"
        parts.append(f"{what} for {'the batch to fill, or for ' if settings.batching_window_ms else ''}an environment")
    if lane.segments:
        rest = "1 more part" if lane.segments == 1 else f"{lane.segments} more parts"
        parts.append(f"{rest} of the split batch after it")
    return "; ".join(parts) or IDLE


def describe_delivery(delivery: DeliveryView, clock: WallClock) -> str:
    """Say what a lane waits for that has records to give up."""
    what = f"the {delivery.condition} record of {_records(delivery.first, delivery.last, delivery.records)}"
    if not delivery.tries and delivery.next_try_ms is None:
        return f"sends {what} to its destination"
    verb = "is refused by its destination" if delivery.refused else "waits for its destination"
    words = f"{verb} since {clock.since(delivery.since_ms)} with {what}"
    if delivery.last_error:
        words += f": {delivery.last_error}"
    if delivery.next_try_ms is None:
        return f"{words}; try {delivery.tries + 1} is on its way"
    return f"{words}; try {delivery.tries + 1} at {clock.at(delivery.next_try_ms)}"


def is_blocked(lane: LaneView) -> bool:
    """It can not go on with its records: what is at hand has failed, or waits to be given up."""
    return lane.blocked_since_ms is not None or lane.attempts_ended > 0 or lane.delivering is not None


def _blocked(lane: LaneView, clock: WallClock) -> str:
    words = "blocked"
    if lane.blocked_since_ms is not None:
        words += f" since {clock.since(lane.blocked_since_ms)}"
    first = lane.in_flight.first if lane.in_flight is not None else lane.oldest
    if first is not None:
        words += f" by record {first}" if lane.at_hand == 1 else f" at record {first}"
    return words + (f": {lane.last_error}" if lane.last_error else "")


def _in_flight(batch: InFlightView, settings: StreamSettings, clock: WallClock) -> str:
    attempt = _attempt(batch.attempt, settings)
    records = _records(batch.first, batch.last, batch.records)
    verb = "is" if batch.records == 1 else "are"
    return f"{records} {verb} with the function since {clock.since(batch.since_ms)}, {attempt}"


def _next_try(lane: LaneView, settings: StreamSettings, clock: WallClock) -> str:
    attempt = _attempt(lane.attempts_ended + 1, settings)
    if lane.next_try_ms is None:
        return f"{attempt} waits for an environment"
    words = f"{attempt} at {clock.at(lane.next_try_ms)}"
    return words if is_blocked(lane) or not lane.last_error else f"{words}, after {lane.last_error}"


def _attempt(number: int, settings: StreamSettings) -> str:
    words = f"attempt {number}"
    if settings.retry_attempts_max >= 0:
        words += f" of {settings.retry_attempts_max + 1}"
    elif settings.record_age_ms_max is not None:
        words += f", until a record is {duration(settings.record_age_ms_max / 1000)} old,"
    elif number > 1:
        words += " (without end)"
    return words


def _records(first: str, last: str, count: int) -> str:
    return f"record {first}" if count == 1 else f"{count} records from {first} to {last}"
