from __future__ import annotations

from typing import Any

import pytest

from penstock.api import Checkpoint, NotRun
from penstock.core import commands as do
from penstock.core import note, reports
from penstock.core.invocation_record import Answer
from penstock.core.settings import DeliverySettings
from unit.core.driving import FAILED
from unit.core.staging import Function, StagedStream, answered, go_on, in_turn, reported, reporting, told

TO_A_DESTINATION = DeliverySettings(on_failure=True)
EXHAUSTED = "RetryAttemptsExhausted"

NO_FAILURE = [
    pytest.param(answered(""), id="empty text"),
    pytest.param(answered(None), id="null"),
    pytest.param(answered({}), id="empty object"),
    pytest.param(answered([]), id="empty list"),
    pytest.param(answered({"batchItemFailures": []}), id="no failures"),
    pytest.param(answered({"batchItemFailures": None}), id="failures null"),
    pytest.param(answered({"done": 3}), id="something else"),
]
WHOLE_BATCH_FAILED = [
    pytest.param(reported(""), id="empty identifier"),
    pytest.param(reported(None), id="identifier null"),
    pytest.param(answered({"batchItemFailures": [{"foo": "2"}]}), id="another key"),
    pytest.param(answered({"batchItemFailures": [{"foo": None}]}), id="another key, null"),
    pytest.param(reported("123"), id="not in the batch"),
    pytest.param(reported("2", "123"), id="one in the batch and one not"),
    pytest.param(reported("", 1), id="one empty and one in the batch"),
    pytest.param(answered({"batchItemFailures": "2"}), id="failures no list"),
    pytest.param(answered({"batchItemFailures": ["2"]}), id="failures no objects"),
    pytest.param(answered("2"), id="a text"),
    pytest.param(answered(17), id="a number"),
    pytest.param(FAILED, id="an exception"),
]


def partial(function: Function, count: int, **settings: Any) -> StagedStream:
    """Run a shard of so many records, whose function may report items, to its end."""
    settings = {"reports_item_failures": True, "delivery": TO_A_DESTINATION} | settings
    shard = StagedStream(function, log=range(count), **settings)
    shard.rest()
    return shard


# Each row of the table.


@pytest.mark.parametrize("response", NO_FAILURE)
def test_a_response_that_names_nothing_is_a_success_of_the_whole_batch(response: Any):
    shard = partial(lambda _invoke: response, 3)

    assert shard.invoked() == [[0, 1, 2]]
    assert shard.delivered() == []
    assert shard.stored == Checkpoint(2)
    assert shard.view.counters.processed == 3
    assert shard.view.counters.failed == 0


@pytest.mark.parametrize(
    ("failures", "rest"),
    [
        ((0,), [0, 1, 2, 3]),
        ((2,), [2, 3]),
        ((3,), [3]),
        ((3, 1), [1, 2, 3]),
        ((2, 2), [2, 3]),
        ((0, 1, 2, 3), [0, 1, 2, 3]),
    ],
)
def test_the_lowest_record_that_is_reported_and_everything_after_it_is_tried_again(
    failures: tuple[int, ...], rest: list[int]
):
    shard = partial(in_turn(reported(*failures)), 4)

    assert shard.invoked() == [[0, 1, 2, 3], rest]
    assert shard.stored == Checkpoint(3)
    assert shard.view.counters.processed == 4


@pytest.mark.parametrize("response", WHOLE_BATCH_FAILED)
def test_a_response_that_can_not_be_trusted_fails_the_whole_batch(response: Any):
    shard = partial(lambda _invoke: response, 3, retry_attempts_max=2)

    assert shard.invoked() == [[0, 1, 2]] * 3
    assert shard.attempts() == [1, 2, 3]
    [record] = shard.delivered()
    assert told(record) == (EXHAUSTED, [0, 1, 2], 3)
    assert shard.view.counters.processed == 0


@pytest.mark.parametrize("response", [*NO_FAILURE, *WHOLE_BATCH_FAILED[:-1]])
def test_with_the_feature_off_whatever_is_returned_is_a_success(response: Any):
    shard = partial(lambda _invoke: response, 3, reports_item_failures=False)

    assert shard.invoked() == [[0, 1, 2]]
    assert shard.delivered() == []


def test_a_batch_that_names_what_it_does_not_hold_says_so():
    shard = partial(in_turn(reported("2", "123", None)), 3)

    [report] = shard.reports(reports.BatchFailed)
    assert report.error_message.endswith('{"itemIdentifier":"123"}, {"itemIdentifier":null}')


# What was recorded on AWS.


def test_a_bad_sixth_record_with_three_retries_is_seen_five_times_and_told_of_with_four():
    shard = partial(reporting(6), 7, checkpoint=Checkpoint(0), batch_size=3, retry_attempts_max=3)

    assert shard.invoked() == [[1, 2, 3], [4, 5, 6], [6], [6], [6], [6]]
    [record] = shard.delivered()
    assert told(record) == (EXHAUSTED, [6], 4)
    assert record.answer == Answer(function_error=None, payload=reported(6).payload)


def test_an_identifier_that_is_not_in_the_batch_with_two_retries_is_told_of_with_three():
    shard = partial(lambda _invoke: reported("123"), 1, batch_size=1, retry_attempts_max=2)

    assert shard.invoked() == [[0]] * 3
    [record] = shard.delivered()
    assert told(record) == (EXHAUSTED, [0], 3)
    assert record.answer == Answer(function_error=None, payload=reported("123").payload)


def test_an_exception_after_a_reported_record_is_what_the_destination_hears_of():
    shard = partial(in_turn(reported(0), FAILED), 1, retry_attempts_max=1)

    [record] = shard.delivered()
    assert record.answer == Answer(function_error="Unhandled", payload=FAILED.payload)


