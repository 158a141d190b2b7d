from __future__ import annotations

from collections import defaultdict
from typing import Any
from zlib import crc32

import pytest

from penstock.api import Fetched, Gap, Record
from penstock.core import commands as do
from penstock.core import facts, note, reports
from penstock.core.lanes import lane_of
from penstock.core.note import LaneNote, Note
from penstock.core.settings import DeliverySettings
from penstock.core.shard import QUIET_MS
from unit.core.driving import FAILED, RETURNED
from unit.core.staging import (
    StagedStream,
    at,
    fail,
    go_on,
    in_turn,
    poisoned,
    positions,
    reported,
    reporting,
    told,
)


def keyed(count: int, keys: int, *, first: int = 0) -> list[Record]:
    """Make records whose keys go round."""
    return [at(position, key=f"k{position % keys}") for position in range(first, first + count)]


def stored_note(shard: StagedStream) -> Note | None:
    read = note.read(shard.stored.note, shard.stored.position)
    assert not isinstance(read, note.UnknownNote)
    return read


def invoke_of(shard: StagedStream, position: int) -> do.Invoke:
    """Find the invocation that has a record now."""
    return next(invoke for invoke in shard.running.values() if position in positions(invoke.batch))


def end(shard: StagedStream, position: int, result: Any = RETURNED) -> None:
    """End the invocation that has a record now."""
    shard.finish(invoke_of(shard, position), result)
    shard.play()


# Which lane.


@pytest.mark.parametrize(
    ("key", "checksum"), [("", 0), ("a", 0xE8B7BE43), ("123456789", 0xCBF43926), ("key-1", crc32(b"key-1"))]
)
@pytest.mark.parametrize("lanes", [1, 2, 3, 7, 10])
def test_a_key_goes_to_the_lane_of_its_crc_32(key: str, checksum: int, lanes: int):
    assert lane_of(at(5, key=key), lanes) == checksum % lanes


@pytest.mark.parametrize(("position", "lane"), [(0, 0), (1, 1), (3, 0), (10**40, 1)])
def test_a_record_without_a_key_goes_by_its_position(position: int, lane: int):
    assert lane_of(at(position), 3) == lane


def test_there_are_as_many_batches_at_once_as_lanes_and_each_lane_has_one():
    shard = StagedStream(go_on, log=range(100), lanes=10, batch_size=3)

    assert shard.invoked() == [[lane, lane + 10, lane + 20] for lane in range(10)]
    assert shard.count(do.RequestEnvironment) == 10


def test_a_mapping_may_have_fewer_keys_than_lanes():
    shard = StagedStream(go_on, log=[at(each, key="one") for each in range(4)], lanes=10, batch_size=2)

    assert shard.invoked() == [[0, 1]]


@pytest.mark.parametrize("lanes", [1, 2, 5, 10])
@pytest.mark.parametrize("batch_size", [1, 4])
def test_the_records_of_a_key_are_run_one_after_another_in_order(lanes: int, batch_size: int):
    shard = StagedStream(go_on, log=keyed(40, keys=7), lanes=lanes, batch_size=batch_size, retry_attempts_max=0)
    seen = defaultdict(list)
    tries = 0
    while shard.running:
        running = [one.key for invoke in shard.running.values() for one in set_of_keys(invoke)]
        assert len(running) == len(set(running))
        # The youngest ends first, and one in three fails.
        invoke = list(shard.running.values())[-1]
        tries += 1
        for record in invoke.batch.records:
            seen[record.key].append(record.position)
        shard.finish(invoke, FAILED if tries % 3 == 0 else RETURNED)
        shard.play()

    assert {key: sorted(found) for key, found in seen.items()} == seen
    assert sum(map(len, seen.values())) == 40


def set_of_keys(invoke: do.Invoke) -> list[Record]:
    return list({record.key: record for record in invoke.batch.records}.values())


# The checkpoint, and what is done beyond it.


