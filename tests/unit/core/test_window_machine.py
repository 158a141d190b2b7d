from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api import Fetched, InvocationResult, Record
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.tumbling import ANSWER_MS, STATE_BYTES_MAX
from unit.core.driving import FAILED, NOT_RUN, RETURNED
from unit.core.staging import Function, StagedStream, answered, at, go_on, in_turn, positions

MINUTE_MS = 60_000
NOW_MS = 10 * MINUTE_MS
"""A window begins now."""
IDLE_MS = 5_000


def taken(invoke: do.Invoke, *, size: int = 0, **more: Any) -> InvocationResult:
    """Answer with a state that counts the batch too, where there is a window."""
    if invoke.window is None:
        return RETURNED
    seen = json.loads(invoke.window.state).get("seen", [])
    state = {"seen": seen + positions(invoke.batch)} | ({"filler": "x" * size} if size else {})
    return answered({"state": state} | more)


def windowed(function: Function = taken, *log: Record, now_ms: int = NOW_MS, **settings: Any) -> StagedStream:
    return StagedStream(function, log=log, now_ms=now_ms, **{"tumbling_window_ms": MINUTE_MS} | settings)


def minute(position: int, of: int = 0, *, offset_ms: int = 1_000, size: int = 10) -> Record:
    """Make a record of the minute that begins so many after `NOW_MS`."""
    return at(position, NOW_MS + of * MINUTE_MS + offset_ms, size=size)


