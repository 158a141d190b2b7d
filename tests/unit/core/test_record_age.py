from __future__ import annotations

from typing import Any

import pytest

from penstock.api import NotRun
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.settings import DeliverySettings
from unit.core.driving import NOT_RUN, RETURNED, DrivenStream, kinds
from unit.core.staging import Function, StagedStream, at, fail, go_on, in_turn, reported, succeed, told

MINUTE_MS = 60_000
NOW_MS = 10 * MINUTE_MS
OLD_MS = NOW_MS - MINUTE_MS - 1
"""One millisecond too old."""
YOUNG_MS = NOW_MS - MINUTE_MS
"""Just not too old."""
TO_A_DESTINATION = DeliverySettings(on_failure=True)
OVER_AGE = "RecordAgeExceeded"


def aging(function: Function = succeed, *times_ms: int, **settings: Any) -> StagedStream:
    """Read records of these times at `NOW_MS`, where a minute is the most."""
    log = [at(position, time_ms) for position, time_ms in enumerate(times_ms)]
    settings = {"record_age_ms_max": MINUTE_MS, "delivery": TO_A_DESTINATION} | settings
    return StagedStream(function, log=log, now_ms=NOW_MS, **settings)


# Before the first invocation.


def test_a_record_that_is_too_old_when_it_is_read_is_told_of_with_count_one_and_no_answer_and_never_invoked():
    shard = aging(fail, OLD_MS, retry_attempts_max=0)
    shard.rest()

    assert shard.invoked() == []
    [record] = shard.delivered()
    assert told(record) == (OVER_AGE, [0], 1)
    assert record.answer is None
    assert record.ended_ms == NOW_MS
    assert shard.stored.position == 0


def test_without_a_destination_it_is_dropped_and_counted():
    shard = aging(fail, OLD_MS, OLD_MS, delivery=DeliverySettings())
    shard.rest()

    assert (shard.invoked(), shard.delivered()) == ([], [])
    assert shard.dropped() == [(OVER_AGE, "0", "1", 0)]
    counters = shard.view.counters
    assert (counters.dropped, counters.dropped_before, counters.invoked) == (2, 2, 0)
    assert shard.stored.position == 1


def test_to_the_millisecond():
    shard = aging(succeed, YOUNG_MS, OLD_MS)
    shard.rest()

    assert shard.invoked() == [[0]]
    assert shard.dropped() == [(OVER_AGE, "1", "1", 0)]


def test_of_a_batch_with_one_old_record_the_five_young_ones_are_invoked():
    shard = aging(succeed, OLD_MS, *[NOW_MS] * 5)
    shard.rest()

    assert shard.invoked() == [[1, 2, 3, 4, 5]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [0], 1)]


def test_old_records_are_cut_out_wherever_they_stand():
    shard = aging(succeed, NOW_MS, OLD_MS, NOW_MS, OLD_MS, OLD_MS)
    shard.rest()

    assert shard.invoked() == [[0, 2]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [1, 3, 4], 1)]
    assert shard.stored.position == 4


def test_batches_that_are_all_too_old_are_passed_one_after_another():
    shard = aging(succeed, *[OLD_MS] * 5, NOW_MS, batch_size=2)
    shard.rest()

    assert shard.invoked() == [[5]]
    assert [told(record) for record in shard.delivered()] == [
        *[(OVER_AGE, [0, 1], 1), (OVER_AGE, [2, 3], 1)],
        (OVER_AGE, [4], 1),
    ]


def test_the_old_ones_are_told_of_before_the_young_ones_are_invoked():
    shard = aging(succeed, OLD_MS, NOW_MS, destination=lambda _deliver: None)
    shard.pass_time(5_000)
    assert shard.invoked() == []
    assert shard.stored.position == -1

    shard.deliver()

    assert shard.invoked() == [[1]]
    assert shard.stored.position == 1


def test_without_a_limit_nothing_is_too_old():
    shard = aging(succeed, 0, record_age_ms_max=None)
    shard.rest()

    assert shard.invoked() == [[0]]


