from __future__ import annotations

from penstock.api import Message
from penstock.core.events import raw_bytes
from penstock.core.gathering import Gathering, divide_by_size
from simulation.layout import PlainLayout, event_bytes
from unit.core.driving import message

ROOMY = 1_000_000


def gathering(*messages: Message, at_ms: int = 0) -> Gathering:
    one = Gathering(PlainLayout())
    one.add(messages, at_ms)
    return one


def is_ready(one: Gathering, now_ms: int, *, batch_size: int = 10, window_ms: int = 0) -> bool:
    return one.is_ready(now_ms, batch_size=batch_size, window_ms=window_ms)


def take(one: Gathering, batch_size: int, limit: int) -> list[str]:
    messages, first = one.take(batch_size, limit)
    assert first == len(messages)
    return [each.message_id for each in messages]


def fitting(*messages: Message) -> int:
    return event_bytes(messages)


def test_nothing_is_no_batch():
    one = gathering()

    assert not is_ready(one, 1_000_000)
    assert one.since_ms is None


def test_without_a_window_whatever_came_is_a_batch():
    assert is_ready(gathering(message("a")), 0)


def test_a_window_starts_at_the_first_message():
    one = gathering(message("a"), at_ms=100)
    one.add([message("b")], 300)

    assert not is_ready(one, 599, window_ms=500)
    assert is_ready(one, 600, window_ms=500)


def test_a_full_batch_waits_for_no_window():
    assert is_ready(gathering(message("a"), message("b")), 0, batch_size=2, window_ms=500)


def test_a_batch_that_one_event_can_not_hold_waits_for_no_window():
    one = gathering(message("a", 100), message("b", 100))
    limit = fitting(message("a", 100), message("b", 100))
    one.close_if_full(limit)
    assert not is_ready(one, 0, window_ms=500)

    one.add([message("c", 1)], 0)
    one.close_if_full(limit)

    assert is_ready(one, 0, window_ms=500)
    assert take(one, 10, limit) == ["a", "b"]


def test_what_is_left_by_a_full_event_waits_no_more():
    one = gathering(message("a", 100), message("b", 100))
    limit = fitting(message("a", 100))

    assert take(one, 10, limit) == ["a"]
    assert is_ready(one, 0, window_ms=500)
    assert take(one, 10, limit) == ["b"]
    assert one.since_ms is None
    assert not one.is_closed


def test_a_batch_has_no_more_messages_than_its_size():
    one = gathering(*(message(name) for name in "abc"))

    assert take(one, 2, ROOMY) == ["a", "b"]
    assert one.messages == (message("c"),)


def test_a_message_that_is_too_large_is_taken_out_wherever_it_stands():
    one = gathering(message("a", 10), message("b", 200), message("c", 10))

    assert [too_large.message_id for too_large in one.drop_too_large(fitting(message("x", 100)))] == ["b"]
    assert take(one, 10, ROOMY) == ["a", "c"]


def test_the_limit_counts_every_byte_of_a_message_its_receipt_too():
    at_the_limit = message("a", 100)

    assert gathering(at_the_limit).drop_too_large(fitting(at_the_limit)) == []
    assert gathering(at_the_limit).drop_too_large(fitting(at_the_limit) - 1) == [at_the_limit]
    assert gathering(message("a" * 500, 0)).drop_too_large(600) == [message("a" * 500, 0)]


def test_dropping_the_only_message_leaves_nothing_that_waits():
    one = gathering(message("a", 200))

    one.drop_too_large(100)

    assert len(one) == 0
    assert one.since_ms is None


def test_clearing_gives_the_receipts_back():
    one = gathering(message("a"), message("b"))
    one.is_closed = True

    assert one.clear() == (message("a"), message("b"))
    assert len(one) == 0
    assert not one.is_closed


def test_what_is_left_of_full_batches_has_its_own_window():
    one = gathering(message("a"), message("b"), at_ms=100)
    one.add([message("c"), message("d")], 300)

    assert take(one, 3, ROOMY) == ["a", "b", "c"]
    assert one.since_ms == 300
    assert not is_ready(one, 799, window_ms=500)
    assert is_ready(one, 800, window_ms=500)


def test_what_is_taken_out_leaves_the_others_their_times():
    one = gathering(message("a"), message("b"), at_ms=100)
    one.add([message("c")], 300)

    assert one.take_out({"a/1", "b/1", "x/1"}) == [message("a"), message("b")]

    assert (one.messages, one.since_ms) == ((message("c"),), 300)


def test_its_bytes_are_those_of_what_waits():
    one = gathering(message("a", 100), message("b", 200))
    both = one.bytes_count

    one.take(1, ROOMY)

    assert both - one.bytes_count == raw_bytes(message("a", 100))
    one.clear()
    assert one.bytes_count == 0


def test_a_division_by_size_gives_what_fits_and_what_never_will():
    small, large = message("a", 10), message("b", 200)

    assert divide_by_size(PlainLayout(), [small, large], fitting(message("x", 100))) == ([small], [large])
    assert divide_by_size(PlainLayout(), [small, large], ROOMY) == ([small, large], ())
    assert divide_by_size(PlainLayout(), [large], fitting(large)) == ([large], ())
    assert divide_by_size(PlainLayout(), [large], fitting(large) - 1) == ([], [large])
