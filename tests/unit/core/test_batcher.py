from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from penstock.api import Fetched, Record
from penstock.core.batch import RecordBatch
from penstock.core.batcher import Batcher
from simulation.layout import FRAME_BYTES, RECORD_FRAME_BYTES, PlainLayout, event_bytes
from unit.core.driving import positions, record

LIMITS = {"batch_size": 10, "batching_window_ms": 0, "event_bytes_max": 1_000_000}


def batcher(after: int = -1, **limits: int) -> Batcher:
    return Batcher(PlainLayout(), after=after, **(LIMITS | limits))


def add(to: Batcher, *found: int | Record, at_ms: int = 0, position: int | None = None) -> None:
    records = [record(one) if isinstance(one, int) else one for one in found]
    reached = position if position is not None else records[-1].position
    to.add(Fetched("orders-0", records, reached, sum(len(one.value or b"") for one in records)), at_ms)


def take_all(of: Batcher, now_ms: int = 0) -> list[list[int]]:
    taken = []
    while len(of) and of.is_ready(now_ms):
        taken.append(positions(of.take()))
    return taken


def sized(*sizes: int) -> list[Record]:
    return [record(position, size) for position, size in enumerate(sizes)]


def timed(position: int, timestamp_ms: int) -> Record:
    return Record(position, bytes(10), None, timestamp_ms)


def fitting(*sizes: int) -> int:
    """Give the limit that an event of records of these sizes just keeps."""
    return event_bytes(sized(*sizes))


def test_nothing_is_no_batch():
    one = batcher()
    add(one, position=7)

    assert not one.is_ready(1_000_000)
    assert one.reached == 7
    assert one.deadline_ms() is None


def test_without_a_window_whatever_is_there_is_a_batch_at_once():
    one = batcher()
    add(one, 0, 1, 2)

    assert one.is_ready(0)
    assert positions(one.take()) == [0, 1, 2]
    assert len(one) == 0


def test_a_batch_has_no_more_records_than_its_size():
    one = batcher(batch_size=4)
    add(one, *range(6))
    add(one, *range(6, 11))

    assert take_all(one) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_a_window_starts_at_the_first_record():
    one = batcher(batching_window_ms=500)
    add(one, 0, at_ms=1_000)
    add(one, 1, at_ms=1_400)

    assert one.deadline_ms() == 1_500
    assert not one.is_ready(1_499)
    assert one.is_ready(1_500)
    assert positions(one.take()) == [0, 1]


def test_the_next_window_starts_at_the_first_record_that_is_left():
    one = batcher(batch_size=2, batching_window_ms=500)
    add(one, 0, 1, at_ms=1_000)
    add(one, 2, at_ms=1_200)

    one.take()

    assert one.deadline_ms() == 1_700


def test_a_full_batch_waits_for_no_window():
    one = batcher(batch_size=2, batching_window_ms=500)
    add(one, 0, 1)

    assert one.is_ready(0)


def test_a_batch_is_closed_by_the_size_of_its_event():
    one = batcher(batching_window_ms=500, event_bytes_max=fitting(100, 100))
    add(one, *sized(100, 100, 100))

    assert one.is_ready(0)
    assert positions(one.take()) == [0, 1]


@pytest.mark.parametrize(("spare", "count"), [(-1, 1), (0, 2), (1, 2)])
def test_the_limit_of_the_event_counts_every_byte(spare: int, count: int):
    one = batcher(event_bytes_max=fitting(100, 100) + spare)
    add(one, *sized(100, 100))

    assert len(one.take().records) == count


def test_what_a_closed_event_leaves_behind_waits_no_more():
    one = batcher(batching_window_ms=500, event_bytes_max=fitting(100, 100))
    add(one, *sized(100, 100, 100))

    one.take()

    assert one.is_ready(0)
    assert positions(one.take()) == [2]
    add(one, 3, at_ms=100)
    assert not one.is_ready(599)


def test_a_record_that_is_too_large_stands_alone_and_says_so():
    one = batcher(event_bytes_max=fitting(100))
    add(one, *sized(10, 101, 10))

    assert [one.peek().too_large, positions(one.take())] == [False, [0]]
    assert [one.peek().too_large, positions(one.take())] == [True, [1]]
    assert [one.peek().too_large, positions(one.take())] == [False, [2]]


def test_a_record_that_is_too_large_leaves_the_window_of_the_others_alone():
    one = batcher(batching_window_ms=500, event_bytes_max=fitting(100))
    add(one, record(0, 101), record(1, 10))

    assert one.take().too_large

    assert not one.is_ready(499)
    assert one.is_ready(500)


def test_the_checkpoint_of_a_batch_covers_positions_without_records_behind_it():
    one = batcher(batch_size=2)
    add(one, 3, 4, position=9)
    add(one, 12, 13, 14, position=20)

    assert [one.take().position for _ in range(3)] == [9, 13, 20]


