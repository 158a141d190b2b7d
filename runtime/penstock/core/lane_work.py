"""What a lane has taken out of its buffer and not settled: the batch at hand, what was split off it, what is sent away.

It keeps the books of one lane, from which its note and its part of the checkpoint follow. It decides nothing.
"""

from collections import deque
from dataclasses import replace

from penstock.api import Record
from penstock.core.attempt import Unsettled, resumed_answer
from penstock.core.batch import RecordBatch
from penstock.core.batcher import Batcher
from penstock.core.delivery import Delivery
from penstock.core.note import LaneNote


class LaneWork:
    """Begins where a lane's note says."""

    def __init__(self, batcher: Batcher, note: LaneNote) -> None:
        """Take where the lane's records wait, and its note (D2)."""
        self.unsettled: Unsettled | None = None
        self.parts: deque[RecordBatch] = deque()
        """What was split off the batch at hand, to be tried after it (D3)."""
        self.delivery: Delivery | None = None
        self._told: LaneNote | None = None
        """Of the batch whose last records are being sent away, what its note said."""
        self.finished = 0
        """Records that found their fate since the progress was last told."""
        self.has_changed = False
        """What the note would say may be another than the progress was last told."""
        self._batcher = batcher
        self._resumed = note
        self._taken_to = note.settled
        batcher.resume(note.ends)

    @property
    def oldest(self) -> Record | None:
        """The oldest record that was read and has not found its fate."""
        taken = self._oldest_taken()
        return taken if taken is not None else self._batcher.first

    @property
    def settled(self) -> int:
        """Every record of the lane up to this position is done."""
        oldest = self._oldest_taken()
        return self._taken_to if oldest is None else oldest.position - 1

    @property
    def begun_to(self) -> int:
        """The last position of this lane that anything was begun with."""
        return max((self._taken_to, *self._batcher.resume_ends))

    @property
    def count(self) -> int:
        """How many records were taken and have not found their fate."""
        delivering = len(self.delivery.record.records) if self.delivery is not None else 0
        return delivering + sum(len(batch.records) for batch in self._batches())

    @property
    def resumed_attempts(self) -> tuple[int, bool]:
        """How many attempts of the next batch ended before this machine was made, and whether in a response."""
        ends, resumed = self._batcher.resume_ends, self._resumed
        if not ends or ends[0] != resumed.ends[0]:
            return 0, False
        return resumed.attempts_ended, resumed.was_response

    def take(self) -> Unsettled:
        """Take the next batch out of the buffer, with the attempts that its note counts."""
        attempts_ended, was_response = self.resumed_attempts
        is_part = self._batcher.is_resuming
        batch = self._batcher.take()
        self._taken_to = batch.position
        # A batch that is taken in two, since events may be smaller now, has its attempts in the first.
        if attempts_ended:
            self._resumed = replace(self._resumed, attempts_ended=0)
        self.unsettled = Unsettled(
            batch, attempts_ended=attempts_ended, is_part=is_part, answer=resumed_answer(attempts_ended, was_response)
        )
        return self.unsettled

    def forget_running(self) -> None:
        """The try that runs will never answer: it was none."""
        if self.unsettled is not None:
            self.unsettled.running = None

    def skip_resumed(self) -> None:
        """Forget batches to resume that turn out to hold no records any more."""
        self.has_changed |= self._batcher.skip_resumed()

    def split(self, unsettled: Unsettled, count: int) -> None:
        """Go on with the first records of the batch alone, and with the others after them (D3)."""
        batch = unsettled.batch
        self.parts.appendleft(batch.part(count, len(batch.records)))
        unsettled.go_on(batch.part(0, count), attempts_ended=0)

    def part_with(
        self, unsettled: Unsettled, parted: RecordBatch, delivery: Delivery | None, rest: RecordBatch | None
    ) -> None:
        """End with some records of the batch, once a destination has been told where one is to be.

        What is left of the batch stays to be gone on with; without such, the next part of a split is at hand.
        """
        self.has_changed = True
        self.delivery = delivery
        if delivery is None:
            self.finished += len(parted.records)
        elif rest is None and unsettled.is_begun:
            # Until a destination was told, the batch is what a crash goes back to, with all its attempts.
            self._told = LaneNote(0, unsettled.attempts_ended, unsettled.was_response, (parted.last,))
        if rest is None:
            self.unsettled = Unsettled(self.parts.popleft(), was_invoked=True, is_part=True) if self.parts else None
        else:
            unsettled.batch = rest

    def end_delivery(self) -> None:
        """What was told, or will never be, is done."""
        assert self.delivery is not None
        self.finished += len(self.delivery.record.records)
        self.delivery = self._told = None
        self.has_changed = True

    def take_finished(self) -> int:
        """Give how many records found their fate since the last time."""
        finished, self.finished = self.finished, 0
        return finished

    def note(self) -> LaneNote:
        """Say what the checkpoint's note must hold of the lane."""
        unsettled, told = self.unsettled, self._told
        ends = tuple(batch.last for batch in self._batches() if batch.records) + self._batcher.resume_ends
        if told is not None:
            attempts_ended, was_response, ends = told.attempts_ended, told.was_response, told.ends + ends
        elif unsettled is None or unsettled.final is not None:
            # The tries of a window's last invocation are not those of the batch behind it.
            attempts_ended, was_response = self.resumed_attempts
        elif unsettled.is_begun or len(ends) > 1:
            attempts_ended, was_response = unsettled.attempts_ended, unsettled.was_response
        else:
            ends = ()
        if not ends:
            return LaneNote(self.settled)
        return LaneNote(self.settled, attempts_ended, was_response and attempts_ended > 0, ends)

    def _batches(self) -> list[RecordBatch]:
        return ([self.unsettled.batch] if self.unsettled is not None else []) + list(self.parts)

    def _oldest_taken(self) -> Record | None:
        oldest: Record | None = None
        if self.unsettled is not None and self.unsettled.batch.records:
            oldest = self.unsettled.batch.records[0]
        elif self.parts:
            oldest = self.parts[0].records[0]
        if self.delivery is not None:
            sent = self.delivery.record.records[0]
            oldest = sent if oldest is None or sent.position < oldest.position else oldest
        return oldest
