from __future__ import annotations

import pytest

from penstock.api import NOTE_BYTES_MAX
from penstock.core import note
from penstock.core.note import Note, UnknownNote


@pytest.mark.parametrize("end", [0, 41, 2**63, 10**63])
def test_a_note_is_read_as_it_was_written(end: int):
    assert note.read(note.write(Note(3, end))) == Note(3, end)


def test_a_note_is_short_printable_ascii():
    text = note.write(Note(10_000, 10**63))

    assert text.isascii()
    assert text.isprintable()
    assert len(text) <= NOTE_BYTES_MAX


@pytest.mark.parametrize(
    "text", ["", "someone else's", "{}", "[1]", "17", '{"a":1,"e":5}', '{"v":"x"}', "\x00", '{"v":1}']
)
def test_a_note_that_is_not_ours_is_no_note(text: str):
    assert note.read(text) is None


@pytest.mark.parametrize("attempts", [0, -4])
def test_a_note_without_an_attempt_says_nothing(attempts: int):
    assert note.read(f'{{"v":1,"a":{attempts},"e":9}}') is None


@pytest.mark.parametrize("text", ['{"v":2}', '{"v":2,"a":[[0,1],[2,3]],"e":"none"}', '{"v":2,"a":1,"e":5}'])
def test_a_newer_note_is_known_by_its_version_whatever_else_is_in_it(text: str):
    assert note.read(text) == UnknownNote(2)


def test_what_a_note_of_our_version_holds_besides_is_passed_over():
    assert note.read('{"v":1,"a":2,"e":7,"later":true}') == Note(2, 7)