def test_positions_without_records_that_come_later_belong_to_the_batch_before():
    one = batcher(batching_window_ms=500)
    add(one, 3)
    assert one.peek().position == 3

    add(one, position=8)

    assert one.take().position == 8


def test_a_batch_that_was_tried_before_is_built_to_the_same_end_whatever_the_size_is_now():
    one = batcher(batch_size=2, batching_window_ms=500)
    one.resume([4])
    add(one, 0, 1, 2)
    assert not one.is_ready(10_000)
    one.peek()

    add(one, 3, 4, 5)

    assert one.is_ready(0)
    assert positions(one.take()) == [0, 1, 2, 3, 4]
    assert not one.is_resuming


def test_what_follows_a_resumed_batch_has_its_own_window():
    one = batcher(batching_window_ms=500)
    one.resume([1])
    add(one, 0, 1, 2)

    one.take()

    assert not one.is_ready(499)
    assert one.is_ready(500)


def test_a_resumed_batch_whose_records_are_partly_gone_is_what_is_left_of_it():
    one = batcher()
    one.resume([4])
    add(one, 3, 4, 5)

    assert positions(one.take()) == [3, 4]


def test_a_resumed_batch_that_is_gone_is_not_mistaken_for_the_next_one():
    one = batcher(batch_size=2)
    one.resume([4])
    add(one, 7, 8, 9)

    assert not one.is_resuming
    assert positions(one.take()) == [7, 8]


def test_a_resumed_batch_that_is_gone_with_nothing_behind_it_is_forgotten():
    one = batcher()
    one.resume([4])
    assert not one.skip_resumed()
    add(one, position=3)
    assert not one.skip_resumed()
    add(one, position=4)

    assert one.skip_resumed()
    assert not one.is_resuming


def test_other_settings_hold_from_the_next_batch_on():
    one = batcher(batching_window_ms=500)
    add(one, 0, 1, 2)
    assert not one.is_ready(0)
    assert positions(one.peek()) == [0, 1, 2]

    one.change(**(LIMITS | {"batch_size": 2}))

    assert take_all(one) == [[0, 1], [2]]


def test_a_batch_that_waits_in_vain_is_closed_before_its_window():
    one = batcher(batching_window_ms=500)
    add(one, 0, 1)
    assert not one.is_ready(0)

    one.waits_in_vain = True

    assert one.is_ready(0)


def test_parts_that_were_split_off_before_are_built_one_after_another():
    one = batcher(batch_size=2)
    one.resume([1, 4])
    add(one, 0, 1, 2)

    assert positions(one.take()) == [0, 1]
    assert not one.is_ready(10_000)
    add(one, 3, 4, 5)
    assert positions(one.take()) == [2, 3, 4]
    assert not one.is_resuming


def test_a_batch_ends_before_the_first_record_of_the_next_window():
    one = batcher(batching_window_ms=500)
    one.end_before(1_000)
    add(one, timed(0, 999), timed(1, 400), timed(2, 1_000), timed(3, 2))

    assert one.is_ready(0)
    assert positions(one.take()) == [0, 1]
    assert not one.is_ready(10_000)

    one.end_before(None)

    assert positions(one.take()) == [2, 3]


def test_what_is_taken_back_comes_in_order_and_leaves_the_rest_as_it_was():
    one = batcher(batching_window_ms=500)
    add(one, 0, 1, 2)
    add(one, 3, 4, at_ms=100)

    assert [each.position for each in one.take_back(1)] == [2, 3, 4]

    assert one.reached == 1
    assert one.bytes_count == 20
    assert one.deadline_ms() == 500
    assert take_all(one, 500) == [[0, 1]]


def test_what_was_taken_is_not_counted_as_waiting():
    one = batcher(batch_size=2)
    add(one, *range(5))
    one.take()

    assert len(one) == 3
    one.take()
    one.take()
    assert one.bytes_count == 0


@pytest.mark.parametrize(("found", "position"), [([5], 5), ([6], 5), ([], 4)])
def test_a_source_that_goes_back_is_caught(found: Sequence[int], position: int):
    one = batcher(after=5)

    with pytest.raises(AssertionError, match="a source gave"):
        add(one, *found, position=position)


def test_a_single_record_is_looked_at_only_when_the_limit_is_near():
    class Counting(PlainLayout):
        looks = 0

        def record_bytes(self, one: Any) -> int:
            self.looks += 1
            return super().record_bytes(one)

    layout = Counting()
    one = Batcher(layout, after=-1, **(LIMITS | {"event_bytes_max": FRAME_BYTES + 100 * RECORD_FRAME_BYTES}))
    add(one, 0, 1, 2, 3)

    assert isinstance(one.take(), RecordBatch)
    assert layout.looks == 0
