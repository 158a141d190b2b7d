from __future__ import annotations

from collections import deque
from typing import Any

import pytest

from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.delivery import ANSWER_MS
from penstock.core.invocation_record import Answer
from penstock.core.settings import DeliverySettings
from penstock.core.stream_machine import LAST_COMMIT_MS
from unit.core.driving import FAILED, RETURNED
from unit.core.staging import (
    Destination,
    Function,
    StagedStream,
    answered,
    at,
    away,
    fail,
    go_on,
    in_turn,
    poisoned,
    refusing,
    silent,
    succeed,
    told,
)

EXHAUSTED = "RetryAttemptsExhausted"
ON_FAILURE = DeliverySettings(on_failure=True)


def each_in_turn(*destinations: Destination) -> Destination:
    """Take the deliveries like this, one after another; what comes after arrives."""
    left = deque(destinations)
    return lambda deliver: left.popleft()(deliver) if left else facts.Delivered(deliver.id)


def giving_up(
    destination: Destination | None, function: Function = fail, count: int = 2, **settings: Any
) -> StagedStream:
    """Give up the first record of a shard at once, and see what its destination makes of it."""
    settings = {"batch_size": 1, "retry_attempts_max": 0, "delivery": ON_FAILURE} | settings
    return StagedStream(function, log=range(count), destination=destination, **settings)


# What is told, and when the checkpoint moves.


def test_a_destination_is_told_before_the_checkpoint_passes_and_before_the_next_batch_is_run():
    shard = giving_up(silent, poisoned(0))
    shard.pass_time(10_000)
    assert shard.invoked() == [[0]]
    assert shard.stored.position == -1
    assert not shard.view.is_idle

    shard.deliver()

    assert shard.invoked() == [[0], [1]]
    assert shard.stored.position == 1
    assert shard.view.counters.delivered == 1
    assert shard.reports(reports.RecordDelivered) == [reports.RecordDelivered(EXHAUSTED, "0", "0", 1, shrunk=False)]


def test_it_is_told_of_the_last_try_with_what_the_function_said():
    shard = giving_up(None, retry_attempts_max=2, count=1, now_ms=7_000)
    shard.rest()

    [record] = shard.delivered()
    assert told(record) == (EXHAUSTED, [0], 3)
    assert (record.request_id, record.ended_ms) == ("3", 8_500)
    assert record.answer == Answer(function_error="Unhandled", payload=FAILED.payload)


def test_a_record_too_large_is_told_of_without_an_answer():
    shard = StagedStream(log=[at(0), at(1, size=500), at(2)], event_bytes_max=200, delivery=ON_FAILURE)
    shard.rest()

    [record] = shard.delivered()
    assert told(record) == ("MaximumPayloadSizeExceeded", [1], 1)
    assert record.answer is None
    assert shard.invoked() == [[0], [2]]
    assert shard.view.counters.dropped_before == 1


def test_what_was_shrunk_is_reported_so():
    shard = giving_up(lambda deliver: facts.Delivered(deliver.id, shrunk=True), count=1)

    assert [report.shrunk for report in shard.reports(reports.RecordDelivered)] == [True]


def test_a_setting_that_is_taken_away_leaves_what_is_on_its_way():
    shard = giving_up(silent)
    shard.change(delivery=DeliverySettings())
    assert shard.lane(0).delivering is not None

    shard.deliver()

    assert [told(record)[1] for record in shard.delivered()] == [[0]]
    assert shard.stored.position == 1


# A destination that is away.


def test_a_destination_that_is_away_is_tried_again_with_a_growing_wait_and_nothing_moves_meanwhile():
    shard = giving_up(away, poisoned(0))
    shard.pass_time(33_000)

    assert shard.times_of(do.Deliver) == [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500]
    assert shard.invoked() == [[0]]
    assert shard.stored.position == -1
    assert {command.record.request_id for command in shard.all_of(do.Deliver)} == {"1"}

    shard.destination = None
    shard.rest()

    assert shard.stored.position == 1
    assert shard.invoked() == [[0], [1]]


def test_while_it_is_away_the_view_says_since_when_and_why():
    shard = giving_up(away, now_ms=1_000)
    shard.pass_time(600)

    view = shard.view
    assert (view.state, view.blocked_since_ms, view.last_error) == ("retrying", 1_000, "the queue is away")
    delivering = view.lanes[0].delivering
    assert delivering is not None
    assert (delivering.condition, delivering.first, delivering.last, delivering.records) == (EXHAUSTED, "0", "0", 1)
    assert (delivering.tries, delivering.next_try_ms, delivering.refused) == (2, 2_500, False)
    assert shard.reports(reports.DeliveryTroubled)[-1] == reports.DeliveryTroubled(
        EXHAUSTED, "0", "0", 1, "the queue is away", refused=False, retry_in_ms=1_000
    )


