from __future__ import annotations

from itertools import count

from penstock.core.commands import Ack, Count, Nack
from penstock.core.settlement import ANSWER_MS, Settlement, Settling


class Queue:
    """A settlement with ids of its own, from 100 on."""

    def __init__(self) -> None:
        self.settlement = Settlement(back_off_ms=lambda tries: 100 * tries)
        self._ids = count(100)

    def owe(self, command: Settling, *, give_up_ms: int = 60_000, now_ms: int = 0) -> None:
        self.settlement.owe(command, give_up_ms=give_up_ms, now_ms=now_ms)

    def next(self, now_ms: int) -> list[Settling]:
        return self.settlement.next(now_ms, lambda: next(self._ids))


def test_what_is_owed_is_sent_once_and_forgotten_when_it_is_answered():
    queue = Queue()
    queue.owe(Ack(1, ("a", "b")))

    assert len(queue.settlement) == 2
    assert queue.next(0) == [Ack(1, ("a", "b"))]
    assert queue.next(1) == []
    assert queue.settlement.on_settled(1) == Ack(1, ("a", "b"))
    assert len(queue.settlement) == 0
    assert queue.settlement.deadline_ms() is None


def test_a_stale_answer_changes_nothing():
    queue = Queue()
    queue.owe(Ack(1, ("a",)))

    assert queue.settlement.on_settled(9) is None
    assert queue.settlement.on_failed(9, 0) is None
    assert len(queue.settlement) == 1


def test_what_fails_is_tried_again_after_a_growing_wait():
    queue = Queue()
    queue.owe(Nack(1, ("a",), 30_000, counted=True))
    queue.next(0)

    assert queue.settlement.on_failed(1, 0) == (Nack(1, ("a",), 30_000, counted=True), 100)
    assert queue.settlement.deadline_ms() == 100
    assert queue.next(99) == []
    assert queue.next(100) == [Nack(1, ("a",), 30_000, counted=True)]
    assert queue.settlement.on_failed(1, 100) == (Nack(1, ("a",), 30_000, counted=True), 200)


def test_a_lost_answer_makes_it_be_sent_again_under_a_new_id():
    queue = Queue()
    queue.owe(Ack(1, ("a",)))
    queue.next(0)

    assert queue.settlement.deadline_ms() == ANSWER_MS
    assert queue.next(ANSWER_MS) == [Ack(100, ("a",))]
    assert queue.settlement.on_settled(1) is None
    assert queue.settlement.on_settled(100) == Ack(100, ("a",))


def test_a_failure_once_the_lease_has_lapsed_is_the_last():
    queue = Queue()
    queue.owe(Ack(1, ("a",)), give_up_ms=1_000)
    queue.next(0)

    # Until then it is ours, and what is behind it in its group may not overtake it.
    assert queue.settlement.on_failed(1, 950) == (Ack(1, ("a",)), 50)
    assert queue.next(1_000) == [Ack(1, ("a",))]

    assert queue.settlement.on_failed(1, 1_000) == (Ack(1, ("a",)), None)
    assert len(queue.settlement) == 0


def test_an_answer_that_is_missing_once_the_lease_has_lapsed_is_waited_for_no_more():
    queue = Queue()
    queue.owe(Ack(1, ("a",)), give_up_ms=ANSWER_MS)
    queue.next(0)

    assert queue.settlement.give_up(ANSWER_MS - 1) == []
    assert queue.settlement.give_up(ANSWER_MS) == [Ack(1, ("a",))]
    assert queue.next(ANSWER_MS) == []
    assert queue.settlement.deadline_ms() is None


def test_a_count_settles_nothing_and_is_tried_again():
    queue = Queue()
    queue.owe(Count(1, ("a",), 2))
    queue.next(0)
    assert len(queue.settlement) == 0

    assert queue.settlement.on_failed(1, 0) == (Count(1, ("a",), 2), 100)

    assert queue.next(100) == [Count(1, ("a",), 2)]
