from __future__ import annotations

from typing import Any

import pytest

from penstock.api import Fetched, Gap
from penstock.core import commands as do
from penstock.core import facts, note, reports
from penstock.core.lanes import lane_of
from penstock.core.settings import DeliverySettings
from penstock.core.shard import QUIET_MS
from unit.core.driving import FAILED, RETURNED
from unit.core.staging import StagedStream, at, fail, go_on, in_turn, poisoned, positions, succeed

# While it runs.


def test_what_is_with_the_function_is_finished_before_the_new_lanes_begin():
    shard = StagedStream(go_on, log=range(12), lanes=2, batch_size=2)
    assert shard.invoked() == [[0, 2], [1, 3]]

    shard.change(lanes=3)
    assert len(shard.view.lanes) == 2
    shard.finish(shard.all_of(do.Invoke)[0], RETURNED)
    shard.play()
    assert shard.count(do.Invoke) == 2
    shard.finish_all()

    assert shard.invoked()[2:] == [[6, 9], [4, 7], [5, 8]]
    assert shard.reports(reports.LanesChanged) == [reports.LanesChanged(2, 3)]


@pytest.mark.parametrize(("before", "after"), [(1, 4), (4, 1), (2, 3), (10, 9), (1, 10)])
def test_nothing_is_lost_or_run_twice_or_out_of_order_by_a_change(before: int, after: int):
    log = [at(position, key=f"k{position % 9}") for position in range(60)]
    shard = StagedStream(go_on, log=log, lanes=before, batch_size=3)
    shard.finish_all()
    shard.change(lanes=after)
    while shard.running:
        shard.finish_all()

    assert sorted(one for batch in shard.invoked() for one in batch) == list(range(60))
    places = [one for batch in shard.invoked() for one in batch]
    for key in range(9):
        mine = [place for place in places if place % 9 == key]
        assert mine == sorted(mine)
    assert len(shard.view.lanes) == after
    assert shard.stored.position == 59


def test_a_batch_that_is_tried_again_is_finished_under_the_old_lanes():
    shard = StagedStream(poisoned(0), log=range(8), lanes=2, batch_size=2, retry_attempts_max=2)
    shard.change(lanes=4)
    shard.pass_time(1_499)
    assert len(shard.view.lanes) == 2
    assert shard.view.counters.dropped == 0

    shard.rest()

    assert shard.dropped() == [("RetryAttemptsExhausted", "0", "2", 3)]
    assert len(shard.view.lanes) == 4
    assert shard.stored.position == 7


def test_all_parts_of_a_split_are_finished_under_the_old_lanes():
    shard = StagedStream(in_turn(FAILED), log=range(8), lanes=2, batch_size=4, bisects=True)
    assert shard.invoked() == [[0, 2, 4, 6], [1, 3, 5, 7]]

    shard.change(lanes=3)
    shard.rest()

    assert shard.invoked()[2:] == [[0, 2], [4, 6]]


def test_a_destination_is_told_before_the_lanes_change():
    shard = StagedStream(
        fail,
        log=[0],
        lanes=2,
        retry_attempts_max=0,
        delivery=DeliverySettings(on_failure=True),
        destination=lambda _deliver: None,
    )
    shard.change(lanes=3)
    shard.pass_time(1_000)
    assert len(shard.view.lanes) == 2

    shard.deliver()

    assert len(shard.view.lanes) == 3


def test_a_shard_with_nothing_at_hand_changes_at_once():
    shard = StagedStream(succeed, log=range(4))

    shard.change(lanes=3)

    assert len(shard.view.lanes) == 3
    assert shard.reports(reports.LanesChanged) == [reports.LanesChanged(1, 3)]


def test_records_that_come_while_lanes_change_wait_for_the_new_ones():
    shard = StagedStream(go_on, log=range(2), lanes=2, batch_size=1)
    shard.change(lanes=3)

    shard.write(2, 3, 4)
    assert shard.count(do.Invoke) == 2
    assert shard.view.buffered == 3
    shard.finish_all()

    assert shard.invoked()[2:] == [[3], [4], [2]]


