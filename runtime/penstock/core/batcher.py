"""Gathers the records of one shard into batches (`lambda-semantics.md §2`, D12, D13).

A batch is closed by whichever comes first: its number of records, its window (which starts at its first record), the
size of its encoded event, or the bound on what may be buffered. Without a window whatever is there is a batch at once.
What waits here has been fetched and not yet invoked.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from penstock.api import Fetched, Record
from penstock.core.batch import RecordBatch
from penstock.core.events.layout import Layout

RECORDS_AHEAD_LEAST = 1000
"""Small batches are still fetched in lists worth a round trip."""


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
        buffer_bytes_max: int,
    ) -> None:
        """Take the layout whose events the batches become, the position to continue after, and the limits."""
        self.reached = after
        """How far the source has been read."""
        self._buffer_bytes_max = buffer_bytes_max
        self.bytes_count = 0
        self._layout = layout
        self._batch_size = batch_size
        self._batching_window_ms = batching_window_ms
        self._event_bytes_max = event_bytes_max
        self._records: list[Record] = []
        self._taken = 0
        self._segments: deque[_Segment] = deque()
        self._window_waived = False
        self._resume_end: int | None = None
        self._cut: RecordBatch | None = None

    def __len__(self) -> int:
        """How many records wait."""
        return len(self._records) - self._taken

    @property
    def is_resuming(self) -> bool:
        """The next batch is one that was begun before, and ends where it ended then."""
        return self._resume_end is not None

    def resume(self, batch_end: int) -> None:
        """Build the next batch up to this position, whatever the settings say: it was tried before (D2)."""
        self._resume_end = batch_end

    def change(self, *, batch_size: int, batching_window_ms: int, event_bytes_max: int, buffer_bytes_max: int) -> None:
        """Use other settings from the next batch on."""
        self._buffer_bytes_max = buffer_bytes_max
        self._batch_size = batch_size
        self._batching_window_ms = batching_window_ms
        self._event_bytes_max = event_bytes_max
        self._cut = None

    def room(self) -> tuple[int, int] | None:
        """Tell how many records and bytes to fetch now; None while half of what may be buffered is there."""
        records_most = max(2 * self._batch_size, RECORDS_AHEAD_LEAST)
        bytes_free = self._buffer_bytes_max - self.bytes_count
        if self._must_read_on():
            return records_most, max(bytes_free, self._buffer_bytes_max // 2)
        if len(self) > records_most // 2 or bytes_free < self._buffer_bytes_max // 2:
            return None
        return records_most - len(self), bytes_free

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
        if self._resume_end is not None and self._records[self._taken].position > self._resume_end:
            # The batch's own records have all been trimmed or compacted away; what follows was never tried.
            self._resume_end = None
        if self._cut is not None and (self.is_resuming or len(self._cut.records) < self._batch_size):
            self._cut = None

    def is_ready(self, now_ms: int) -> bool:
        """Tell whether a batch may be taken now."""
        if self._resume_end is not None:
            return len(self) > 0 and self.reached >= self._resume_end
        if not len(self):
            return False
        deadline_ms = self.deadline_ms()
        return deadline_ms is None or now_ms >= deadline_ms or self.is_full()

    def is_full(self) -> bool:
        """Tell whether waiting would add nothing to the next batch."""
        if len(self) >= self._batch_size or self.room() is None:
            return True
        cut = self._next()
        return len(cut.records) < len(self) or cut.too_large

    def deadline_ms(self) -> int | None:
        """Tell when the window of the next batch ends; None where there is no window or nothing waits."""
        if not self._segments or self._resume_end is not None:
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
        self._cut = None
        self._drop(len(batch.records))
        self._resume_end = None
        return batch

    def skip_resumed(self) -> bool:
        """Forget the batch to resume when it turns out to hold no records any more; tells whether that was so."""
        if self._resume_end is None or len(self) or self.reached < self._resume_end:
            return False
        self._resume_end = None
        return True

    def clear(self) -> None:
        """Forget what waits."""
        self._drop(len(self))

    def _must_read_on(self) -> bool:
        return self._resume_end is not None and self.reached < self._resume_end

    def _next(self) -> RecordBatch:
        if self._cut is None:
            self._cut = self._build(self._count_wanted())
        return self._cut

    def _count_wanted(self) -> int:
        if self._resume_end is None:
            return min(self._batch_size, len(self))
        end = self._resume_end
        count = 0
        while count < len(self) and self._records[self._taken + count].position <= end:
            count += 1
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
