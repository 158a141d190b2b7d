from __future__ import annotations

from itertools import count

import pytest

from penstock.core import commands as do
from penstock.core.events.window import WindowFrame
from penstock.core.note import WindowNote
from penstock.core.tumbling import ANSWER_MS, EMPTY_STATE, STATE_BYTES_MAX, Tumbling
from penstock.core.views import WindowView
from unit.core.staging import at

MINUTE_MS = 60_000
STATE = b'{"sum":7}'
OPEN = WindowNote(60_000, 120_000, "here", "v1")


def tumbling(note: WindowNote | None = None) -> Tumbling:
    ids = count(1)
    return Tumbling(note, now_ms=0, take_id=lambda: next(ids))


def opened(timestamp_ms: int = 70_000, *, unix_ms: int = 80_000) -> Tumbling:
    one = tumbling()
    one.open_for(at(0, timestamp_ms), MINUTE_MS, unix_ms)
    return one


def back_off_ms(tries: int) -> int:
    return 500 * tries


def save(one: Tumbling, state: bytes, version: str) -> None:
    """Bring a state into the store."""
    assert one.begin_save(state, version, 0)
    asked = one.next(0)
    assert isinstance(asked, do.SaveState)
    assert one.on_saved(asked.id, "here")
    one.adopt()


# Which window is open.


def test_there_is_no_window_before_the_first_record():
    one = tumbling()

    assert (one.is_open, one.note(), one.view(), one.deadline_ms()) == (False, None, None, None)
    assert one.is_ready


@pytest.mark.parametrize(
    ("timestamp_ms", "size_ms", "window"),
    [
        (0, 60_000, (0, 60_000)),
        (59_999, 60_000, (0, 60_000)),
        (60_000, 60_000, (60_000, 120_000)),
        (1_600_000_123_456, 120_000, (1_600_000_080_000, 1_600_000_200_000)),
        (1_600_000_123_456, 900_000, (1_599_999_300_000, 1_600_000_200_000)),
        (1_600_000_123_456, 1_000, (1_600_000_123_000, 1_600_000_124_000)),
    ],
)
def test_a_window_is_aligned_to_the_clock_and_is_that_of_the_record(
    timestamp_ms: int, size_ms: int, window: tuple[int, int]
):
    one = tumbling()

    one.open_for(at(0, timestamp_ms), size_ms, timestamp_ms + 1)

    assert (one.start_ms, one.end_ms) == window
    assert one.state == EMPTY_STATE


def test_a_record_from_the_future_opens_the_window_of_now():
    assert opened(500_000, unix_ms=80_000).end_ms == 120_000


def test_a_record_that_is_late_opens_the_window_behind_the_newest_that_is_closed():
    one = opened()
    one.close()

    one.open_for(at(1, 10_000), MINUTE_MS, 300_000)

    assert (one.start_ms, one.end_ms) == (120_000, 180_000)


def test_windows_without_records_are_passed_over():
    one = opened()
    one.close()

    one.open_for(at(1, 400_000), MINUTE_MS, 500_000)

    assert one.start_ms == 360_000


def test_another_length_holds_from_the_next_window_on_and_none_overlaps():
    one = opened()
    one.close()

    one.open_for(at(1, 125_000), 90_000, 130_000)

    # The one that the clock would say began at 90,000.
    assert (one.start_ms, one.end_ms) == (120_000, 180_000)


@pytest.mark.parametrize(
    ("first_ms", "unix_ms", "is_over"),
    [
        (None, 500_000, False),
        (119_999, 500_000, False),
        (120_000, 119_999, False),
        (120_000, 120_000, True),
        (10_000, 500_000, False),
        (900_000, 200_000, True),
    ],
)
def test_a_window_is_over_when_its_end_is_past_and_the_next_record_beyond_it(
    first_ms: int | None, unix_ms: int, *, is_over: bool
):
    assert opened().is_over(at(1, first_ms) if first_ms is not None else None, unix_ms) == is_over


@pytest.mark.parametrize(("unix_ms", "ends"), [(119_999, None), (120_000, 120_000), (500_000, 120_000)])
def test_batches_end_with_the_window_once_that_is_past(unix_ms: int, ends: int | None):
    assert opened().ends_batches_at(unix_ms) == ends
    assert tumbling().ends_batches_at(unix_ms) is None


def test_an_invocation_sees_the_window_its_state_and_whether_it_is_the_last():
    one = opened()
    save(one, STATE, "v1")

    assert one.frame() == WindowFrame(start_ms=60_000, end_ms=120_000, state=STATE)
    assert one.frame(is_final=True) == WindowFrame(start_ms=60_000, end_ms=120_000, state=STATE, is_final=True)


# Too large a state.


@pytest.mark.parametrize(("over", "is_early"), [(-1, False), (0, False), (1, True)])
def test_a_state_beyond_a_megabyte_ends_its_window_early(over: int, *, is_early: bool):
    one = opened()

    save(one, bytes(STATE_BYTES_MAX + over), "v1")

    assert one.is_over(None, 70_000) == is_early
    assert one.frame(is_final=True).is_terminated_early == is_early
    assert not one.frame().is_terminated_early


def test_after_an_early_end_the_same_window_opens_again_and_is_empty():
    one = opened()
    save(one, bytes(STATE_BYTES_MAX + 1), "v1")
    one.close()
    assert not one.is_open

    one.open_for(at(1, 75_000), MINUTE_MS, 80_000)

    assert (one.start_ms, one.end_ms, one.state) == (60_000, 120_000, EMPTY_STATE)
    assert not one.is_over(None, 80_000)