def test_a_record_that_grows_too_old_while_an_environment_is_awaited_is_not_invoked():
    shard = DrivenStream(record_age_ms_max=MINUTE_MS)
    shard.fetch(at(0, 0))
    shard.now_ms = MINUTE_MS + 1

    assert kinds(shard.grant())[:1] == [do.Announce]
    assert shard.count(do.ReturnEnvironment) == 1
    assert shard.count(do.Invoke) == 0
    assert len(shard.reports(reports.RecordsDropped)) == 1


def test_one_that_grows_too_old_in_its_batching_window_is_cut_out_at_its_end():
    shard = aging(succeed, NOW_MS - MINUTE_MS + 100, NOW_MS, batching_window_ms=500)
    shard.rest()

    assert shard.dropped() == [(OVER_AGE, "0", "0", 0)]
    assert shard.invoked() == [[1]]
    assert shard.now_ms == NOW_MS + 500


def test_the_quiet_time_that_ends_with_a_batch_of_old_records_is_over_then():
    shard = aging(succeed, batching_window_ms=5_000, delivery=DeliverySettings())
    shard.pass_time(3_000)
    shard.write(at(0, OLD_MS))
    shard.rest()

    assert shard.stored.position == 0


# At a retry.


def test_a_function_that_fails_at_once_is_invoked_eight_times_in_a_minute():
    shard = StagedStream(fail, log=[0], record_age_ms_max=MINUTE_MS, delivery=TO_A_DESTINATION)
    shard.rest()

    assert shard.times_of(do.Invoke) == [0, 500, 1_500, 3_500, 7_500, 15_500, 31_500, 51_500]
    [record] = shard.delivered()
    assert told(record) == (OVER_AGE, [0], 8)
    assert record.answer is None
    assert record.request_id == "8"
    assert shard.stored.position == 0


def test_retries_that_run_out_first_are_what_is_told():
    shard = StagedStream(fail, log=[0], record_age_ms_max=MINUTE_MS, retry_attempts_max=3, delivery=TO_A_DESTINATION)
    shard.rest()

    assert [told(record) for record in shard.delivered()] == [("RetryAttemptsExhausted", [0], 4)]


def test_the_young_ones_of_a_batch_that_is_failing_go_on_with_their_count():
    shard = aging(in_turn(*[fail(None)] * 3), NOW_MS - MINUTE_MS + 1_000, NOW_MS, retry_attempts_max=3)
    shard.rest()

    assert shard.invoked() == [[0, 1], [0, 1], [1], [1]]
    assert shard.attempts() == [1, 2, 3, 4]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [0], 2)]


def test_the_rest_of_a_partial_response_grows_old_too():
    shard = aging(lambda _invoke: reported(1), *[NOW_MS] * 2, reports_item_failures=True)
    shard.rest()

    assert shard.invoked()[0] == [0, 1]
    assert {tuple(batch) for batch in shard.invoked()[1:]} == {(1,)}
    [record] = shard.delivered()
    assert told(record) == (OVER_AGE, [1], len(shard.invoked()) - 1)


def test_the_parts_of_a_split_grow_old_while_they_wait():
    times_ms = [NOW_MS, NOW_MS, NOW_MS - MINUTE_MS + 1_000, NOW_MS]
    shard = aging(in_turn(*[fail(None)] * 3), *times_ms, bisects=True)
    shard.rest()

    assert shard.invoked() == [[0, 1, 2, 3], [0, 1], [0], [0], [1], [3]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [2], 1)]


def test_old_records_do_not_wait_behind_a_blocked_batch_for_their_own_sake():
    shard = aging(fail, NOW_MS, *[NOW_MS] * 3, batch_size=2)
    shard.rest()

    assert [told(record)[:2] for record in shard.delivered()] == [(OVER_AGE, [0, 1]), (OVER_AGE, [2, 3])]
    assert {tuple(batch) for batch in shard.invoked()} == {(0, 1)}