def frames(shard: StagedStream) -> list[tuple[list[int], int, list[int], bool]]:
    """Give for each invocation its records, its window's minute, what its state counts, and whether it is the last."""
    found = []
    for invoke in shard.all_of(do.Invoke):
        frame = invoke.window
        assert frame is not None
        assert frame.end_ms == frame.start_ms + MINUTE_MS
        seen = json.loads(frame.state).get("seen", [])
        found.append((positions(invoke.batch), (frame.start_ms - NOW_MS) // MINUTE_MS, seen, frame.is_final))
    return found


def sums(*shards: StagedStream) -> list[tuple[int, list[int]]]:
    """Give what each window counted when it closed."""
    return [(of, seen) for shard in shards for batch, of, seen, is_final in frames(shard) if is_final]


# Opening and closing.


def test_each_invocation_carries_the_state_of_its_window_on_and_the_last_one_has_no_records():
    shard = windowed(taken, minute(0), minute(1), batch_size=1)
    shard.pass_time(2 * MINUTE_MS)

    assert frames(shard) == [([0], 0, [], False), ([1], 0, [0], False), ([], 0, [0, 1], True)]
    assert shard.reports(reports.WindowClosed) == [reports.WindowClosed(NOW_MS, NOW_MS + MINUTE_MS, early=False)]
    assert shard.view.window is None
    assert shard.view.is_idle


def test_a_record_of_the_next_window_closes_the_open_one_first():
    shard = windowed(taken, minute(0))
    shard.pass_time(MINUTE_MS + 1_000)
    shard.write(minute(1, 1))

    assert frames(shard) == [([0], 0, [], False), ([], 0, [0], True), ([1], 1, [], False)]


def test_a_batch_never_reaches_over_the_end_of_its_window():
    shard = windowed(taken, minute(0), minute(1, 1), minute(2, 1), minute(3, 3), now_ms=NOW_MS + 4 * MINUTE_MS)
    shard.rest()

    assert sums(shard) == [(0, [0]), (1, [1, 2]), (3, [3])]
    assert [batch for batch in shard.invoked() if batch] == [[0], [1, 2], [3]]


def test_without_records_no_window_opens():
    shard = windowed()
    shard.pass_time(5 * MINUTE_MS)

    assert shard.invoked() == []
    assert shard.view.window is None


def test_the_view_shows_the_open_window():
    shard = windowed(taken, minute(0))

    window = shard.view.window
    assert window is not None
    assert (window.start_ms, window.end_ms, window.is_closing) == (NOW_MS, NOW_MS + MINUTE_MS, False)
    assert window.state_bytes == len(b'{"seen": [0]}')
    assert not shard.view.is_idle


# Late and early records.


def test_a_late_record_goes_into_the_open_window_and_is_counted():
    shard = windowed(taken, minute(0), minute(1, 1), now_ms=NOW_MS + MINUTE_MS + 2_000)
    shard.write(minute(2, 0), minute(3, 1))
    shard.rest()

    assert sums(shard) == [(0, [0]), (1, [1, 2, 3])]
    assert shard.view.counters.late == 1
    assert shard.reports(reports.RecordsLate) == [reports.RecordsLate(1, "2", "2")]


def test_a_record_that_is_late_for_its_window_alone_opens_the_next():
    shard = windowed(taken, minute(0))
    shard.pass_time(3 * MINUTE_MS)
    shard.write(minute(1, 0, offset_ms=2_000))
    shard.rest()

    assert sums(shard) == [(0, [0]), (1, [1])]
    assert shard.view.counters.late == 1


def test_a_late_record_that_is_tried_again_is_counted_once():
    shard = windowed(taken, minute(0), minute(1, 1), now_ms=NOW_MS + MINUTE_MS + 2_000)
    shard.function = lambda invoke: FAILED if shard.attempts()[-1] < 3 else taken(invoke)
    shard.write(minute(2, 0))
    shard.rest()

    assert shard.invoked() == [[0], [], [1], [2], [2], [2], [], [], []]
    assert shard.view.counters.late == 1


def test_a_record_from_the_future_belongs_to_now():
    shard = windowed(taken, minute(0, 500), minute(1, 0))
    shard.rest()

    assert sums(shard) == [(0, [0, 1])]
    assert shard.view.counters.late == 0


def test_a_record_from_the_future_that_is_read_after_its_windows_end_waits_for_its_own():
    shard = windowed(go_on, minute(0), minute(1, 2), batch_size=1)
    shard.function = taken
    shard.pass_time(MINUTE_MS)
    [running] = shard.running.values()
    shard.finish(running, taken(running))
    shard.rest()

    # When its turn comes the window is over, though its own time is still to come: it opens the one of now.
    assert sums(shard) == [(0, [0]), (1, [1])]


# The state.


@pytest.mark.parametrize(
    "fails",
    [
        lambda _invoke: FAILED,
        lambda invoke: taken(invoke, batchItemFailures=[{"itemIdentifier": "99"}]),
        lambda invoke: taken(invoke, batchItemFailures="all"),
    ],
)
def test_the_state_of_a_failed_invocation_is_not_kept(fails: Function):
    shard = windowed(taken, minute(0), reports_item_failures=True)
    shard.function = lambda invoke: fails(invoke) if shard.count(do.Invoke) < 4 else taken(invoke)
    shard.write(minute(1))
    shard.pass_time(10_000)

    assert frames(shard)[1:] == [([1], 0, [0], False)] * 3
    assert shard.count(do.SaveState) == 2


def test_a_state_that_comes_with_nothing_done_is_not_kept():
    def reports_the_first(invoke: do.Invoke) -> InvocationResult:
        return taken(invoke, batchItemFailures=[{"itemIdentifier": str(positions(invoke.batch)[0])}])

    shard = windowed(reports_the_first, minute(0), minute(1), reports_item_failures=True)
    shard.pass_time(2_000)

    assert frames(shard)[1:] == [([0, 1], 0, [], False)] * (len(frames(shard)) - 1)
    assert len(frames(shard)) > 2
    assert shard.count(do.SaveState) == 0


@pytest.mark.parametrize(
    "response", [RETURNED, answered({}), answered([]), answered({"state": 7}), answered({"state": None}), answered("")]
)
def test_a_response_without_a_state_is_a_failure(response: InvocationResult):
    shard = windowed(lambda _invoke: response, minute(0), retry_attempts_max=1)
    shard.pass_time(1_000)

    assert shard.attempts() == [1, 2]
    assert shard.dropped() == [("RetryAttemptsExhausted", "0", "0", 2)]
    assert shard.reports(reports.BatchFailed)[0].error_type == "Response.State"


def test_a_state_is_stored_before_the_checkpoint_names_it_and_before_anything_else_is_done():
    shard = windowed(taken, batch_size=1)
    shard.is_storing = False
    shard.write(minute(0), minute(1))
    saving = shard.last(do.SaveState)
    assert shard.count(do.Commit) == 0
    assert shard.count(do.Invoke) == 1

    shard.states[saving.version] = saving.state
    shard.act(facts.StateSaved(saving.id, "here"))

    assert shard.stored.position == 0
    assert "here" in shard.stored.note
    assert f'"{saving.version}"' in shard.stored.note
    assert shard.count(do.Invoke) == 2


def test_a_state_is_forgotten_only_when_a_checkpoint_without_it_is_stored():
    shard = windowed(taken, minute(0))
    first = shard.last(do.SaveState).version
    shard.is_committing = False

    shard.write(minute(1))
    shard.pass_time(5_000)
    assert shard.count(do.SaveState) == 2
    assert shard.count(do.ForgetState) == 0

    shard.is_committing = True
    shard.pass_time(60_000)
    assert first in [forgotten.version for forgotten in shard.all_of(do.ForgetState)]


def test_when_all_windows_are_closed_no_state_is_left():
    shard = windowed(taken, *(minute(each, each // 2) for each in range(8)), now_ms=NOW_MS + 5 * MINUTE_MS)
    shard.rest()

    assert len(sums(shard)) == 4
    assert shard.states == {}


def test_a_store_that_fails_is_asked_again_and_the_shard_waits():
    shard = windowed(taken, batch_size=1)
    shard.is_storing = False
    shard.write(minute(0), minute(1))
    shard.act(facts.StoreFailed(shard.last(do.SaveState).id, "disk full"))
    assert shard.view.last_error == "disk full"
    assert shard.reports(reports.StoreTroubled) == [reports.StoreTroubled("disk full", 500)]
    assert shard.count(do.Invoke) == 1

    shard.is_storing = True
    shard.pass_time(500)

    assert shard.count(do.Invoke) == 2
    assert shard.all_of(do.SaveState)[0].version == shard.all_of(do.SaveState)[1].version


def test_an_answer_of_the_store_that_is_lost_is_asked_for_again():
    shard = windowed(taken)
    shard.is_storing = False
    shard.write(minute(0))
    shard.is_storing = True

    shard.pass_time(ANSWER_MS)

    assert shard.stored.position == 0


# The end of a window.


@pytest.mark.parametrize("retries", [0, 2, -1])
def test_the_last_invocation_is_repeated_until_it_succeeds_and_holds_the_shard(retries: int):
    shard = windowed(taken, minute(0), now_ms=NOW_MS + MINUTE_MS, retry_attempts_max=retries)
    shard.function = lambda invoke: FAILED if invoke.window is not None and invoke.window.is_final else taken(invoke)
    shard.write(minute(1, 1))
    shard.pass_time(10 * MINUTE_MS)

    assert shard.invoked()[:2] == [[0], []]
    assert {tuple(batch) for batch in shard.invoked()[1:]} == {()}
    assert len(shard.invoked()) > 10
    assert shard.attempts()[1:] == list(range(1, len(shard.attempts())))
    assert shard.view.blocked_since_ms == NOW_MS + MINUTE_MS
    assert shard.view.state == "retrying"

    shard.function = taken
    shard.rest()
    assert sums(shard)[-2:] == [(0, [0]), (1, [1])]


def test_the_last_invocation_waits_longer_and_longer_and_a_throttle_is_no_attempt():
    shard = windowed(taken, minute(0))
    shard.pass_time(MINUTE_MS - 1)
    shard.function = in_turn(FAILED, NOT_RUN, FAILED)
    shard.pass_time(1 + IDLE_MS)
    start_ms = shard.times_of(do.Invoke)[1]
    shard.pass_time(10_000)

    assert [at_ms - start_ms for at_ms in shard.times_of(do.Invoke)[1:]] == [0, 500, 1_000, 2_000]
    assert shard.attempts()[1:] == [1, 2, 2, 3]


@pytest.mark.parametrize("response", [RETURNED, answered({}), answered({"batchItemFailures": [{"foo": 1}]})])
def test_the_last_invocation_need_not_answer_anything(response: InvocationResult):
    shard = windowed(taken, minute(0), now_ms=NOW_MS + MINUTE_MS, reports_item_failures=True)
    shard.function = lambda _invoke: response
    shard.rest()

    assert sums(shard) == [(0, [0])]


@pytest.mark.parametrize("idle_ms", [0, IDLE_MS, 60_000])
def test_a_window_without_new_records_closes_so_long_after_its_end(idle_ms: int):
    shard = windowed(taken, minute(0), tumbling_idle_ms=idle_ms)
    shard.rest()

    assert shard.times_of(do.Invoke) == [NOW_MS, NOW_MS + MINUTE_MS + idle_ms]


def test_records_that_still_come_for_a_window_that_has_ended_keep_it_open_for_as_long():
    shard = windowed(taken, minute(0))
    shard.pass_time(MINUTE_MS + 4_000)
    shard.write(minute(1))
    shard.rest()

    assert frames(shard)[1:] == [([1], 0, [0], False), ([], 0, [0, 1], True)]
    assert shard.now_ms == NOW_MS + MINUTE_MS + 4_000 + IDLE_MS


def test_a_window_is_not_idle_while_the_source_has_more():
    shard = windowed(taken, minute(0))
    shard.log.append(minute(1))
    asked, shard.fetching = shard.fetching, None
    assert asked is not None
    shard.act(facts.RecordsFetched(asked.id, fetched(minute(1), lag=1)))
    shard.fetching = None
    shard.pass_time(MINUTE_MS + 10 * IDLE_MS)
    assert not any(is_final for _, _, _, is_final in frames(shard))


def test_a_window_is_not_idle_while_the_source_fails():
    shard = windowed(taken, minute(0))
    shard.pass_time(MINUTE_MS)
    for _ in range(8):
        asked, shard.fetching = shard.fetching, None
        assert asked is not None
        shard.act(facts.SourceFailed(asked.id, "away"))
        shard.pass_time(shard.reports(reports.SourceTroubled)[-1].retry_in_ms)
    assert shard.now_ms > NOW_MS + MINUTE_MS + 10 * IDLE_MS
    assert shard.count(do.Invoke) == 1

    shard.write(minute(1, offset_ms=30_000))
    shard.rest()

    assert sums(shard) == [(0, [0, 1])]


def fetched(*records: Record, lag: int) -> Any:
    return Fetched("orders-0", list(records), records[-1].position, 10, lag)


@pytest.mark.parametrize(("size", "is_early"), [(STATE_BYTES_MAX // 2, False), (STATE_BYTES_MAX, True)])
def test_a_state_over_a_megabyte_ends_its_window_early_and_it_opens_again_empty(size: int, *, is_early: bool):
    shard = windowed(lambda invoke: taken(invoke, size=size), minute(0), minute(1), batch_size=1)

    expected = [([0], 0, [], False), ([], 0, [0], True), ([1], 0, [], False), ([], 0, [1], True)]
    assert frames(shard) == (expected if is_early else [([0], 0, [], False), ([1], 0, [0], False)])
    finals = [invoke.window for invoke in shard.all_of(do.Invoke) if invoke.window and invoke.window.is_final]
    assert all(final.is_terminated_early for final in finals)
    assert [report.early for report in shard.reports(reports.WindowClosed)] == [True] * len(finals)
