from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from penstock.api import Checkpoint, Fetched, Record, Start
from penstock.core import facts
from penstock.core.lanes import RECORDS_AHEAD_LEAST, Lanes
from penstock.core.note import LaneNote, Note
from penstock.core.progress import Progress
from penstock.core.settings import StreamSettings
from penstock.core.stream_context import StreamContext
from simulation.layout import PlainLayout
from unit.core.driving import FAILED, no_jitter
from unit.core.staging import StagedStream, at, fail, go_on, in_turn

AHEAD = RECORDS_AHEAD_LEAST


def lanes_of(*, buffer_bytes_max: int = 1_000_000, note: Note | None = None, **settings: Any) -> Lanes:
    context = StreamContext(
        StreamSettings(start=Start("TRIM_HORIZON"), **settings),
        PlainLayout(),
        jitter=no_jitter,
        request_ids=map(str, count(1)),
    )
    progress = Progress(Checkpoint(-1), is_stored=True, back_off_ms=context.back_off_ms)
    return Lanes(context, progress, position=-1, note=note, buffer_bytes_max=buffer_bytes_max, now_ms=0)


def add(lanes: Lanes, *records: Record) -> None:
    size = sum(len(record.value or b"") for record in records)
    lanes.add(Fetched("orders-0", list(records), records[-1].position, size), 0)


def many(first: int, stop: int, *, lane: int = 0, factor: int = 1, size: int = 0) -> list[Record]:
    """Make records without a key that all go to one lane."""
    return [at(position * factor + lane, size=size) for position in range(first, stop)]


def write_singly(shard: StagedStream, records: list[Record]) -> None:
    for record in records:
        shard.write(record)


# With one lane: while half of what may wait is there.


@pytest.mark.parametrize(("batch_size", "records"), [(1, AHEAD), (10, AHEAD), (500, AHEAD), (5_000, 10_000)])
def test_it_reads_ahead_two_batches_or_a_list_worth_a_round_trip(batch_size: int, records: int):
    assert lanes_of(batch_size=batch_size).room() == (records, 1_000_000)


@pytest.mark.parametrize(("waiting", "room"), [(0, 100), (50, 50), (51, None), (100, None)])
def test_it_reads_no_further_while_half_of_its_bytes_wait(waiting: int, room: int | None):
    lanes = lanes_of(buffer_bytes_max=100)
    add(lanes, at(0, size=waiting))

    assert lanes.room() == (None if room is None else (AHEAD - 1, room))


