from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api import Fetched
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.settings import DeliverySettings
from penstock.core.stream_machine import LAST_COMMIT_MS
from penstock.core.tumbling import STATE_BYTES_MAX
from unit.core.driving import FAILED
from unit.core.staging import StagedStream, answered, at, go_on, positions, silent, told
from unit.core.test_window_machine import IDLE_MS, MINUTE_MS, NOW_MS, frames, minute, sums, taken, windowed

LATER_MS = NOW_MS + 10 * MINUTE_MS


def poisoned(*poisons: int) -> Any:
    return lambda invoke: FAILED if set(positions(invoke.batch)) & set(poisons) else taken(invoke)


def reporting(*poisons: int) -> Any:
    """Count what comes before the first of these records, and report that one."""

    def run(invoke: do.Invoke) -> Any:
        bad = [one for one in positions(invoke.batch) if one in poisons]
        if not bad or invoke.window is None:
            return taken(invoke)
        seen = json.loads(invoke.window.state).get("seen", [])
        counted = seen + [one for one in positions(invoke.batch) if one < bad[0]]
        failures = [{"itemIdentifier": str(one)} for one in bad]
        return answered({"state": {"seen": counted}, "batchItemFailures": failures})

    return run


# A node that is killed.


@pytest.mark.parametrize("function", [taken, poisoned(3), reporting(3, 4), reporting(0, 7)])
@pytest.mark.parametrize("bisects", [False, True])
def test_wherever_a_node_is_killed_each_record_is_counted_once(function: Any, bisects: bool):  # noqa: FBT001
    log = [minute(position, position // 3) for position in range(9)]
    settings = {
        "batch_size": 2,
        "bisects": bisects,
        "reports_item_failures": True,
        "retry_attempts_max": 1,
        "now_ms": LATER_MS,
    }
    whole = windowed(function, *log, **settings)
    whole.rest()

    for survived in range(whole.count(do.Invoke)):
        killed = windowed(go_on, *log, **settings)
        for _ in range(survived):
            [invoke] = killed.running.values()
            killed.finish(invoke, function(invoke))
            killed.play()
            while not killed.running:
                killed.pass_time(500)

        after = killed.restart(function)
        after.rest()

        assert after.invoked() == whole.invoked()[survived:]
        assert [each[1:] for each in frames(after)] == [each[1:] for each in frames(whole)[survived:]]
        assert set(after.states) <= {command.version for command in killed.all_of(do.SaveState)}
        assert after.stored.position == 8


def test_a_state_that_was_saved_and_never_named_counts_nothing_twice():
    shard = windowed(taken, minute(0))
    shard.is_committing = False
    shard.write(minute(1))
    assert len(shard.states) == 2

    after = shard.restart()
    after.rest()

    assert frames(after) == [([1], 0, [0], False), ([], 0, [0, 1], True)]


def test_a_node_without_the_state_holds_the_shard_names_it_and_never_starts_empty():
    shard = windowed(taken, minute(0))
    after = shard.restart(states={})
    after.write(minute(1))
    after.pass_time(10 * MINUTE_MS)

    assert after.invoked() == []
    assert after.view.state == "held"
    assert after.view.last_error.startswith("StateLost: ")
    assert after.reports(reports.Held) == [reports.Held(after.view.last_error)]
    assert after.stored == shard.stored
    after.revoke(10_000)
    assert after.count(do.Release) == 1


def test_while_a_state_is_loaded_nothing_is_invoked():
    shard = windowed(taken, minute(0))
    after = shard.restart(log=[minute(0), minute(1)], states={})
    assert after.invoked() == []

    again = shard.restart(log=[minute(0), minute(1)])

    assert frames(again) == [([1], 0, [0], False)]


def test_a_window_that_ended_while_no_node_ran_is_closed_by_the_next():
    shard = windowed(taken, minute(0))
    shard.now_ms = LATER_MS
    after = shard.restart()
    after.write(minute(1, 10))
    after.rest()

    assert sums(after) == [(0, [0]), (10, [1])]


def test_a_window_that_closes_without_a_new_record_waits_after_a_restart_too():
    shard = windowed(taken, minute(0))
    shard.now_ms = LATER_MS
    after = shard.restart()
    asked = after.fetching
    assert asked is not None
    after.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [], 0, 0, 0)))
    after.rest()

    assert sums(after) == [(0, [0])]
    assert after.now_ms == LATER_MS + IDLE_MS


def test_a_late_record_after_a_restart_opens_no_window_again_that_was_closed():
    shard = windowed(taken, minute(0), now_ms=LATER_MS)
    shard.rest()
    after = shard.restart()
    after.write(minute(1, 0))
    after.rest()

    assert sums(shard, after) == [(0, [0]), (1, [1])]
    assert after.view.counters.late == 1