def test_a_window_that_is_to_end_early_ends_early_whatever_state_comes_until_then():
    one = opened()
    one.end_early()

    save(one, STATE, "v1")

    assert one.is_over(None, 70_000)


# Saving.


def test_a_state_is_stored_under_its_new_version_and_named_once_what_it_counts_is_settled():
    one = opened()

    assert one.begin_save(STATE, "v1", 1_000)

    assert not one.is_ready
    assert one.next(1_000) == do.SaveState(1, "v1", STATE)
    assert one.next(1_001) is None
    assert (one.state, one.note()) == (EMPTY_STATE, WindowNote(60_000, 120_000))
    assert one.on_saved(1, "here")
    assert one.is_ready
    assert (one.state, one.note()) == (STATE, WindowNote(60_000, 120_000))
    one.adopt()
    assert one.note() == OPEN


def test_a_state_that_is_as_it_was_is_not_stored_again():
    one = opened()
    assert not one.begin_save(EMPTY_STATE, "v1", 0)
    save(one, STATE, "v2")

    assert not one.begin_save(STATE, "v3", 0)
    assert one.is_ready


def test_a_store_that_fails_is_asked_again_with_a_growing_wait():
    one = opened()
    one.begin_save(STATE, "v1", 0)
    one.next(0)

    assert one.on_failed(1, "disk full", back_off_ms, 100) == 500
    assert (one.next(599), one.deadline_ms(), one.last_error) == (None, 600, "disk full")
    assert one.next(600) == do.SaveState(2, "v1", STATE)
    assert one.on_failed(2, "disk full", back_off_ms, 700) == 1_000
    assert one.on_failed(2, "disk full", back_off_ms, 700) is None
    assert one.next(1_700) == do.SaveState(3, "v1", STATE)
    assert one.on_saved(3, "here")
    assert (one.last_error, one.deadline_ms()) == ("", None)


def test_an_answer_that_is_lost_is_asked_for_again_and_changes_nothing_when_it_comes_late():
    one = opened()
    one.begin_save(STATE, "v1", 0)
    one.next(0)
    assert one.deadline_ms() == ANSWER_MS

    assert one.next(ANSWER_MS) == do.SaveState(2, "v1", STATE)

    assert not one.on_saved(1, "here")
    assert one.on_failed(1, "away", back_off_ms, ANSWER_MS) is None
    assert not one.is_ready
    assert one.on_saved(2, "here")


# Loading.


def test_an_open_window_goes_on_with_the_state_that_the_checkpoint_names():
    one = tumbling(OPEN)
    assert not one.is_ready
    assert one.next(0) == do.LoadState(1, "here", "v1")

    one.on_loaded(1, STATE)

    assert one.is_ready
    assert one.frame() == WindowFrame(start_ms=60_000, end_ms=120_000, state=STATE)
    assert one.note() == OPEN


def test_an_open_window_without_a_state_needs_no_store():
    one = tumbling(WindowNote(60_000, 120_000))

    assert (one.is_ready, one.is_open, one.state) == (True, True, EMPTY_STATE)


def test_a_window_that_was_ending_early_still_is():
    one = tumbling(WindowNote(60_000, 120_000, is_closing_early=True))

    assert one.is_over(None, 70_000)


def test_a_window_that_is_closed_is_never_opened_again():
    one = tumbling(WindowNote(120_000))
    assert not one.is_open

    one.open_for(at(0, 10_000), MINUTE_MS, 500_000)

    assert one.start_ms == 120_000


def test_a_state_that_is_missing_is_never_taken_for_an_empty_one():
    one = tumbling(OPEN)
    one.next(0)

    assert one.on_missing(1, "there is no v1")

    assert one.lost_because == "there is no v1"
    assert not one.is_ready
    assert (one.next(1_000_000), one.deadline_ms()) == (None, None)
    assert not one.on_missing(1, "again")


def test_a_load_that_fails_is_tried_again():
    one = tumbling(OPEN)
    one.next(0)
    one.on_failed(1, "locked", back_off_ms, 0)

    assert one.next(500) == do.LoadState(2, "here", "v1")


# Forgetting.


def test_a_version_is_forgotten_when_a_checkpoint_that_does_not_name_it_is_stored():
    one = opened()
    save(one, STATE, "v1")
    one.on_settled(1)
    save(one, b'{"sum":8}', "v2")
    assert one.take_forgotten(lambda number: number <= 1) == []
    one.on_settled(2)

    assert one.take_forgotten(lambda number: number <= 1) == []
    assert one.take_forgotten(lambda number: number <= 2) == ["v1"]
    assert one.take_forgotten(lambda number: number <= 2) == []


def test_versions_that_were_replaced_between_two_checkpoints_are_all_forgotten():
    one = opened()
    for number in range(1, 4):
        save(one, b"%d" % number, f"v{number}")
    one.close()
    one.on_settled(1)

    assert one.take_forgotten(lambda _number: True) == ["v1", "v2", "v3"]


def test_a_window_without_a_state_leaves_nothing_to_forget():
    one = opened()
    one.close()
    one.on_settled(1)

    assert one.take_forgotten(lambda _number: True) == []
    assert one.note() == WindowNote(120_000)


def test_there_is_nothing_to_end_early_where_no_window_is_open():
    one = tumbling()
    one.end_early()

    one.open_for(at(0, 70_000), MINUTE_MS, 80_000)

    assert not one.is_over(None, 80_000)


def test_it_shows_the_open_window():
    one = opened()
    save(one, STATE, "v1")

    assert one.view() == WindowView(start_ms=60_000, end_ms=120_000, state_bytes=len(STATE), is_closing=False)
