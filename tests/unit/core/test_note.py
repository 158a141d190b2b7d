from __future__ import annotations

import pytest

from penstock.api import NOTE_BYTES_MAX
from penstock.core import note
from penstock.core.note import LaneNote, Note, UnknownNote, WindowNote

WINDOW = WindowNote(1_700_000_000_000, 1_700_000_060_000, "9f6a" * 9, "c0ffee00" * 4, is_closing_early=True)
FEED = 2**104
"""A position as large as a Redis entry's id is when it is written as a number."""


def of(*lanes: LaneNote, window: WindowNote | None = None) -> Note:
    return Note(lanes, window)


@pytest.mark.parametrize("position", [-1, 41, 2**63, 10**55])
@pytest.mark.parametrize(
    "lanes",
    [
        (LaneNote(0, 3, ends=(1,)),),
        (LaneNote(0), LaneNote(7), LaneNote(35)),
        (LaneNote(0, 2, was_response=True, ends=(5,)), LaneNote(3, 0, ends=(9, 12, 40_000))),
    ],
)
@pytest.mark.parametrize("window", [None, WINDOW, WindowNote(0, 60_000), WindowNote(60_000)])
def test_a_note_is_read_as_it_was_written(position: int, lanes: tuple[LaneNote, ...], window: WindowNote | None):
    moved = tuple(
        LaneNote(
            position + lane.settled, lane.attempts_ended, lane.was_response, tuple(position + e for e in lane.ends)
        )
        for lane in lanes
    )

    assert note.read(note.write(Note(moved, window), position), position) == Note(moved, window)


def test_a_shard_with_nothing_to_say_has_no_note():
    assert note.write(of(LaneNote(7), LaneNote(7)), 7) == ""


def test_a_note_of_ten_lanes_that_are_all_split_is_short_printable_ascii():
    lanes = [LaneNote(7 + lane, 9_999, ends=tuple(range(20 + lane, 34 + lane))) for lane in range(10)]

    text = note.write(of(*lanes), 7)

    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= NOTE_BYTES_MAX
    assert note.read(text, 7) == of(*lanes)


def test_parts_that_a_note_has_no_room_for_are_left_out_from_the_end():
    lanes = tuple(LaneNote(FEED + lane, 9_999, ends=tuple(FEED * step for step in range(2, 16))) for lane in range(10))

    read = note.read(note.write(Note(lanes), 7), 7)

    assert isinstance(read, Note)
    assert len(note.write(Note(lanes), 7)) <= NOTE_BYTES_MAX
    for before, after in zip(lanes, read.lanes, strict=True):
        assert (after.settled, after.attempts_ended) == (before.settled, before.attempts_ended)
        assert 1 <= len(after.ends) < len(before.ends)
        assert after.ends == before.ends[: len(after.ends)]


@pytest.mark.parametrize(
    "text",
    [
        *("", "someone else's", "{}", "[1]", "17", '{"a":1,"e":5}', '{"v":"x"}', "\x00", '{"v":1}', '{"v":2}'),
        *(
            '{"v":2,"l":["-1"]}',
            '{"v":2,"l":["0:x:1"]}',
            '{"v":2,"l":["0:1"]}',
            '{"v":2,"w":["0"]}',
            '{"v":2,"l":[""]}',
        ),
    ],
)
def test_a_note_that_is_not_ours_is_no_note(text: str):
    assert note.read(text, 0) is None


def test_a_note_of_the_first_version_is_read():
    assert note.read('{"v":1,"a":2,"e":7,"later":true}', 3) == of(LaneNote(3, 2, ends=(7,)))


@pytest.mark.parametrize("attempts", [0, -4])
def test_a_note_of_the_first_version_without_an_attempt_says_nothing(attempts: int):
    assert note.read(f'{{"v":1,"a":{attempts},"e":9}}', 0) is None


@pytest.mark.parametrize("text", ['{"v":3}', '{"v":3,"l":[[0,1],[2,3]],"e":"none"}', '{"v":3,"a":1,"e":5}'])
def test_a_newer_note_is_known_by_its_version_whatever_else_is_in_it(text: str):
    assert note.read(text, 0) == UnknownNote(3)


def test_what_a_note_of_our_version_holds_besides_is_passed_over():
    assert note.read('{"v":2,"l":["0:1r:a"],"later":true}', 5) == of(LaneNote(5, 1, was_response=True, ends=(15,)))
