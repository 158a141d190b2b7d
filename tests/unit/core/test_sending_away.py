from __future__ import annotations

from itertools import count

from penstock.core.commands import SendAway
from penstock.core.dead_letter import DeadLetter
from penstock.core.sending_away import ANSWER_MS, IN_FLIGHT_MAX, SendingAway
from unit.core.driving import message


def letter(name: str) -> DeadLetter:
    return DeadLetter(
        message=message(name, receive_count=3),
        condition="MaximumReceiveCountExceeded",
        runs=3,
        error_type="E",
        error_message="m",
        first_received_ms=0,
        ended_ms=0,
    )


class Away:
    """Letters on their way, with ids of their own; each failure waits 100 ms longer."""

    def __init__(self, *names: str) -> None:
        self.away = SendingAway(back_off_ms=lambda tries: 100 * tries)
        self._ids = count(1)
        self.away.add(map(letter, names), 0)

    def next(self, now_ms: int) -> list[SendAway]:
        return self.away.next(now_ms, lambda: next(self._ids))

    def names(self, now_ms: int) -> list[str]:
        return [command.letter.message.message_id for command in self.next(now_ms)]

    def fail(self, command: SendAway, now_ms: int, *, refused: bool = False) -> int | None:
        failed = self.away.on_failed(command.id, "no", refused=refused, now_ms=now_ms)
        return None if failed is None else failed[1]


def test_letters_are_sent_a_few_at_a_time():
    away = Away(*(f"m{number}" for number in range(IN_FLIGHT_MAX + 2)))
    sent = away.next(0)

    assert len(sent) == IN_FLIGHT_MAX
    assert away.next(0) == []
    assert away.away.on_delivered(sent[0].id) == letter("m0")
    assert away.names(0) == [f"m{IN_FLIGHT_MAX}"]
    assert len(away.away) == IN_FLIGHT_MAX + 1


def test_a_target_that_is_away_makes_all_wait_longer_and_longer():
    away = Away("a", "b")
    first, second = away.next(0)

    assert away.fail(first, 0) == 100
    assert away.fail(second, 20) == 80, "that is one failure of the target"
    assert away.away.deadline_ms() == 100
    assert away.next(99) == []
    again, _ = away.next(100)
    assert away.fail(again, 100) == 200


def test_one_delivery_ends_the_waiting():
    away = Away("a", "b")
    first, second = away.next(0)
    away.fail(first, 0)

    away.away.on_delivered(second.id)

    assert away.names(1) == ["a"]


def test_a_refused_letter_waits_by_itself_and_the_others_go_on():
    away = Away("a")
    (first,) = away.next(0)
    assert away.fail(first, 0, refused=True) == 100
    away.away.add([letter("b")], 10)

    assert away.names(10) == ["b"]
    (again,) = away.next(100)
    assert again.letter == letter("a")
    assert away.fail(again, 100, refused=True) == 200


def test_a_refusal_is_shown_before_what_only_waits():
    away = Away("a", "b")
    first, second = away.next(0)
    assert away.away.view() is None
    away.fail(first, 0)
    away.fail(second, 0, refused=True)

    shown = away.away.view()

    assert shown is not None
    assert (shown.first, shown.condition, shown.refused, shown.tries, shown.next_try_ms, shown.last_error) == (
        "b", "MaximumReceiveCountExceeded", True, 1, 100, "no",
    )  # fmt: skip


def test_a_letter_without_an_answer_is_sent_again_under_a_new_id():
    away = Away("a")
    (first,) = away.next(0)

    (again,) = away.next(ANSWER_MS)

    assert (again.letter, again.id != first.id) == (first.letter, True)
    assert away.away.on_delivered(first.id) is None
    assert away.fail(first, ANSWER_MS) is None
    assert away.away.on_delivered(again.id) == first.letter
    assert away.away.deadline_ms() is None


def test_what_has_failed_can_be_dropped_and_what_is_on_its_way_stays():
    away = Away("a", "b")
    first, _ = away.next(0)
    assert away.away.drop_failed() == []
    away.fail(first, 0, refused=True)

    assert away.away.drop_failed() == [letter("a")]
    assert len(away.away) == 1


def test_clearing_gives_all_of_them_and_what_is_to_be_ended():
    away = Away("a", "b")
    first, second = away.next(0)
    away.fail(first, 0)

    letters, sent = away.away.clear()

    assert sorted(one.message.message_id for one in letters) == ["a", "b"]
    assert sent == [second.id]
    assert len(away.away) == 0
