from __future__ import annotations

from itertools import combinations
from math import log2

import pytest

from penstock.core import commands as do
from penstock.core import note, reports
from penstock.core.invocation_record import Answer
from penstock.core.settings import DeliverySettings
from unit.core.driving import FAILED, RETURNED
from unit.core.staging import (
    Function,
    StagedStream,
    error,
    fail,
    go_on,
    in_turn,
    poisoned,
    positions,
    reporting,
    told,
)

TO_A_DESTINATION = DeliverySettings(on_failure=True)


def bisecting(function: Function, count: int, *, retries: int = 1, **settings: object) -> StagedStream:
    """Run a shard of so many records, one batch, to its end."""
    settings = {"batch_size": count, "bisects": True, "retry_attempts_max": retries} | settings
    shard = StagedStream(function, log=range(count), **settings)
    shard.rest()
    return shard


def ends(shard: StagedStream) -> tuple[int, ...]:
    """Give where the batches end that the stored note tells of."""
    read = note.read(shard.stored.note, shard.stored.position)
    return read.lanes[0].ends if isinstance(read, note.Note) else ()


def distinct(batches: list[list[int]]) -> set[tuple[int, ...]]:
    return set(map(tuple, batches))


# Where it is cut.


@pytest.mark.parametrize(("count", "first"), [(2, 1), (3, 2), (4, 2), (5, 3), (10, 5), (1000, 500)])
def test_a_failed_batch_is_cut_in_the_middle(count: int, first: int):
    shard = bisecting(in_turn(FAILED), count)

    assert shard.invoked() == [list(range(count)), list(range(first)), list(range(first, count))]


def test_a_batch_of_one_is_not_cut_but_tried_again():
    shard = bisecting(fail, 1, retries=2)

    assert shard.invoked() == [[0], [0], [0]]
    assert shard.attempts() == [1, 2, 3]


def test_without_it_nothing_is_cut():
    shard = bisecting(poisoned(1), 4, bisects=False)

    assert shard.invoked() == [[0, 1, 2, 3]] * 2


@pytest.mark.parametrize("failed", [error("TimeoutError"), error("Runtime.ExitError"), FAILED])
def test_timeouts_and_crashes_cut_a_batch_as_exceptions_do(failed: object):
    assert bisecting(in_turn(failed), 4).invoked() == [[0, 1, 2, 3], [0, 1], [2, 3]]


def test_an_exception_cuts_in_the_middle_whether_items_are_reported_or_not():
    shard = bisecting(in_turn(FAILED), 4, reports_item_failures=True)

    assert shard.invoked() == [[0, 1, 2, 3], [0, 1], [2, 3]]


def test_a_reported_record_is_where_the_batch_is_cut_and_what_lies_before_is_done():
    shard = bisecting(reporting(5), 8, reports_item_failures=True)

    assert shard.invoked() == [[*range(8)], [5, 6, 7], [5], [5], [6, 7]]
    assert shard.attempts() == [1, 1, 1, 2, 1]


def test_a_reported_record_that_comes_first_is_split_off_alone():
    shard = bisecting(reporting(0), 8, reports_item_failures=True, retries=2)

    assert shard.invoked() == [[*range(8)], [0], [0], [0], [*range(1, 8)]]
    assert shard.dropped() == [("RetryAttemptsExhausted", "0", "0", 3)]


def test_the_batch_size_of_the_mapping_stays_as_it_is():
    shard = StagedStream(poisoned(0), log=range(12), batch_size=4, bisects=True, retry_attempts_max=0)
    shard.rest()

    assert shard.invoked() == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [4, 5, 6, 7], [8, 9, 10, 11]]


# In which order, and when.


def test_the_first_part_is_settled_completely_before_the_second_is_begun():
    shard = bisecting(poisoned(0, 6), 8)

    assert shard.invoked() == [
        [0, 1, 2, 3, 4, 5, 6, 7],
        *[[0, 1, 2, 3], [0, 1], [0], [0], [1], [2, 3]],
        *[[4, 5, 6, 7], [4, 5], [6, 7], [6], [6], [7]],
    ]
    assert shard.dropped() == [("RetryAttemptsExhausted", "0", "0", 2), ("RetryAttemptsExhausted", "6", "6", 2)]


def test_the_second_part_waits_for_the_destination_of_the_first():
    shard = StagedStream(
        poisoned(0),
        log=range(2),
        bisects=True,
        retry_attempts_max=0,
        delivery=TO_A_DESTINATION,
        destination=lambda _deliver: None,
    )
    shard.pass_time(10_000)

    assert shard.invoked() == [[0, 1], [0]]
    assert shard.lane(0).segments == 0
    assert shard.lane(0).delivering is not None