@pytest.mark.parametrize("attempts", [1, 2, 5])
def test_a_bound_on_the_attempts_drops_the_record_then(attempts: int):
    shard = giving_up(
        away, poisoned(0), delivery=DeliverySettings(on_failure=True, attempts_max=attempts), retry_attempts_max=0
    )
    shard.rest()

    assert shard.count(do.Deliver) == attempts
    assert shard.reports(reports.DeliveryTroubled)[-1].retry_in_ms is None
    assert shard.view.counters.delivered == 0
    assert shard.view.counters.dropped == 1
    assert shard.stored.position == 1


def test_an_answer_that_is_lost_is_waited_for_and_then_the_record_is_sent_again():
    shard = giving_up(each_in_turn(silent), poisoned(0))
    shard.pass_time(ANSWER_MS - 1)
    assert shard.count(do.Deliver) == 1

    shard.pass_time(1)

    assert shard.count(do.Deliver) == 2
    assert shard.stored.position == 1
    assert shard.view.counters.delivered == 1


def test_a_late_or_double_answer_ends_no_other_delivery():
    shard = giving_up(silent, fail)
    first = shard.last(do.Deliver).id
    shard.act(facts.Delivered(first))
    assert shard.count(do.Deliver) == 2

    shard.act(facts.Delivered(first))
    shard.act(facts.DeliveryFailed(first, "too late"))

    assert shard.stored.position == 0
    assert shard.view.counters.delivered == 1
    assert shard.reports(reports.DeliveryTroubled) == []


# One that refuses.


def test_a_refusal_is_held_named_and_tried_again():
    shard = giving_up(each_in_turn(*[refusing] * 4), poisoned(0))
    shard.pass_time(2_000)

    delivering = shard.lane(0).delivering
    assert delivering is not None
    assert delivering.refused
    assert shard.view.last_error == "it may not be written"
    assert shard.reports(reports.DeliveryTroubled)[-1].refused
    assert shard.stored.position == -1

    shard.rest()

    assert shard.count(do.Deliver) == 5
    assert shard.stored.position == 1


def test_a_refusal_drops_the_record_where_the_mapping_says_so():
    shard = giving_up(refusing, poisoned(0), delivery=DeliverySettings(on_failure=True, on_refusal="drop"))

    assert shard.count(do.Deliver) == 1
    assert shard.reports(reports.DeliveryTroubled) == [
        reports.DeliveryTroubled(EXHAUSTED, "0", "0", 1, "it may not be written", refused=True, retry_in_ms=None)
    ]
    assert shard.view.counters.delivered == 0
    assert shard.stored.position == 1


def test_where_refusals_are_dropped_one_that_is_away_is_still_waited_for():
    delivery = DeliverySettings(on_failure=True, on_refusal="drop")
    shard = giving_up(each_in_turn(away, away, refusing), poisoned(0), delivery=delivery)
    shard.rest()

    assert shard.count(do.Deliver) == 3


def test_to_drop_may_be_decided_while_it_is_held():
    shard = giving_up(refusing, poisoned(0))
    shard.pass_time(400)
    shard.change(delivery=DeliverySettings(on_failure=True, on_refusal="drop"))
    assert shard.lane(0).delivering is not None

    shard.pass_time(20_000)

    assert shard.stored.position == 1


# A shard that is taken away, and the next owner.


def test_a_delivery_that_ends_in_time_is_committed():
    shard = giving_up(silent)
    shard.revoke(10_000)
    assert shard.count(do.Release) == 0

    shard.deliver()

    assert shard.stored.position == 0
    assert shard.count(do.Release) == 1
    assert shard.count(do.Invoke) == 1


def test_one_that_waits_to_be_tried_again_is_tried_until_the_deadline():
    shard = giving_up(each_in_turn(away, away), count=1)
    shard.revoke(10_000)
    shard.pass_time(10_000)

    assert shard.times_of(do.Deliver) == [0, 500, 1_500]
    assert shard.stored.position == 0
    assert shard.count(do.Release) == 1


@pytest.mark.parametrize("destination", [silent, away])
@pytest.mark.parametrize("is_committing", [True, False])
def test_at_the_deadline_a_delivery_is_abandoned_and_nothing_of_it_settled(
    destination: Destination,
    is_committing: bool,  # noqa: FBT001
):
    shard = giving_up(destination)
    shard.is_committing = is_committing
    shard.revoke(10_000)
    shard.pass_time(10_000)
    shard.pass_time(LAST_COMMIT_MS)

    assert shard.count(do.Release) == 1
    assert shard.count(do.Cancel) == (destination is silent)
    assert shard.stored.position == -1
    shard.act(facts.Delivered(shard.last(do.Deliver).id))
    assert shard.stored.position == -1