def test_the_checkpoint_stands_before_the_oldest_record_that_is_not_settled():
    shard = StagedStream(go_on, log=range(9), lanes=3, batch_size=1)
    committed = []
    for position in (2, 1, 5, 0, 3, 4, 6, 8, 7):
        end(shard, position)
        committed.append(shard.stored.position)

    assert committed == [-1, -1, -1, 2, 3, 5, 6, 6, 8]
    assert shard.stored.note == ""


def test_the_note_says_for_each_lane_what_is_done_beyond_the_checkpoint():
    shard = StagedStream(go_on, log=range(9), lanes=3, batch_size=1)
    for position in (2, 5, 1):
        end(shard, position)

    assert shard.stored.position == -1
    assert stored_note(shard) == Note((LaneNote(-1), LaneNote(1), LaneNote(7)))


def test_a_new_owner_repeats_nothing_that_is_done_and_does_not_count_it_as_read():
    shard = StagedStream(go_on, log=range(9), lanes=3, batch_size=1)
    for position in (2, 5, 1):
        end(shard, position)

    after = shard.restart(go_on)

    assert after.invoked() == [[0], [4], [8]]
    assert after.view.counters.polled == 6
    assert [lane.settled for lane in after.view.lanes] == [-1, 3, 7]


@pytest.mark.parametrize("keys", [None, 5])
@pytest.mark.parametrize("lanes", [2, 3, 10])
def test_whenever_a_node_is_killed_only_the_batches_in_flight_are_repeated(keys: int | None, lanes: int):
    log = keyed(30, keys=keys) if keys else [at(each) for each in range(30)]
    for killed_after in range(20):
        shard = StagedStream(go_on, log=log, lanes=lanes, batch_size=2)
        done = []
        for _ in range(min(killed_after, 12)):
            if shard.running:
                invoke = list(shard.running.values())[-1]
                done += positions(invoke.batch)
                shard.finish(invoke, RETURNED)
                shard.play()
        in_flight = sorted(positions(invoke.batch) for invoke in shard.running.values())

        after = shard.restart(go_on)

        assert sorted(after.invoked()) == in_flight
        while after.running:
            done += positions(next(iter(after.running.values())).batch)
            end(after, positions(next(iter(after.running.values())).batch)[0])
        assert sorted(done) == list(range(30))
        assert after.stored.position == 29


def test_positions_without_records_are_passed_by_every_lane():
    shard = StagedStream(go_on, lanes=3)
    asked = shard.fetching
    assert asked is not None
    shard.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [at(0), at(4)], 9, 20, 0)))

    end(shard, 4)
    assert shard.stored.position == -1
    end(shard, 0)

    assert shard.stored.position == 9


def test_a_lane_that_has_no_records_holds_nothing_back():
    shard = StagedStream(go_on, lanes=2)
    asked = shard.fetching
    assert asked is not None
    shard.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [], 9, 0, 0)))
    shard.pass_time(QUIET_MS)

    assert shard.stored.position == 9
    assert shard.view.is_idle


# A lane that is blocked.


def test_a_blocked_lane_holds_back_no_other():
    shard = StagedStream(poisoned(0), log=range(20), lanes=4, batch_size=2)
    shard.pass_time(10_000)

    counters = shard.view.counters
    assert counters.processed == 15
    assert shard.stored.position == -1
    assert [lane.blocked_since_ms for lane in shard.view.lanes] == [0, None, None, None]
    assert [lane.attempts_ended for lane in shard.view.lanes] == [5, 0, 0, 0]
    assert shard.view.state == "retrying"
    assert shard.view.blocked_since_ms == 0


def test_each_lane_has_attempts_of_its_own_that_survive_a_restart():
    shard = StagedStream(poisoned(0, 1), log=range(6), lanes=3, batch_size=1)
    shard.pass_time(2_000)
    assert [lane.attempts_ended for lane in shard.view.lanes] == [3, 3, 0]

    after = shard.restart(go_on, batch_size=2)

    assert after.invoked() == [[0], [1]]
    assert after.attempts() == [4, 4]