# What is counted.


def test_progress_begins_a_fresh_count_and_none_keeps_the_old_one():
    results = in_turn(FAILED, reported(0), reported(2), reported(2), FAILED, reported(3), reported(3), FAILED, FAILED)
    shard = partial(results, 4, retry_attempts_max=2)

    assert shard.invoked() == [*[[0, 1, 2, 3]] * 3, *[[2, 3]] * 3, [3], [3], [3]]
    assert shard.attempts() == [1, 2, 3, 1, 2, 3, 1, 2, 3]
    assert shard.dropped() == [(EXHAUSTED, "3", "3", 3)]


def test_retries_without_end_are_counted_as_long_as_nothing_moves():
    shard = StagedStream(lambda _invoke: reported(0), log=range(2), reports_item_failures=True)
    shard.pass_time(30_000)

    assert shard.attempts() == [1, 2, 3, 4, 5, 6]


def test_a_throttle_between_two_reports_counts_for_nothing():
    shard = partial(in_turn(reported(1), reported(1), NotRun("busy"), reported(1)), 2, retry_attempts_max=2)

    assert shard.attempts() == [1, 1, 2, 2, 3]


def test_failures_are_counted_by_item_and_no_invocation_has_failed():
    shard = partial(in_turn(reported(3, 1)), 4)

    counters = shard.view.counters
    assert (counters.failed, counters.failed_invocations) == (2, 0)
    assert (counters.invocations, counters.invoked, counters.invoked_first) == (2, 7, 4)


def test_a_response_that_can_not_be_trusted_counts_every_item_and_a_failed_invocation():
    shard = partial(in_turn(reported("123")), 4)

    counters = shard.view.counters
    assert (counters.failed, counters.failed_invocations) == (4, 1)


def test_each_partial_failure_is_reported_with_what_was_done_and_when_the_rest_is_tried():
    shard = partial(in_turn(reported(3, 2), reported(2)), 4, retry_attempts_max=0)

    assert shard.reports(reports.BatchPartlyFailed) == [
        reports.BatchPartlyFailed("1", "0", "3", 4, 1, 5, 2, "2", 500),
        reports.BatchPartlyFailed("2", "2", "3", 2, 1, 5, 0, "2", None),
    ]


# When, and what a crash repeats.


def test_after_progress_the_wait_is_the_first_one_again():
    shard = partial(in_turn(FAILED, FAILED, reported(2), reported(2)), 3)

    assert shard.times_of(do.Invoke) == [0, 500, 1_500, 2_000, 2_500]


def test_what_lies_before_the_reported_record_is_committed_before_the_rest_is_tried():
    shard = StagedStream(in_turn(reported(2)), log=range(4), reports_item_failures=True)

    assert shard.stored.position == 1
    assert note.read(shard.stored.note, 1) == note.Note((note.LaneNote(1, ends=(3,)),))


def test_no_rest_is_tried_while_its_progress_is_not_stored():
    shard = StagedStream(in_turn(reported(2)), reports_item_failures=True)
    shard.is_committing = False
    shard.write(0, 1, 2, 3)
    shard.pass_time(20_000)

    assert shard.invoked() == [[0, 1, 2, 3]]


@pytest.mark.parametrize("retries", [0, 2])
def test_what_was_done_is_not_run_again_by_the_next_owner_and_the_rest_is_the_same_batch(retries: int):
    shard = StagedStream(
        in_turn(reported(2), *[reported(2)] * retries, None), log=range(6), batch_size=4, reports_item_failures=True
    )
    shard.pass_time(10_000)

    after = shard.restart(go_on, batch_size=1)

    assert after.invoked() == [[2, 3]]
    assert after.attempts() == [retries + 1]


@pytest.mark.parametrize(
    ("last", "function_error"), [(reported(0), None), (reported("123"), None), (FAILED, "Unhandled")]
)
def test_the_next_owner_knows_how_the_last_attempt_ended_though_not_what_it_said(last: Any, function_error: str | None):
    shard = StagedStream(
        in_turn(FAILED, last),
        log=[0],
        reports_item_failures=True,
        retry_attempts_max=1,
        delivery=TO_A_DESTINATION,
        destination=lambda _deliver: None,
    )
    shard.pass_time(500)

    after = shard.restart(go_on, destination=None)
    after.rest()

    assert after.invoked() == []
    [record] = after.delivered()
    assert told(record) == (EXHAUSTED, [0], 2)
    assert record.answer == Answer(function_error=function_error)


# With a destination for what succeeds.


def test_what_was_done_is_told_before_the_rest_is_tried():
    shard = StagedStream(
        in_turn(reported(2)),
        log=range(4),
        reports_item_failures=True,
        delivery=DeliverySettings(on_success=True),
        destination=lambda _deliver: None,
    )
    shard.pass_time(20_000)
    assert shard.invoked() == [[0, 1, 2, 3]]
    assert shard.stored.position == -1

    shard.deliver()
    shard.rest()

    assert shard.invoked() == [[0, 1, 2, 3], [2, 3]]
    assert [told(record) for record in shard.delivered()] == [("Success", [0, 1], 1), ("Success", [2, 3], 1)]
    assert [record.answer for record in shard.delivered()] == [
        Answer(function_error=None, payload=reported(2).payload),
        Answer(function_error=None, payload=b"null"),
    ]


def test_where_nothing_was_done_there_is_no_success_to_tell_of():
    shard = partial(in_turn(reported(0)), 2, delivery=DeliverySettings(on_success=True))

    assert [told(record) for record in shard.delivered()] == [("Success", [0, 1], 2)]