@pytest.mark.parametrize("destination", [silent, away])
def test_a_deadline_that_finds_a_commit_on_its_way_waits_for_it_without_haste(destination: Destination):
    shard = StagedStream(
        poisoned(0), log=range(2), lanes=2, retry_attempts_max=0, delivery=ON_FAILURE, destination=destination
    )
    shard.is_committing = False
    shard.write(3)
    shard.revoke(2_000)
    shard.pass_time(2_000)
    assert shard.count(do.Release) == 0

    shard.pass_time(LAST_COMMIT_MS)

    assert shard.count(do.Release) == 1


def test_the_next_owner_gives_up_what_was_given_up_without_another_invocation():
    shard = giving_up(silent, retry_attempts_max=2)
    shard.pass_time(5_000)
    assert shard.attempts() == [1, 2, 3]

    after = shard.restart(go_on, destination=None)

    assert after.invoked() == [[1]]
    [record] = after.delivered()
    assert told(record) == (EXHAUSTED, [0], 3)
    assert record.answer == Answer(function_error="Unhandled")
    assert after.stored.position == 0


def test_that_holds_for_a_split_of_which_parts_still_wait():
    shard = giving_up(silent, poisoned(1), count=4, batch_size=4, bisects=True)
    shard.pass_time(5_000)
    assert shard.invoked() == [[0, 1, 2, 3], [0, 1], [0], [1]]

    after = shard.restart(succeed, destination=None)

    assert [told(record) for record in after.delivered()] == [(EXHAUSTED, [1], 1)]
    assert after.invoked() == [[2, 3]]


def test_a_crash_while_old_records_are_told_of_tells_of_them_again_and_runs_the_others():
    log = [at(0, 0), at(1, 100_000), at(2, 0), at(3, 100_000)]
    shard = StagedStream(log=log, record_age_ms_max=60_000, delivery=ON_FAILURE, destination=silent, now_ms=100_000)
    assert shard.stored.position == -1

    after = shard.restart(destination=None)

    assert [told(record) for record in after.delivered()] == [("RecordAgeExceeded", [0, 2], 1)]
    assert after.invoked() == [[1, 3]]


@pytest.mark.parametrize("lanes", [1, 3])
def test_whenever_a_node_is_killed_each_poison_is_told_of_once_or_more_and_no_other(lanes: int):
    function = poisoned(2, 3, 7)
    settings: dict[str, Any] = {"lanes": lanes, "batch_size": 3, "bisects": True, "retry_attempts_max": 1}
    for killed_after in range(12):
        shard = StagedStream(function, log=range(10), delivery=ON_FAILURE, destination=silent, **settings)
        for _ in range(killed_after):
            shard.pass_time(300)
            if killed_after % 2 and shard.lane(0).delivering is not None:
                shard.act(facts.Delivered(shard.last(do.Deliver).id))

        after = shard.restart(destination=None)
        after.rest()

        told_of = {one.position for record in shard.delivered() + after.delivered() for one in record.records}
        assert told_of == {2, 3, 7}
        assert after.stored.position == 9


# What succeeded.


def test_a_success_is_told_of_before_the_next_batch_is_run():
    shard = StagedStream(
        lambda _invoke: answered({"total": 7}),
        log=range(4),
        batch_size=2,
        delivery=DeliverySettings(on_success=True),
        destination=silent,
    )
    shard.pass_time(1_000)
    assert shard.invoked() == [[0, 1]]
    assert shard.stored.position == -1

    shard.deliver()

    assert [told(record) for record in shard.delivered()] == [("Success", [0, 1], 1), ("Success", [2, 3], 1)]
    assert shard.delivered()[0].answer == Answer(function_error=None, payload=b'{"total": 7}')
    assert shard.stored.position == 3


def test_a_success_after_failures_counts_all_tries():
    shard = giving_up(
        None, in_turn(FAILED, FAILED), count=1, retry_attempts_max=5, delivery=DeliverySettings(on_success=True)
    )
    shard.rest()

    assert [told(record) for record in shard.delivered()] == [("Success", [0], 3)]


def test_failures_go_nowhere_where_only_successes_are_told_of():
    shard = giving_up(None, poisoned(0), delivery=DeliverySettings(on_success=True))
    shard.rest()

    assert [told(record) for record in shard.delivered()] == [("Success", [1], 1)]


def test_a_success_that_was_not_told_of_is_run_again_by_the_next_owner():
    shard = giving_up(
        silent, in_turn(FAILED, RETURNED), count=1, retry_attempts_max=1, delivery=DeliverySettings(on_success=True)
    )
    shard.pass_time(1_000)
    assert shard.attempts() == [1, 2]

    after = shard.restart(succeed, destination=None)

    assert after.attempts() == [2]
    assert [told(record) for record in after.delivered()] == [("Success", [0], 2)]