def test_a_poison_is_isolated_within_its_lane():
    shard = StagedStream(poisoned(8), log=range(40), lanes=4, batch_size=5, bisects=True, retry_attempts_max=1)
    shard.rest()

    assert [batch for batch in shard.invoked() if batch[0] % 4 == 0] == [
        *[[0, 4, 8, 12, 16], [0, 4, 8], [0, 4], [8], [8], [12, 16]],
        [20, 24, 28, 32, 36],
    ]
    assert shard.dropped() == [("RetryAttemptsExhausted", "8", "8", 2)]
    assert shard.view.counters.processed == 39


def test_parts_of_a_split_in_several_lanes_survive_a_restart():
    settings = {"lanes": 3, "batch_size": 4, "bisects": True, "retry_attempts_max": 0}
    shard = StagedStream(fail, log=range(12), **settings)
    shard.pass_time(999)
    assert sorted(shard.invoked()) == sorted([[0, 3, 6, 9], [0, 3], [1, 4, 7, 10], [1, 4], [2, 5, 8, 11], [2, 5]])

    after = shard.restart(go_on)
    assert after.invoked() == [[0], [1], [2]]
    end(after, 1)

    assert after.invoked() == [[0], [1], [2], [4]]
    assert [lane.segments for lane in after.view.lanes] == [0, 0, 0]


def test_reported_items_cut_the_batch_of_their_lane():
    shard = StagedStream(
        reporting(7), log=range(12), lanes=3, batch_size=4, reports_item_failures=True, retry_attempts_max=0
    )
    shard.rest()

    assert [batch for batch in shard.invoked() if batch[0] % 3 == 1] == [[1, 4, 7, 10], [7, 10]]
    assert shard.dropped() == [("RetryAttemptsExhausted", "7", "10", 1)]


def test_a_record_of_another_lane_is_none_of_the_batch():
    shard = StagedStream(in_turn(reported(1)), log=range(4), lanes=2, reports_item_failures=True)

    assert len(shard.reports(reports.BatchFailed)) == 1


def test_records_that_are_too_old_are_cut_out_of_the_batch_of_their_lane():
    log = [at(0, 0), at(1, 0), at(2, 100_000), at(3, 0)]
    shard = StagedStream(
        log=log, lanes=2, record_age_ms_max=60_000, now_ms=100_000, delivery=DeliverySettings(on_failure=True)
    )
    shard.rest()

    assert shard.invoked() == [[2]]
    assert [told(record) for record in shard.delivered()] == [
        ("RecordAgeExceeded", [0], 1),
        ("RecordAgeExceeded", [1, 3], 1),
    ]


def test_a_lane_that_waits_for_a_destination_holds_back_no_other():
    shard = StagedStream(
        poisoned(0),
        log=range(8),
        lanes=2,
        batch_size=1,
        retry_attempts_max=0,
        delivery=DeliverySettings(on_failure=True),
        destination=lambda _deliver: None,
    )
    shard.pass_time(1_000)

    assert shard.view.counters.processed == 4
    assert shard.invoked() == [[0], [1], [3], [5], [7]]
    assert shard.stored.position == -1
    shard.deliver()
    assert shard.stored.position == 7


# What was trimmed.


def test_what_was_trimmed_is_passed_in_every_lane_at_once():
    shard = StagedStream(fail, log=range(6), lanes=3, batch_size=2)
    after = shard.restart(go_on, log=[])
    asked = after.fetching
    assert asked is not None

    after.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [at(5), at(9)], 9, 20, 0, Gap(0, 4))))

    assert after.reports(reports.PositionLost) == [reports.PositionLost(0, 4)]
    assert after.invoked() == [[9], [5]]
    assert after.attempts() == [1, 2]
    assert [lane.attempts_ended for lane in after.view.lanes] == [0, 0, 1]


def test_a_lane_whose_batches_were_all_trimmed_is_free():
    shard = StagedStream(fail, log=range(6), lanes=3, batch_size=2)
    after = shard.restart(go_on, log=[])
    asked = after.fetching
    assert asked is not None

    after.act(facts.RecordsFetched(asked.id, Fetched("orders-0", [], 9, 0, 0, Gap(0, 9))))
    after.pass_time(QUIET_MS)

    assert after.stored.position == 9
    assert after.stored.note == ""
    assert after.view.is_idle