def test_a_change_that_is_taken_back_goes_on_as_if_nothing_had_been():
    shard = StagedStream(go_on, log=range(12), lanes=2, batch_size=2)
    shard.change(lanes=3)
    shard.change(lanes=2)
    while shard.running:
        shard.finish_all()

    assert shard.invoked() == [[0, 2], [1, 3], [4, 6], [5, 7], [8, 10], [9, 11]]
    assert shard.reports(reports.LanesChanged) == []
    assert shard.stored.position == 11


def test_a_change_that_is_changed_goes_to_the_last_one():
    shard = StagedStream(go_on, log=range(12), lanes=2, batch_size=2)
    shard.change(lanes=3)
    shard.change(lanes=4)
    shard.write(12)
    shard.finish_all()

    assert shard.reports(reports.LanesChanged) == [reports.LanesChanged(2, 4)]
    assert shard.invoked()[2:] == [[4, 8], [5, 9], [6, 10], [7, 11]]


def test_batches_that_waited_for_their_window_go_to_the_new_lanes():
    shard = StagedStream(succeed, log=range(4), batching_window_ms=500)

    shard.change(lanes=2)
    shard.rest()

    assert shard.invoked() == [[0, 2], [1, 3]]


def test_a_change_waits_for_no_batching_window():
    shard = StagedStream(in_turn(FAILED), log=range(4), batch_size=2, batching_window_ms=60_000, bisects=True)
    shard.change(lanes=2)
    shard.pass_time(500)

    assert shard.invoked() == [[0, 1], [0], [1]]
    assert len(shard.view.lanes) == 2


# Through a restart.


def test_lanes_that_were_begun_before_a_restart_are_finished_under_the_old_factor():
    shard = StagedStream(go_on, log=range(12), lanes=3, batch_size=2)
    assert shard.invoked() == [[0, 3], [1, 4], [2, 5]]
    shard.finish(shard.all_of(do.Invoke)[2], RETURNED)
    shard.finish(shard.all_of(do.Invoke)[1], FAILED)
    shard.play()
    assert shard.stored.position == -1

    after = shard.restart(go_on, lanes=2, batch_size=10)

    # Beyond what was settled or begun in any lane nothing is run under the old factor.
    assert after.invoked() == [[0, 3], [1, 4]]
    assert after.attempts() == [1, 2]
    after.finish_all()
    assert after.reports(reports.LanesChanged) == [reports.LanesChanged(3, 2)]
    assert after.invoked()[2:] == [[6, 8, 10], [7, 9, 11]]


def test_a_checkpoint_without_lanes_begins_with_the_new_factor_at_once():
    shard = StagedStream(succeed, log=range(4), lanes=2)

    after = shard.restart(lanes=3)

    assert len(after.view.lanes) == 3
    assert after.reports(reports.LanesChanged) == []


def test_a_factor_that_changed_while_stopped_with_nothing_to_resume_and_a_note_is_changed():
    shard = StagedStream(go_on, log=range(4), lanes=2, batch_size=1)
    shard.finish(shard.all_of(do.Invoke)[1], RETURNED)
    shard.play()
    assert shard.stored.position == -1

    after = shard.restart(succeed, lanes=1)
    after.rest()

    assert after.invoked() == [[0], [2], [3]]
    assert after.stored.position == 3


@pytest.mark.parametrize(("before", "after"), [(3, 2), (2, 5), (1, 4), (4, 1)])
def test_a_node_that_is_killed_while_lanes_change_loses_nothing(before: int, after: int):
    log = [at(position, key=f"k{position % 5}") for position in range(24)]
    for done in range(6):
        shard = StagedStream(go_on, log=log, lanes=before, batch_size=2)
        settled = finish(shard, done)
        shard.change(lanes=after)
        settled += finish(shard, 2)

        last = shard.restart(go_on)
        while last.running:
            settled += finish(last, 1)

        assert sorted(settled) == list(range(24))
        assert last.stored.position == 23
        assert len(last.view.lanes) == after


