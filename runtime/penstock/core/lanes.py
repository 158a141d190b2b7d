"""The lanes of one shard: which record goes to which, and how their number changes (D6).

A lane is chosen by the record's key, alike on every machine and in every release; a record without a key goes by its
position. Each lane settles in order, so one position for each says all that is done beyond the checkpoint. When the
number changes, what was begun is finished under the old one first: what comes behind it is held back until then.
"""

from bisect import bisect_right
from operator import attrgetter
from zlib import crc32

import msgspec

from penstock.api import Fetched, Record
from penstock.core import reports
from penstock.core.batcher import Batcher
from penstock.core.events.layout import raw_bytes
from penstock.core.lane import Lane
from penstock.core.lane_window import LaneWindow
from penstock.core.note import LaneNote, Note
from penstock.core.progress import Progress
from penstock.core.stream_context import StreamContext
from penstock.core.tumbling import Tumbling

RECORDS_AHEAD_LEAST = 1000
"""Small batches are still fetched in lists worth a round trip."""
ROOM_SHARE_LEAST = 10
"""Beside a lane that is blocked, the others are still fetched for while a tenth of the room is left."""


def lane_of(record: Record, lanes: int) -> int:
    """Tell which lane of so many a record belongs to (D6)."""
    return (record.position if record.key is None else crc32(record.key)) % lanes