def test_a_part_waits_as_long_as_a_first_retry_and_the_one_behind_it_not_at_all():
    shard = bisecting(in_turn(FAILED, FAILED, FAILED), 8)

    times = dict(zip(shard.times_of(do.Invoke), shard.invoked(), strict=False))
    assert [*times] == [0, 500, 1_000, 1_500]
    assert shard.invoked() == [[*range(8)], [0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [4, 5, 6, 7]]
    assert shard.now_ms == 1_500


def test_the_retries_of_a_single_record_wait_longer_and_longer():
    shard = bisecting(poisoned(0), 2, retries=3)

    assert shard.times_of(do.Invoke)[:5] == [0, 500, 1_000, 2_000, 4_000]


def test_the_checkpoint_moves_with_each_part_that_is_done():
    shard = bisecting(poisoned(5), 8)

    assert [commit.checkpoint.position for commit in shard.all_of(do.Commit)] == [-1, 3, 3, 3, 4, 4, 5, 7]


# What a split costs.


def test_a_split_uses_no_retry_and_each_part_begins_with_none_used():
    shard = bisecting(poisoned(1), 4, retries=2)

    assert shard.invoked() == [[0, 1, 2, 3], [0, 1], [0], [1], [1], [1], [2, 3]]
    assert shard.attempts() == [1, 1, 1, 1, 2, 3, 1]
    assert shard.dropped() == [("RetryAttemptsExhausted", "1", "1", 3)]


@pytest.mark.parametrize("poison", [0, 1, 333, 499, 500, 624, 998, 999])
@pytest.mark.parametrize("reports_items", [False, True])
def test_one_poison_in_a_thousand_is_found_within_the_bound(poison: int, reports_items: bool):  # noqa: FBT001
    function = reporting(poison) if reports_items else poisoned(poison)
    shard = bisecting(function, 1000, retries=2, reports_item_failures=reports_items, delivery=TO_A_DESTINATION)

    assert len(shard.invoked()) - 1 <= 2 * log2(1000) + 3
    assert [told(record) for record in shard.delivered()] == [("RetryAttemptsExhausted", [poison], 3)]
    assert shard.view.counters.processed == 999
    assert shard.stored.position == 999


@pytest.mark.parametrize("poison", [0, 1, 500, 999])
def test_with_reported_items_nothing_is_run_again_that_was_done(poison: int):
    shard = bisecting(reporting(poison), 1000, retries=2, reports_item_failures=True)

    done = [one for batch in shard.invoked() for one in batch[: batch.index(poison) if poison in batch else None]]
    assert sorted(done) == [one for one in range(1000) if one != poison]


@pytest.mark.parametrize("poisons", [*combinations(range(6), 2), *combinations(range(6), 3), tuple(range(6)), (0,), ()])
@pytest.mark.parametrize("reports_items", [False, True])
def test_some_poisons_never_make_more_than_twice_as_many_parts_as_there_are_records(
    poisons: tuple[int, ...],
    reports_items: bool,  # noqa: FBT001
):
    function = reporting(*poisons) if reports_items else poisoned(*poisons)
    shard = bisecting(function, 6, retries=1, reports_item_failures=reports_items)

    assert len(distinct(shard.invoked())) <= 2 * 6 - 1
    assert [int(first) for _, first, _, _ in shard.dropped()] == list(poisons)
    assert {first == last for _, first, last, _ in shard.dropped()} <= {True}
    assert shard.view.counters.processed == 6 - len(poisons)


def test_a_batch_of_poisons_alone_makes_every_part_there_is():
    shard = bisecting(fail, 16, retries=0)

    assert len(shard.invoked()) == len(distinct(shard.invoked())) == 2 * 16 - 1


def test_the_failure_record_is_of_the_one_record_with_its_last_error():
    last = error("KeyError")
    results = in_turn(error("ValueError"), error("ValueError"), last)
    shard = bisecting(results, 2, retries=1, delivery=TO_A_DESTINATION)

    [record] = shard.delivered()
    assert told(record) == ("RetryAttemptsExhausted", [0], 2)
    assert record.answer == Answer(function_error="Unhandled", payload=last.payload)
    assert record.request_id == "3"
    assert shard.reports(reports.RecordsDropped)[0].error_type == "KeyError"


def test_each_failure_says_when_the_next_part_is_tried():
    shard = bisecting(poisoned(1), 2, retries=0)

    assert [(report.records, report.retry_in_ms) for report in shard.reports(reports.BatchFailed)] == [
        (2, 500),
        (1, None),
    ]


# Across a restart, and with other settings.


def test_the_note_says_where_each_part_ends():
    shard = StagedStream(in_turn(FAILED, FAILED, None), log=range(8), bisects=True)
    shard.pass_time(1_000)

    assert [positions(invoke.batch) for invoke in shard.running.values()] == [[0, 1]]
    assert ends(shard) == (1, 3, 7)
    assert shard.lane(0).segments == 2


@pytest.mark.parametrize("reports_items", [False, True])
def test_a_node_that_is_killed_in_any_invocation_repeats_that_one_and_goes_on_as_if_nothing_had_been(
    reports_items: bool,  # noqa: FBT001
):
    function = reporting(2, 6, 9) if reports_items else poisoned(2, 6, 9)
    settings = {"batch_size": 8, "bisects": True, "retry_attempts_max": 1, "reports_item_failures": reports_items}
    whole = StagedStream(function, log=range(11), **settings)
    whole.rest()

    for survived in range(len(whole.invoked())):
        results = [function(invoke) for invoke in whole.all_of(do.Invoke)[:survived]]
        killed = StagedStream(in_turn(*results, None), log=range(11), **settings)
        killed.pass_time(60_000)
        after = killed.restart(function)
        after.rest()

        assert killed.invoked() == whole.invoked()[: survived + 1]
        assert after.invoked() == whole.invoked()[survived:]
        assert after.attempts() == whole.attempts()[survived:]
        assert killed.dropped() + after.dropped() == whole.dropped()


def test_the_parts_that_were_begun_before_a_restart_are_cut_no_further_without_need():
    shard = StagedStream(in_turn(FAILED, FAILED, None), log=range(8), bisects=True)
    shard.pass_time(1_000)

    after = shard.restart(batch_size=1, bisects=False)
    after.rest()

    assert after.invoked() == [[0, 1], [2, 3], [4, 5, 6, 7]]


def test_a_part_that_was_resumed_is_split_like_any_other():
    shard = StagedStream(in_turn(FAILED, None), log=range(8), bisects=True)
    shard.pass_time(500)

    after = shard.restart(in_turn(FAILED, FAILED))
    after.rest()

    assert after.invoked() == [[0, 1, 2, 3], [0, 1], [0], [1], [2, 3], [4, 5, 6, 7]]


def test_parts_that_were_trimmed_away_are_passed_over():
    shard = StagedStream(in_turn(FAILED, FAILED, None), log=range(8), bisects=True)
    shard.pass_time(1_000)

    after = shard.restart(log=[3, 6, 8])
    after.rest()

    assert after.invoked() == [[3], [6], [8]]
    assert after.attempts() == [1, 1, 1]


def test_the_attempts_of_a_part_that_was_trimmed_away_are_not_laid_on_the_next():
    shard = StagedStream(poisoned(0), log=range(4), bisects=True, retry_attempts_max=2)
    shard.pass_time(1_000)
    assert shard.lane(0).attempts_ended == 1
    assert ends(shard) == (0, 1, 3)

    after = shard.restart(fail, log=[1, 2, 3])

    assert after.attempts() == [1]
    after.rest()
    assert after.dropped()[0] == ("RetryAttemptsExhausted", "1", "1", 3)


def test_turned_on_while_a_batch_is_failing_it_splits_at_the_next_failure():
    shard = StagedStream(in_turn(FAILED, FAILED), log=range(4), retry_attempts_max=5)
    shard.change(bisects=True)
    shard.rest()

    assert shard.invoked() == [[0, 1, 2, 3], [0, 1, 2, 3], [0, 1], [2, 3]]
    assert shard.attempts() == [1, 2, 1, 1]


def test_turned_off_while_parts_wait_they_stay_parts_and_are_cut_no_further():
    shard = StagedStream(poisoned(0, 6), log=range(8), bisects=True, retry_attempts_max=1)
    shard.change(bisects=False)
    shard.rest()

    assert shard.invoked() == [[*range(8)], [0, 1, 2, 3], [0, 1, 2, 3], [4, 5, 6, 7], [4, 5, 6, 7]]
    assert shard.dropped() == [("RetryAttemptsExhausted", "0", "3", 2), ("RetryAttemptsExhausted", "4", "7", 2)]


def test_a_shard_that_is_taken_away_in_a_split_leaves_the_parts_to_the_next_owner():
    shard = StagedStream(in_turn(FAILED, None), log=range(4), bisects=True)
    shard.pass_time(500)
    shard.revoke(10_000)

    shard.finish_all(RETURNED)

    assert shard.count(do.Release) == 1
    assert (shard.stored.position, ends(shard)) == (1, (3,))
    after = shard.restart(go_on)
    assert after.invoked() == [[2, 3]]