def test_a_last_invocation_that_was_cut_off_is_made_again():
    shard = windowed(taken, minute(0))
    shard.function = go_on
    shard.now_ms = LATER_MS
    shard.write(minute(1, 10))
    assert frames(shard)[-1] == ([], 0, [0], True)

    after = shard.restart(taken)

    assert frames(after) == [([], 0, [0], True), ([1], 10, [], False)]


def test_an_early_end_survives_a_restart():
    shard = windowed(
        lambda invoke: None if invoke.window.is_final else taken(invoke, size=STATE_BYTES_MAX),
        minute(0),
        minute(1),
        batch_size=1,
    )
    assert [each[0] for each in frames(shard)] == [[0], []]

    after = shard.restart(taken)

    final, *following = after.all_of(do.Invoke)
    assert final.window is not None
    assert final.window.is_terminated_early
    assert [positions(invoke.batch) for invoke in following] == [[1]]


# A shard that is taken away.


def test_a_state_that_is_saved_within_the_grace_is_committed():
    shard = windowed(go_on, minute(0))
    shard.is_storing = False
    shard.finish_all(taken(shard.last(do.Invoke)))
    shard.revoke(10_000)
    assert shard.count(do.Release) == 0

    saving = shard.last(do.SaveState)
    shard.states[saving.version] = saving.state
    shard.act(facts.StateSaved(saving.id, "here"))

    assert shard.stored.position == 0
    assert shard.count(do.Release) == 1


@pytest.mark.parametrize("is_committing", [True, False])
def test_a_state_that_is_not_saved_in_time_is_given_up_with_its_batch(is_committing: bool):  # noqa: FBT001
    shard = windowed(taken, minute(0), batch_size=1)
    shard.is_committing = is_committing
    shard.write(minute(1))
    shard.is_storing = False
    shard.write(minute(2))
    shard.revoke(2_000)
    shard.pass_time(2_000 + LAST_COMMIT_MS)

    assert shard.count(do.Release) == 1
    after = shard.restart(taken)
    after.rest()
    assert sums(after) == [(0, [0, 1, 2])]


# Settings that change.


def test_a_window_that_is_open_when_windows_are_turned_off_goes_on_to_its_end():
    shard = windowed(taken, minute(0))
    shard.change(tumbling_window_ms=0)
    shard.write(minute(1))
    shard.pass_time(2 * MINUTE_MS)
    shard.write(minute(2, 2))

    assert frames_or_none(shard) == [([0], []), ([1], [0]), ([], [0, 1]), ([2], None)]
    assert shard.view.window is None


def frames_or_none(shard: StagedStream) -> list[tuple[list[int], list[int] | None]]:
    """Give what the state of each invocation counts, None where it has no window."""
    return [
        (positions(invoke.batch), json.loads(invoke.window.state).get("seen", []) if invoke.window else None)
        for invoke in shard.all_of(do.Invoke)
    ]


@pytest.mark.parametrize("is_running", [True, False])
def test_where_lanes_are_wanted_instead_the_open_window_is_ended_early(is_running: bool):  # noqa: FBT001
    shard = windowed(taken, minute(0))
    shard.function = go_on if is_running else taken
    shard.write(minute(1))
    shard.change(tumbling_window_ms=0, lanes=3)
    shard.write(minute(2))
    if is_running:
        shard.function = taken
        shard.finish_all(taken(shard.last(do.Invoke)))
    shard.pass_time(1_000)

    assert frames_or_none(shard) == [([0], []), ([1], [0]), ([], [0, 1]), ([2], None)]
    final = shard.all_of(do.Invoke)[2].window
    assert final is not None
    assert final.is_terminated_early
    assert len(shard.view.lanes) == 3


def test_the_same_holds_where_they_were_changed_while_stopped():
    shard = windowed(taken, minute(0))
    after = shard.restart(tumbling_window_ms=0, lanes=3)
    after.write(minute(1))

    assert frames_or_none(after) == [([], [0]), ([1], None)]
    assert len(after.view.lanes) == 3
    assert after.states == {}


def test_windows_that_are_turned_on_wait_for_the_lanes_to_be_finished():
    shard = StagedStream(go_on, log=[minute(each) for each in range(4)], lanes=2, batch_size=1, now_ms=NOW_MS)
    shard.change(tumbling_window_ms=MINUTE_MS, lanes=1)
    shard.function = taken
    shard.finish_all()
    shard.rest()

    assert frames_or_none(shard) == [([0], None), ([1], None), ([2], []), ([3], [2]), ([], [2, 3])]