@pytest.mark.parametrize(("waiting", "room"), [(AHEAD // 2, AHEAD // 2), (AHEAD // 2 + 1, None), (AHEAD, None)])
def test_it_reads_no_further_while_half_of_its_records_wait(waiting: int, room: int | None):
    lanes = lanes_of(batch_size=1)
    add(lanes, *many(0, waiting))

    assert lanes.room() == (None if room is None else (room, 1_000_000))


def test_what_the_function_has_waits_no_longer():
    shard = StagedStream(go_on, log=many(0, AHEAD), batch_size=AHEAD // 2)

    assert shard.view.buffered == AHEAD // 2
    assert shard.fetching is not None
    assert shard.fetching.records_max == AHEAD // 2


# With several: while a tenth is there, if a lane wants for records.


def test_with_lanes_there_is_as_much_room_for_each_in_records_but_not_in_bytes():
    assert lanes_of(lanes=4).room() == (4 * AHEAD, 1_000_000)


@pytest.mark.parametrize(
    ("waiting", "room"), [(2 * AHEAD + 1, 2 * AHEAD - 1), (3_600, 400), (3_601, None), (4 * AHEAD, None)]
)
def test_while_a_lane_wants_for_records_nearly_all_room_is_used(waiting: int, room: int | None):
    lanes = lanes_of(lanes=4)
    add(lanes, *many(0, waiting, lane=1, factor=4))

    assert lanes.room() == (None if room is None else (room, 1_000_000))


@pytest.mark.parametrize(("waiting", "room"), [(51, 49), (90, 10), (91, None), (120, None)])
def test_the_same_holds_for_bytes(waiting: int, room: int | None):
    lanes = lanes_of(lanes=4, buffer_bytes_max=100)
    add(lanes, at(0, size=waiting))

    assert lanes.room() == (None if room is None else (4 * AHEAD - 1, room))


def test_once_each_lane_has_a_batch_half_of_the_room_is_enough():
    lanes = lanes_of(lanes=2, batch_size=10, buffer_bytes_max=100)
    add(lanes, *(at(position, size=3) for position in range(19)))
    assert lanes.room() == (2 * AHEAD - 19, 43)

    add(lanes, at(19, size=3))

    assert lanes.room() is None


def test_a_lane_that_is_blocked_wants_for_nothing():
    shard = StagedStream(fail, lanes=2, batch_size=10, buffer_bytes_max=1_000)
    shard.write(at(0))
    shard.function = go_on
    shard.write(*many(1, 11, lane=1, factor=2))
    assert shard.lane(0).blocked_since_ms == 0
    assert len(shard.running) == 1

    write_singly(shard, many(11, 100, lane=1, factor=2, size=10))

    assert shard.view.buffered_bytes == 510


def test_a_blocked_lane_that_fills_the_buffer_stops_its_neighbours_and_no_earlier():
    shard = StagedStream(in_turn(FAILED), lanes=2, batch_size=1, buffer_bytes_max=1_000)
    write_singly(shard, [*many(0, 90, lane=0, factor=2, size=10), at(181)])
    assert shard.invoked() == [[0], [181]]
    assert shard.lane(0).buffered == 89

    write_singly(shard, [*many(91, 99, lane=0, factor=2, size=10), at(201)])
    assert shard.lane(0).buffered == 91
    assert shard.invoked() == [[0], [181]]

    shard.pass_time(500)
    assert [201] in shard.invoked()
    assert shard.view.buffered == 0


def test_where_nothing_more_comes_a_batch_does_not_wait_to_be_fuller():
    shard = StagedStream(go_on, lanes=2, batch_size=100, batching_window_ms=60_000, buffer_bytes_max=1_000)
    shard.write(*many(0, 90, lane=0, factor=2, size=10), at(181, size=10))

    # What was taken made room again, so the other lane waits for its window.
    assert shard.invoked() == [[2 * each for each in range(90)]]
    assert shard.lane(1).buffered == 1


# What was begun before is read to its end.


def test_a_resumed_batch_is_read_to_its_end_even_into_a_full_buffer():
    lanes = lanes_of(note=Note((LaneNote(-1, 1, ends=(5,)),)), buffer_bytes_max=100)
    add(lanes, at(0, size=90))
    assert lanes.room() == (AHEAD, 50)

    add(lanes, at(5, size=90))

    assert lanes.room() is None


@pytest.mark.parametrize("room_bytes", [20, 100, 1_000])
def test_a_resumed_batch_larger_than_the_buffer_is_invoked_as_it_was(room_bytes: int):
    before = StagedStream(fail, log=[at(each, size=30) for each in range(10)], buffer_bytes_max=100_000)
    assert before.invoked() == [[*range(10)]]

    after = before.restart(go_on, buffer_bytes_max=room_bytes)

    assert after.invoked() == [[*range(10)]]


def test_the_resumed_batch_of_one_lane_is_read_although_another_has_filled_the_buffer():
    lanes = lanes_of(note=Note((LaneNote(-1), LaneNote(-1, 1, ends=(501,)))), lanes=2, buffer_bytes_max=1_000)
    add(lanes, *many(0, 200, lane=0, factor=2, size=10))

    assert lanes.room() == (2 * AHEAD, 500)


# While the number of lanes changes, and with another budget.


def test_while_lanes_change_nothing_is_read_that_would_only_wait():
    shard = StagedStream(go_on, log=range(10), lanes=2, batch_size=2)
    asked = shard.fetching
    shard.change(lanes=3)
    shard.write(*range(10, 20))

    # What was asked for before may still come, and waits for the new lanes.
    assert asked is not None
    assert shard.fetching is None
    assert shard.view.buffered == 16
    shard.finish_all()
    assert shard.fetching is not None


def test_while_lanes_change_what_was_begun_is_read_on():
    before = StagedStream(fail, log=range(10), lanes=2, batch_size=5)

    after = before.restart(go_on, log=[], lanes=3)

    assert after.fetching is not None
    assert after.fetching.after == before.stored.position


def test_a_smaller_budget_reads_no_further_and_a_larger_one_does():
    shard = StagedStream(go_on, batch_size=5, buffer_bytes_max=1_000)
    write_singly(shard, many(0, 6, size=10))
    assert (shard.view.buffered, shard.view.buffered_bytes) == (5, 50)

    shard.act(facts.BudgetChanged(99))
    assert shard.machine._shard is not None
    assert shard.machine._shard.lanes.room() is None

    shard.act(facts.BudgetChanged(100))
    assert shard.machine._shard.lanes.room() == (AHEAD - 5, 50)