class Lanes:
    """Holds what was read of a shard, lane by lane."""

    def __init__(
        self,
        context: StreamContext,
        progress: Progress,
        *,
        position: int,
        note: Note | None,
        buffer_bytes_max: int,
        now_ms: int,
    ) -> None:
        """Begin at a checkpoint and its note."""
        self.reached = position
        """How far the source has been read."""
        self.buffer_bytes_max = buffer_bytes_max
        self.lanes: list[Lane] = []
        self._context = context
        self._progress = progress
        self._barrier: int | None = None
        self._held: list[Record] = []
        self._held_bytes = 0
        self._window_note = note.window if note is not None else None
        known = note.lanes if note is not None else ()
        is_known = any(lane != LaneNote(position) for lane in known)
        self._make(list(known) if is_known else [LaneNote(position)] * self._lanes_wanted(), position, now_ms)
        self.follow_settings(now_ms)

    def __len__(self) -> int:
        """How many records wait."""
        return sum(len(lane.batcher) for lane in self.lanes) + len(self._held)

    @property
    def bytes_count(self) -> int:
        """How many raw bytes wait."""
        return sum(lane.batcher.bytes_count for lane in self.lanes) + self._held_bytes

    @property
    def uninvoked(self) -> int:
        """How many records were read and never handed to the function."""
        return sum(lane.uninvoked for lane in self.lanes) + len(self._held)

    @property
    def oldest(self) -> Record | None:
        """The oldest record that was read and has not found its fate."""
        oldest = [lane.work.oldest for lane in self.lanes] + self._held[:1]
        return min((record for record in oldest if record is not None), key=attrgetter("position"), default=None)

    @property
    def position(self) -> int:
        """Where the checkpoint may stand: before the oldest record that is not settled."""
        oldest = self.oldest
        return self.reached if oldest is None else oldest.position - 1

    @property
    def is_empty(self) -> bool:
        """Nothing waits, nothing is unsettled, and nothing is to be resumed."""
        if self._held:
            return False
        for lane in self.lanes:  # noqa: SIM110 - asked at every fact, and a generator costs more than the loop
            if not lane.is_empty:
                return False
        return True

    def note(self, position: int) -> Note:
        """Say what a checkpoint at `position` must be accompanied by."""
        lanes = [lane.work.note() for lane in self.lanes]
        window = self.lanes[0].window
        window_note = window.tumbling.note() if window is not None else None
        if window_note is not None and not window_note.end_ms and not self._context.settings.tumbling_window_ms:
            window_note = None
        at_least = tuple(
            lane if lane.settled >= position else LaneNote(position, lane.attempts_ended, lane.was_response, lane.ends)
            for lane in lanes
        )
        return Note(at_least, window_note)

    def room(self) -> tuple[int, int] | None:
        """Tell how many records and bytes to fetch now; None while there is enough.

        With one lane that is while half of what may be buffered is there. With several, a lane that is blocked must not
        keep its neighbours from what is theirs: they are fetched for until the room is nearly full.
        """
        factor, batch_size = len(self.lanes), self._context.settings.batch_size
        records_most = max(2 * batch_size, RECORDS_AHEAD_LEAST) * factor
        bytes_most = self.buffer_bytes_max
        waiting, bytes_waiting = len(self._held), self._held_bytes
        must_read_on = self._barrier is not None and self.reached < self._barrier
        # One plain loop: this is asked at every fact.
        for lane in self.lanes:
            waiting += len(lane.batcher)
            bytes_waiting += lane.batcher.bytes_count
            must_read_on = must_read_on or lane.batcher.must_read_on
        records_free, bytes_free = records_most - waiting, bytes_most - bytes_waiting
        if must_read_on:
            return records_most, max(bytes_free, bytes_most // 2)
        if self._barrier is not None:
            return None
        is_hungry = factor > 1 and any(not lane.is_blocked and len(lane.batcher) < batch_size for lane in self.lanes)
        share = ROOM_SHARE_LEAST if is_hungry else 2
        if records_free < -(-records_most // share) or bytes_free * share < bytes_most:
            return None
        return records_free, bytes_free

    def add(self, fetched: Fetched, now_ms: int) -> int:
        """Take in what a fetch after `reached` found, and give each record to its lane.

        Gives how many records were left out, since their lane is beyond them: the note said so (D6).
        """
        self.reached = fetched.position
        lane, records = self.lanes[0], fetched.records
        skipped = 0
        if len(self.lanes) == 1 and self._barrier is None and not (records and records[0].position <= lane.skip_to):
            lane.add(fetched, now_ms)
        else:
            skipped = self._distribute(fetched, now_ms)
        self._wait_no_longer_in_vain()
        return skipped

    def advance(self, now_ms: int) -> None:
        """Do whatever is due in each lane, and change their number once everything old is done."""
        if self._barrier is not None and self._is_finished(self._barrier):
            self._change(self._barrier, now_ms)
        for lane in self.lanes:
            if lane.batcher.is_resuming:
                lane.work.skip_resumed()
        self._wait_no_longer_in_vain()
        for lane in self.lanes:
            lane.advance(now_ms)

    def follow_settings(self, now_ms: int) -> None:
        """Use the settings as they are now."""
        settings = self._context.settings
        for lane in self.lanes:
            lane.batcher.change(
                batch_size=settings.batch_size,
                batching_window_ms=settings.batching_window_ms,
                event_bytes_max=settings.event_bytes_max,
            )
        if settings.tumbling_window_ms and len(self.lanes) == 1 and self.lanes[0].window is None:
            self.lanes[0].window = self._window(self.lanes[0].batcher, now_ms)
        if self._barrier is None and len(self.lanes) != self._lanes_wanted():
            self._hold_back()
        elif self._barrier is not None and len(self.lanes) == self._lanes_wanted():
            self._barrier = None
            self._add_held(now_ms)

    # Records to lanes.

    def _distribute(self, fetched: Fetched, now_ms: int) -> int:
        factor, records, position = len(self.lanes), fetched.records, fetched.position
        if self._barrier is not None:
            position = min(position, self._barrier)
            place = bisect_right(records, self._barrier, key=attrgetter("position"))
            self._held += records[place:]
            self._held_bytes += sum(map(raw_bytes, records[place:]))
            records = records[:place]
        shares: list[list[Record]] = [[] for _ in range(factor)]
        skip_to = [lane.skip_to for lane in self.lanes]
        for record in records:
            number = lane_of(record, factor)
            if record.position > skip_to[number]:
                shares[number].append(record)
        for lane, share in zip(self.lanes, shares, strict=True):
            bytes_count = sum(map(raw_bytes, share))
            part = msgspec.structs.replace(fetched, records=share, position=position, bytes_count=bytes_count, gap=None)
            lane.add(part, now_ms)
        return len(records) - sum(map(len, shares))

    def _wait_no_longer_in_vain(self) -> None:
        """Where nothing more is fetched before something is taken, no batch waits to be fuller."""
        if not self._context.settings.batching_window_ms and self._barrier is None:
            return
        in_vain = self._barrier is not None or self.room() is None
        for lane in self.lanes:
            lane.batcher.waits_in_vain = in_vain

    # Another number of lanes.

    def _lanes_wanted(self) -> int:
        settings = self._context.settings
        return 1 if settings.tumbling_window_ms or self._has_window_to_finish else settings.lanes

    @property
    def _has_window_to_finish(self) -> bool:
        return self._window_note is not None and self._window_note.end_ms > 0

    def _hold_back(self) -> None:
        """Begin to finish what was begun: whatever lies behind it waits for the new lanes."""
        self._barrier = barrier = max(lane.work.begun_to for lane in self.lanes)
        held = [record for lane in self.lanes for record in lane.batcher.take_back(barrier)]
        self._held = sorted(held + self._held, key=attrgetter("position"))
        self._held_bytes = sum(map(raw_bytes, self._held))
        for lane in self.lanes:
            if lane.window is not None:
                lane.window.end_early()

    def _is_finished(self, barrier: int) -> bool:
        window = self.lanes[0].window
        has_more = window is not None and not window.is_finished
        return self.reached >= barrier and not has_more and all(lane.is_empty for lane in self.lanes)

    def _change(self, barrier: int, now_ms: int) -> None:
        before, after = len(self.lanes), self._lanes_wanted()
        self._barrier = None
        self._make([LaneNote(barrier)] * after, barrier, now_ms)
        self.lanes[0].work.has_changed = True
        self._add_held(now_ms)
        self._context.announce(reports.LanesChanged(before, after))

    def _add_held(self, now_ms: int) -> None:
        held, held_bytes, self._held, self._held_bytes = self._held, self._held_bytes, [], 0
        fetched = Fetched("", held, self.reached, held_bytes, None)
        self.add(fetched, now_ms)

    def _make(self, notes: list[LaneNote], position: int, now_ms: int) -> None:
        settings = self._context.settings
        self.lanes = []
        for number, note in enumerate(notes):
            batcher = Batcher(
                self._context.layout,
                after=position,
                batch_size=settings.batch_size,
                batching_window_ms=settings.batching_window_ms,
                event_bytes_max=settings.event_bytes_max,
            )
            has_window = len(notes) == 1 and (settings.tumbling_window_ms > 0 or self._has_window_to_finish)
            window = self._window(batcher, now_ms) if has_window else None
            lane = Lane(number, self._context, self._progress, batcher=batcher, note=note, window=window)
            self.lanes.append(lane)

    def _window(self, batcher: Batcher, now_ms: int) -> LaneWindow:
        note, self._window_note = self._window_note, None
        tumbling = Tumbling(note, now_ms=now_ms, take_id=self._context.new_id)
        return LaneWindow(self._context, tumbling, batcher, now_ms)
