"""Shows a lane as `status` and `explain` want it."""

from penstock.core.lane import Lane
from penstock.core.views import LaneView


def lane_view(lane: Lane) -> LaneView:
    """Show how a lane stands."""
    work, unsettled, oldest = lane.work, lane.work.unsettled, lane.work.oldest
    delivery = work.delivery
    last_error = unsettled.last_error if unsettled is not None else ""
    if delivery is not None and delivery.last_error:
        last_error = delivery.last_error
    elif lane.window is not None and lane.window.tumbling.last_error:
        last_error = lane.window.tumbling.last_error
    return LaneView(
        lane=lane.number,
        settled=work.settled,
        buffered=len(lane.batcher),
        oldest=oldest.position if oldest is not None else None,
        oldest_timestamp_ms=oldest.timestamp_ms if oldest is not None else None,
        at_hand=len(unsettled.batch.records) if unsettled is not None else 0,
        in_flight=unsettled.view() if unsettled is not None else None,
        segments=len(work.parts),
        attempts_ended=unsettled.attempts_ended if unsettled is not None else 0,
        last_error=last_error,
        blocked_since_ms=_blocked_since_ms(lane),
        next_try_ms=unsettled.due_ms if unsettled is not None else None,
        delivering=delivery.view() if delivery is not None else None,
    )


def _blocked_since_ms(lane: Lane) -> int | None:
    unsettled, delivery = lane.work.unsettled, lane.work.delivery
    times = [unsettled.first_failed_ms] if unsettled is not None else []
    if delivery is not None and delivery.tries:
        times.append(delivery.view().since_ms)
    return min((time for time in times if time is not None), default=None)
