from __future__ import annotations

from itertools import count

from penstock.api import Start
from penstock.core.commands import Fetch, Resolve
from penstock.core.reading import FETCH_ANSWER_MS, RESOLVE_ANSWER_MS, Reading

ROOM = (100, 1000)


def reading() -> Reading:
    ids = count(1)
    return Reading(back_off_ms=lambda tries: 100 * tries, take_id=lambda: next(ids))


def test_one_thing_is_asked_at_a_time():
    one = reading()

    assert one.fetch(7, ROOM, 0) == Fetch(1, 7, 100, 1000)
    assert one.fetch(7, ROOM, 10) is None
    assert one.take_answer(1)
    assert one.fetch(9, ROOM, 20) == Fetch(2, 9, 100, 1000)


def test_nothing_is_asked_where_there_is_no_room():
    assert reading().fetch(7, None, 0) is None


def test_a_start_is_asked_for_once():
    one = reading()

    assert one.resolve(Start("LATEST"), 0) == Resolve(1, Start("LATEST"))
    assert one.resolve(Start("LATEST"), 1) is None
    assert one.deadline_ms() == RESOLVE_ANSWER_MS


def test_an_answer_that_never_comes_is_asked_for_again_under_a_new_id():
    one = reading()
    one.fetch(7, ROOM, 0)

    assert one.deadline_ms() == FETCH_ANSWER_MS
    assert one.fetch(7, ROOM, FETCH_ANSWER_MS) == Fetch(2, 7, 100, 1000)
    assert not one.take_answer(1)
    assert one.take_answer(2)
    assert not one.take_answer(2)


def test_an_unanswered_question_is_forgotten_where_there_is_no_room_any_more():
    one = reading()
    one.fetch(7, ROOM, 0)

    assert one.fetch(7, None, FETCH_ANSWER_MS) is None
    assert one.deadline_ms() is None


def test_a_failure_is_followed_by_a_growing_wait():
    one = reading()
    one.fetch(7, ROOM, 0)

    assert one.take_failure(1, "away", 0) == ("read", 100)
    assert one.deadline_ms() == 100
    assert one.fetch(7, ROOM, 99) is None
    assert one.fetch(7, ROOM, 100) == Fetch(2, 7, 100, 1000)
    assert one.take_failure(2, "away", 100) == ("read", 200)


def test_an_answer_ends_the_growing_and_the_trouble():
    one = reading()
    one.fetch(7, ROOM, 0)
    one.take_failure(1, "away", 0)
    assert one.last_error == "away"
    one.fetch(7, ROOM, 100)

    one.take_answer(2)

    assert one.last_error == ""
    one.fetch(7, ROOM, 200)
    assert one.take_failure(3, "away", 200) == ("read", 100)


def test_a_failure_of_something_else_changes_nothing():
    one = reading()
    one.fetch(7, ROOM, 0)

    assert one.take_failure(5, "away", 0) is None
    assert one.retry_ms is None
