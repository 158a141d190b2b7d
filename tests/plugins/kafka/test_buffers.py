"""The buffers between the consumer's thread and the loop."""

from __future__ import annotations

import random

from penstock.api import Fetched, Gap, Record, Want
from penstock_kafka.buffers import RECORD_BYTES, Buffers

SHARD = "t-0"


def records(*positions: int, size: int = 10) -> list[Record]:
    return [Record(position, b"x" * size, None, 0) for position in positions]


def reading(after: int = -1, *, bytes_max: int = 1_000_000) -> Buffers:
    """Buffers of one shard that is read from a position on."""
    buffers = Buffers(bytes_max, arrived=lambda: None)
    buffers.add(0)
    assert take(buffers, after) is None
    for partition, offset in buffers.moves().items():
        buffers.moved(partition, offset)
    return buffers


def take(buffers: Buffers, after: int, *, records_max: int = 100, bytes_max: int = 100_000) -> Fetched | None:
    found = buffers.take([(0, Want(SHARD, after, records_max, bytes_max))])
    return found[0] if found else None


def put(buffers: Buffers, *positions: int) -> None:
    buffers.put(0, records(*positions), 10 * len(positions), positions[-1] + 1)


def positions(fetched: Fetched | None) -> list[int]:
    assert fetched is not None
    return [record.position for record in fetched.records]


def test_what_arrives_before_the_consumer_has_moved_is_dropped() -> None:
    buffers = reading()
    put(buffers, 0, 1, 2)
    assert take(buffers, 9) is None
    put(buffers, 3, 4)
    assert buffers.moves() == {0: 10}
    buffers.moved(0, 10)
    put(buffers, 10)
    assert positions(take(buffers, 9)) == [10]


def test_a_move_that_was_overtaken_counts_for_nothing() -> None:
    buffers = reading()
    take(buffers, 9)
    assert buffers.moves() == {0: 10}
    take(buffers, 19)
    buffers.moved(0, 10)
    put(buffers, 10, 11)
    assert take(buffers, 19) is None
    assert buffers.moves() == {0: 20}


def test_the_end_moves_the_position_without_records() -> None:
    buffers = reading()
    put(buffers, 0, 1)
    assert positions(take(buffers, -1)) == [0, 1]
    buffers.end(0, 5)
    fetched = take(buffers, 1)
    assert fetched == Fetched(SHARD, [], 4, 0, 0)
    assert take(buffers, 4) is None
    assert buffers.beyond(0, 1) == 4
    # Whoever still stands at the last record has lost nothing by it.
    assert take(buffers, 1) == fetched


def test_a_gap_stands_between_what_came_before_and_after_it() -> None:
    buffers = reading()
    put(buffers, 0, 1)
    buffers.skip(0, 10)
    put(buffers, 10, 11)
    first = take(buffers, -1)
    assert positions(first) == [0, 1]
    assert first is not None
    assert first.gap is None
    second = take(buffers, 1)
    assert positions(second) == [10, 11]
    assert second is not None
    assert second.gap == Gap(2, 9)


def test_limits_cut_lists_and_nothing_is_lost() -> None:
    chance = random.Random(7)
    for _ in range(50):
        buffers = reading()
        sent, position = [], -1
        while position < 300:
            run = sorted(chance.sample(range(position + 1, position + 40), chance.randint(1, 20)))
            sent += run
            position = run[-1]
            buffers.put(0, records(*run), 10 * len(run), position + 1)
        got, after = [], -1
        while after < position:
            records_max, bytes_max = chance.randint(1, 60), chance.randint(1, 300)
            fetched = take(buffers, after, records_max=records_max, bytes_max=bytes_max)
            assert fetched is not None
            assert 0 < len(fetched.records) <= records_max
            assert fetched.bytes_count == 10 * len(fetched.records)
            assert fetched.bytes_count <= bytes_max or len(fetched.records) == 1
            got += positions(fetched)
            after = fetched.position
        assert got == sent
        assert not buffers.overfull()


def test_only_what_is_above_its_part_is_paused_and_it_comes_back_when_nearly_empty() -> None:
    buffers = Buffers(40_000, arrived=lambda: None)
    for partition in range(2):
        buffers.add(partition)
        buffers.take([(partition, Want(f"t-{partition}", -1, 1, 1))])
        for number, offset in buffers.moves().items():
            buffers.moved(number, offset)
    count = 50_000 // (RECORD_BYTES + 10)
    buffers.put(0, records(*range(count)), 10 * count, count)
    buffers.put(1, records(0), 10, 1)
    assert buffers.overfull()
    assert buffers.pause() == [0]
    assert not buffers.overfull(), "the other one has its own part"
    assert buffers.resume() == {}
    after = -1
    while after < count - 10:
        fetched = take(buffers, after, records_max=10)
        assert fetched is not None
        after = fetched.position
    assert buffers.resume() == {0: count}
    assert buffers.resume() == {}


def test_however_many_shards_there_are_no_more_than_twice_the_limit_is_held() -> None:
    buffers = Buffers(100_000, arrived=lambda: None)
    for partition in range(20):
        buffers.add(partition)
        buffers.take([(partition, Want(f"t-{partition}", -1, 1, 1))])
        for number, offset in buffers.moves().items():
            buffers.moved(number, offset)
    paused: set[int] = set()
    held = 0
    for partition in range(20):
        for position in range(1000):
            if partition not in paused:
                buffers.put(partition, records(position), 10, position)
                held += RECORD_BYTES + 10
            if buffers.overfull():
                paused.update(buffers.pause())
    assert paused == set(range(20))
    assert held < 210_000


def test_a_waiting_fetch_is_told_once() -> None:
    told: list[int] = []
    buffers = Buffers(1_000_000, arrived=lambda: told.append(1))
    buffers.add(0)
    take(buffers, -1)
    for partition, offset in buffers.moves().items():
        buffers.moved(partition, offset)
    put(buffers, 0)
    put(buffers, 1)
    assert told == [1]
    assert positions(take(buffers, -1)) == [0, 1]
    put(buffers, 2)
    assert told == [1], "nobody waits"