def test_throttles_go_on_until_the_age_runs_out_and_are_no_attempts():
    shard = StagedStream(
        lambda _invoke: NOT_RUN,
        log=[0],
        record_age_ms_max=MINUTE_MS,
        retry_attempts_max=0,
        delivery=TO_A_DESTINATION,
    )
    shard.rest()

    assert set(shard.attempts()) == {1}
    assert len(shard.attempts()) == 8
    [record] = shard.delivered()
    assert told(record) == (OVER_AGE, [0], 1)
    assert record.answer is None


def test_a_throttle_that_names_a_time_beyond_the_age_is_the_last():
    shard = StagedStream(
        in_turn(NotRun("later", 2 * MINUTE_MS)), log=[0], record_age_ms_max=MINUTE_MS, delivery=TO_A_DESTINATION
    )
    shard.rest()

    assert shard.invoked() == [[0]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [0], 1)]


def test_a_batch_that_the_function_has_is_left_to_it_however_old_it_grows():
    shard = aging(go_on, NOW_MS, function_timeout_ms=10 * MINUTE_MS)
    shard.pass_time(5 * MINUTE_MS)
    assert shard.dropped() == []

    shard.finish_all(RETURNED)

    assert shard.view.counters.processed == 1


# Clocks.


@pytest.mark.parametrize("ahead_ms", [1, MINUTE_MS, 10_000 * MINUTE_MS])
def test_a_record_from_the_future_is_not_old_and_harms_no_neighbour(ahead_ms: int):
    shard = aging(succeed, NOW_MS + ahead_ms, OLD_MS, NOW_MS)
    shard.rest()

    assert shard.invoked() == [[0, 2]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [1], 1)]


def test_the_age_is_by_the_wall_clock_and_not_by_the_machines_own():
    shard = aging(go_on)
    shard.act(facts.ClockChanged(1_700_000_000_000 - NOW_MS))

    shard.write(at(0, 1_700_000_000_000 - MINUTE_MS - 1), at(1, 1_700_000_000_000 - MINUTE_MS))

    assert shard.invoked() == [[1]]
    assert shard.delivered()[0].ended_ms == 1_700_000_000_000


def test_a_clock_that_is_set_forward_makes_records_old_at_their_next_try():
    shard = aging(fail, NOW_MS)
    shard.act(facts.ClockChanged(2 * MINUTE_MS))
    assert shard.dropped() == []

    shard.pass_time(500)

    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [0], 1)]


def test_a_clock_may_be_set_again_and_again():
    shard = aging(fail)
    for offset_ms in (5 * MINUTE_MS, -3 * MINUTE_MS, 2 * MINUTE_MS, 0):
        shard.act(facts.ClockChanged(offset_ms))
        unix_ms = shard.now_ms + offset_ms
        position = len(shard.log)
        shard.write(at(position, unix_ms - MINUTE_MS - 1), at(position + 1, unix_ms - MINUTE_MS))
        shard.rest()

    assert [told(record) for record in shard.delivered()][::2] == [(OVER_AGE, [one], 1) for one in (0, 2, 4, 6)]


def test_a_clock_that_is_set_back_makes_nothing_old():
    shard = aging(fail, NOW_MS)
    shard.act(facts.ClockChanged(-5 * MINUTE_MS))
    shard.pass_time(4 * MINUTE_MS)
    assert shard.dropped() == []

    shard.pass_time(3 * MINUTE_MS)

    assert len(shard.dropped()) == 1


# Other settings, and a restart.


def test_a_limit_that_is_set_while_a_batch_fails_holds_from_its_next_try_on():
    shard = aging(fail, OLD_MS, record_age_ms_max=None)
    shard.change(record_age_ms_max=MINUTE_MS)
    shard.rest()

    assert shard.invoked() == [[0]]
    assert [told(record) for record in shard.delivered()] == [(OVER_AGE, [0], 1)]


def test_a_batch_that_grows_old_while_no_node_runs_keeps_its_count_and_is_not_invoked():
    shard = aging(fail, NOW_MS)
    shard.pass_time(2_000)
    assert shard.attempts() == [1, 2, 3]

    shard.now_ms += MINUTE_MS
    after = shard.restart()
    after.rest()

    assert after.invoked() == []
    assert [told(record) for record in after.delivered()] == [(OVER_AGE, [0], 3)]
