"""Gathers the records of one lane of a shard into batches (`lambda-semantics.md §2`, D12, D13).

A batch is closed by whichever comes first: its number of records, its window (which starts at its first record), the
size of its encoded event, the end of a tumbling window, or that nothing more can come before something is taken.
Without a window whatever is there is a batch at once. What waits here has been fetched and not yet invoked.
"""

from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from operator import attrgetter

from penstock.api import Fetched, Record
from penstock.core.batch import RecordBatch
from penstock.core.events.layout import Layout, raw_bytes


@dataclass(slots=True)
class _Segment:
    """One fetched list: where it ends in the buffer, when it came, and how far the reader was then."""

    end: int
    arrived_ms: int
    position: int
    bytes_count: int


class Batcher:
    """Holds fetched records in order and says when a batch is ready.

    Counts in records and in raw bytes (key, value, headers); looks at single records only when the size of the event
    comes near its limit.
    """

    def __init__(
        self,
        layout: Layout[Record],
        *,
        after: int,
        batch_size: int,
        batching_window_ms: int,
        event_bytes_max: int,
    ) -> None:
        """Take the layout whose events the batches become, the position to continue after, and the limits."""
        self.reached = after
        """How far the source has been read."""
        self.bytes_count = 0
        self.waits_in_vain = False
        """Nothing more comes before something is taken, so a batch need not wait to be full."""
        self._layout = layout
        self._batch_size = batch_size
        self._batching_window_ms = batching_window_ms
        self._event_bytes_max = event_bytes_max
        self._records: list[Record] = []
        self._taken = 0
        self._segments: deque[_Segment] = deque()
        self._window_waived = False
        self._resume_ends: deque[int] = deque()
        self._until_ms: int | None = None
        self._cut: RecordBatch | None = None

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._records) - self._taken

    @property
    def is_resuming(self) -> bool:
        """The next batch is one that was begun before, and ends where it ended then."""
        return bool(self._resume_ends)

    @property
    def resume_ends(self) -> tuple[int, ...]:
        """Where the batches end that were begun before and not taken yet."""
        return tuple(self._resume_ends)

    @property
    def must_read_on(self) -> bool:
        """A batch that was begun before is not read whole yet."""
        return bool(self._resume_ends) and self.reached < self._resume_ends[0]

    @property
    def first(self) -> Record | None:
        """The record that waits longest."""
        return self._records[self._taken] if len(self) else None

    def resume(self, ends: Sequence[int]) -> None:
        """Build the next batches up to these positions, whatever the settings say: they were begun before (D2, D3)."""
        self._resume_ends = deque(ends)

    def change(self, *, batch_size: int, batching_window_ms: int, event_bytes_max: int) -> None:
        """Use other settings from the next batch on."""
        self._batch_size = batch_size
        self._batching_window_ms = batching_window_ms
        self._event_bytes_max = event_bytes_max
        self._cut = None

    def limit_event(self, event_bytes_max: int) -> None:
        """Let each event have so many bytes from now on."""
        if event_bytes_max != self._event_bytes_max:
            self._event_bytes_max = event_bytes_max
            self._cut = None

    def end_before(self, timestamp_ms: int | None) -> None:
        """Close each batch before the first record of this time or later: a tumbling window ends there (D11)."""
        if timestamp_ms != self._until_ms:
            self._until_ms = timestamp_ms
            self._cut = None

    def add(self, fetched: Fetched, now_ms: int) -> None:
        """Take in what a fetch after `reached` found."""
        assert fetched.position >= self.reached, "a source gave a position before the one asked about"
        if fetched.records:
            assert fetched.records[0].position > self.reached, "a source gave a record twice"
            assert fetched.records[-1].position <= fetched.position, "a source gave a position before its last record"
        self.reached = fetched.position
        if not fetched.records:
            if self._segments:
                self._segments[-1].position = fetched.position
                self._cut = None
            return
        self._records.extend(fetched.records)
        self.bytes_count += fetched.bytes_count
        self._segments.append(_Segment(len(self._records), now_ms, fetched.position, fetched.bytes_count))
        self._forget_resumed()
        if self._cut is not None and (self.is_resuming or len(self._cut.records) < self._batch_size):
            self._cut = None

    def is_ready(self, now_ms: int) -> bool:
        """Tell whether a batch may be taken now."""
        if not len(self) or self.must_read_on or not self._count_wanted():
            return False
        if self._resume_ends:
            return True
        deadline_ms = self.deadline_ms()
        return deadline_ms is None or now_ms >= deadline_ms or self.is_full()

    def is_full(self) -> bool:
        """Tell whether waiting would add nothing to the next batch."""
        if not self._count_wanted():
            return False
        if len(self) >= self._batch_size or self.waits_in_vain:
            return True
        cut = self._next()
        return len(cut.records) < len(self) or cut.too_large

    def deadline_ms(self) -> int | None:
        """Tell when the window of the next batch ends; None where there is no window or nothing waits."""
        if not self._segments or self._resume_ends:
            return None
        if self._window_waived or not self._batching_window_ms:
            return None
        return self._segments[0].arrived_ms + self._batching_window_ms

    def peek(self) -> RecordBatch:
        """Show the batch that `take` would give now."""
        assert len(self) > 0
        return self._next()

    def take(self) -> RecordBatch:
        """Take the next batch out."""
        batch = self.peek()
        if not batch.too_large:
            # A batch that the event's size closed leaves records behind that have waited already (D12).
            self._window_waived = len(batch.records) < self._count_wanted()
        self._drop(len(batch.records))
        if self._resume_ends and batch.last >= self._resume_ends[0]:
            self._resume_ends.popleft()
        self._forget_resumed()
        return batch

    def take_back(self, after: int) -> list[Record]:
        """Take out all that waits beyond a position, to go elsewhere."""
        place = bisect_right(self._records, after, lo=self._taken, key=attrgetter("position"))
        taken, kept = self._records[place:], self._records[self._taken : place]
        self.bytes_count = sum(map(raw_bytes, kept))
        self._records, self._taken, self._cut = kept, 0, None
        self.reached = min(self.reached, after)
        if kept:
            arrived_ms = self._segments[0].arrived_ms
            self._segments = deque([_Segment(len(kept), arrived_ms, kept[-1].position, self.bytes_count)])
        else:
            self._segments.clear()
        return taken

    def skip_resumed(self) -> bool:
        """Forget batches to resume that turn out to hold no records any more; tells whether there were such."""
        if len(self) or self.must_read_on:
            return False
        count = len(self._resume_ends)
        while self._resume_ends and self._resume_ends[0] <= self.reached:
            self._resume_ends.popleft()
        return len(self._resume_ends) < count

    def _forget_resumed(self) -> None:
        """Forget a batch whose records have all been trimmed or compacted away; what follows was never tried."""
        first = self.first
        while self._resume_ends and first is not None and first.position > self._resume_ends[0]:
            self._resume_ends.popleft()

    def _next(self) -> RecordBatch:
        if self._cut is None:
            self._cut = self._build(self._count_wanted())
        return self._cut

    def _count_wanted(self) -> int:
        count = min(self._batch_size, len(self))
        if self._resume_ends:
            count = bisect_right(self._records, self._resume_ends[0], lo=self._taken, key=attrgetter("position"))
            count -= self._taken
        if self._until_ms is None:
            return count
        for index, record in enumerate(islice(self._records, self._taken, self._taken + count)):
            if record.timestamp_ms >= self._until_ms:
                return index
        return count

    def _build(self, count: int) -> RecordBatch:
        fitting = self._count_fitting(count)
        stop = self._taken + max(fitting, 1)
        records = tuple(self._records[self._taken : stop])
        position = records[-1].position
        for segment in self._segments:
            if segment.end == stop:
                position = segment.position
            if segment.end >= stop:
                break
        return RecordBatch(records, position, too_large=fitting == 0)

    def _count_fitting(self, count: int) -> int:
        """Count how many of the next records fit into one event."""
        room = self._event_bytes_max - self._layout.frame_bytes()
        if self._layout.records_bytes_most(count, self._bytes_most(count)) <= room:
            return count
        room += 1  # the last record has no comma behind it
        record_bytes: Callable[[Record], int] = self._layout.record_bytes
        for index in range(count):
            room -= record_bytes(self._records[self._taken + index])
            if room < 0:
                return index
        return count

    def _bytes_most(self, count: int) -> int:
        stop = self._taken + count
        total = 0
        for segment in self._segments:
            total += segment.bytes_count
            if segment.end >= stop:
                break
        return total

    def _drop(self, count: int) -> None:
        self._cut = None
        self._taken += count
        while self._segments and self._segments[0].end <= self._taken:
            self.bytes_count -= self._segments.popleft().bytes_count
        # Taking from the front of a list is dear; it is done when half of it is dead.
        if self._taken * 2 >= len(self._records):
            del self._records[: self._taken]
            for segment in self._segments:
                segment.end -= self._taken
            self._taken = 0
