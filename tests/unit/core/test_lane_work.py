from __future__ import annotations

from penstock.api import Fetched
from penstock.core.attempt import Unsettled
from penstock.core.batch import RecordBatch
from penstock.core.batcher import Batcher
from penstock.core.delivery import Delivery
from penstock.core.events.window import WindowFrame
from penstock.core.invocation_record import InvocationRecord
from penstock.core.lane_work import LaneWork
from penstock.core.note import LaneNote
from simulation.layout import PlainLayout
from unit.core.staging import at

NOW_MS = 5


def lane(*records: int, note: LaneNote) -> LaneWork:
    batcher = Batcher(PlainLayout(), after=-1, batch_size=10, batching_window_ms=0, event_bytes_max=6_000)
    work = LaneWork(batcher, note)
    read = [at(position) for position in records]
    batcher.add(Fetched("shard", read, records[-1], 10 * len(read)), NOW_MS)
    return work


def test_the_tries_of_a_windows_last_invocation_are_not_those_of_the_batch_behind_it():
    begun = LaneNote(-1, attempts_ended=1, ends=(2, 4))
    work = lane(0, 1, 2, 3, 4, note=begun)

    frame = WindowFrame(start_ms=0, end_ms=1_000, state=b"{}", is_final=True)
    work.unsettled = Unsettled(RecordBatch((), -1), attempts_ended=7, final=frame)

    assert work.note() == begun


def test_a_batch_keeps_its_end_and_its_attempts_until_the_destination_was_told():
    begun = LaneNote(-1, attempts_ended=2, ends=(2, 4))
    work = lane(0, 1, 2, 3, 4, note=begun)
    taken = work.take()
    record = InvocationRecord(
        condition="RetryAttemptsExhausted", records=taken.batch.records, invoke_count=2, request_id="1", ended_ms=NOW_MS
    )

    work.part_with(taken, taken.batch, Delivery(record, now_ms=NOW_MS), None)
    told = work.note()
    work.end_delivery()

    assert (told.attempts_ended, told.ends, told.settled) == (2, (2, 4), -1)
    assert work.note() == LaneNote(2, ends=(4,))