def finish(shard: StagedStream, count: int) -> list[int]:
    """End so many invocations, the youngest first; gives the records that they had."""
    settled: list[int] = []
    for _ in range(count):
        if shard.running:
            invoke = list(shard.running.values())[-1]
            settled += positions(invoke.batch)
            shard.finish(invoke, RETURNED)
            shard.play()
    return settled


def test_a_change_is_finished_after_two_restarts_with_other_factors_each():
    shard = StagedStream(poisoned(0), log=range(12), lanes=3, batch_size=2)
    second = shard.restart(lanes=2)
    second.pass_time(5_000)
    third = second.restart(succeed, lanes=4)
    third.rest()

    assert third.reports(reports.LanesChanged) == [reports.LanesChanged(3, 4)]
    assert third.stored.position == 11


def test_what_was_begun_and_then_trimmed_holds_a_change_back_no_longer():
    shard = StagedStream(fail, log=range(6), lanes=3, batch_size=2)
    after = shard.restart(go_on, log=[], lanes=2)
    asked = after.fetching
    assert asked is not None

    after.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [at(7), at(8)], 8, 20, 0, Gap(0, 6))))

    assert after.reports(reports.LanesChanged) == [reports.LanesChanged(3, 2)]
    assert after.invoked() == [[8], [7]]


def test_the_note_after_a_change_repeats_nothing_but_what_is_in_flight():
    shard = StagedStream(go_on, log=range(12), lanes=2, batch_size=2)
    shard.finish(shard.all_of(do.Invoke)[1], RETURNED)
    shard.change(lanes=3)
    shard.finish_all()
    assert shard.invoked() == [[0, 2], [1, 3], [6, 9], [4, 7], [5, 8]]
    shard.finish(shard.all_of(do.Invoke)[3], RETURNED)
    shard.play()

    after = shard.restart(go_on)

    assert after.invoked() == [[6, 9], [10], [5, 8]]


# With everything at once.


@pytest.mark.parametrize("factors", [(1, 3, 2), (4, 2, 4), (2, 1, 10)])
@pytest.mark.parametrize("reports_items", [False, True])
def test_a_shard_whose_factor_changes_again_and_again_comes_to_its_end(
    factors: tuple[int, ...],
    reports_items: bool,  # noqa: FBT001
):
    log = [at(position, key=f"k{position % 7}") for position in range(50)]
    settings: dict[str, Any] = {"batch_size": 4, "bisects": True, "retry_attempts_max": 1}
    shard = StagedStream(
        poisoned(5, 20, 33), log=log[:20], lanes=factors[0], reports_item_failures=reports_items, **settings
    )
    for factor, following in zip(factors[1:], ([20], range(21, 50)), strict=True):
        shard.pass_time(700)
        shard.change(lanes=factor)
        shard.write(*(log[position] for position in following))
    shard.rest()

    assert sorted(int(first) for _, first, _, _ in shard.dropped()) == [5, 20, 33]
    assert shard.view.counters.processed == 47
    assert len(shard.view.lanes) == factors[-1]
    assert len({lane_of(log[position], factors[-1]) for position in shard.invoked()[-1]}) == 1


def test_positions_that_hold_nothing_are_committed_while_lanes_change():
    shard = StagedStream(go_on, log=[0], lanes=2)
    shard.change(lanes=3)
    asked = shard.fetching
    assert asked is not None
    shard.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [], 9, 0, 0)))

    shard.finish_all()
    shard.pass_time(QUIET_MS)

    assert shard.stored.position == 9
    assert note.read(shard.stored.note, 9) is None