def test_windows_that_are_turned_on_hold_from_the_next_batch_on():
    shard = StagedStream(go_on, log=[minute(0)], batch_size=1, now_ms=NOW_MS)
    shard.change(tumbling_window_ms=MINUTE_MS)
    shard.function = taken
    shard.write(minute(1))
    shard.finish_all()
    shard.rest()

    assert frames_or_none(shard) == [([0], None), ([1], []), ([], [1])]


def test_a_window_that_is_turned_on_over_records_that_wait_closes_without_new_ones():
    shard = StagedStream(go_on, log=[minute(0), minute(1)], batch_size=1, now_ms=NOW_MS)
    shard.change(tumbling_window_ms=MINUTE_MS)
    shard.function = taken
    shard.finish_all()
    shard.rest()

    assert frames_or_none(shard) == [([0], None), ([1], []), ([], [1])]


def test_another_length_holds_from_the_next_window_on():
    shard = windowed(taken, minute(0))
    shard.change(tumbling_window_ms=2 * MINUTE_MS)
    shard.pass_time(MINUTE_MS + 1_000)
    shard.write(minute(1, 1))
    shard.pass_time(MINUTE_MS + 1_000)
    shard.write(minute(2, 2))

    windows = [invoke.window for invoke in shard.all_of(do.Invoke) if invoke.window]
    assert [((one.start_ms - NOW_MS) // MINUTE_MS, (one.end_ms - NOW_MS) // MINUTE_MS) for one in windows] == [
        *[(0, 1), (0, 1), (1, 2), (1, 2)],
        (2, 4),
    ]


# With everything else that a stream has.


def test_a_part_that_a_response_took_is_in_the_state_and_the_rest_is_tried_again():
    shard = windowed(
        reporting(2), *(minute(each) for each in range(4)), reports_item_failures=True, retry_attempts_max=1
    )
    shard.rest()

    assert frames(shard) == [
        ([0, 1, 2, 3], 0, [], False),
        *[([2, 3], 0, [0, 1], False)] * 2,
        ([], 0, [0, 1], True),
    ]


def test_a_poison_is_isolated_within_a_window_and_the_others_are_counted():
    shard = windowed(poisoned(2), *(minute(each) for each in range(4)), bisects=True, retry_attempts_max=0)
    shard.rest()

    assert sums(shard) == [(0, [0, 1, 3])]
    assert shard.dropped() == [("RetryAttemptsExhausted", "2", "2", 1)]


def test_records_that_are_too_old_are_in_no_state_and_are_told_of():
    shard = windowed(
        taken,
        minute(0, offset_ms=0),
        minute(1, offset_ms=30_000),
        now_ms=NOW_MS + MINUTE_MS + 15_000,
        record_age_ms_max=MINUTE_MS,
        delivery=DeliverySettings(on_failure=True),
    )
    shard.rest()

    assert sums(shard) == [(0, [1])]
    assert [told(record) for record in shard.delivered()] == [("RecordAgeExceeded", [0], 1)]


def test_a_success_that_is_still_to_be_told_of_is_counted_once_after_a_crash():
    shard = windowed(
        taken, minute(0), minute(1), batch_size=1, delivery=DeliverySettings(on_success=True), destination=silent
    )
    assert shard.invoked() == [[0]]

    after = shard.restart(destination=None)
    after.rest()

    assert frames(after) == [([0], 0, [], False), ([1], 0, [0], False), ([], 0, [0, 1], True)]
    assert [told(record) for record in after.delivered()] == [("Success", [0], 1), ("Success", [1], 1)]


def test_a_clock_that_is_set_moves_the_end_of_the_window():
    shard = windowed(taken, at(0, NOW_MS + 1_000))
    shard.act(facts.ClockChanged(-MINUTE_MS))
    shard.rest()
    assert shard.now_ms == NOW_MS + 2 * MINUTE_MS + IDLE_MS

    shard.write(at(1, NOW_MS + MINUTE_MS))
    shard.act(facts.ClockChanged(10 * MINUTE_MS))
    shard.rest()

    assert sums(shard) == [(0, [0]), (1, [1])]


def test_an_event_leaves_room_for_its_state():
    shard = windowed(taken, minute(0, size=100), minute(1, size=100), event_bytes_max=350)
    shard.rest()

    # Both would fit, had the event no window.
    assert [batch for batch in shard.invoked() if batch] == [[0, 1]]
    smaller = windowed(taken, minute(0, size=100), minute(1, size=100), event_bytes_max=300)
    smaller.rest()
    assert [batch for batch in smaller.invoked() if batch] == [[0], [1]]
