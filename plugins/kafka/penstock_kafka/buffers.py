"""What was read and not yet asked for: one buffer per shard, filled by the consumer's thread, emptied by the loop.

It hands on whole lists where it can, and never copies a record. It decides when there is too much, and knows nothing of
Kafka's client.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterable

from penstock.api import Fetched, Gap, Record, Want

RECORD_BYTES = 250
"""What a record takes in memory besides its key, value and headers."""

_CHUNK_RECORDS = 500
"""Lists shorter than this are joined, so that a slow trickle does not become thousands of them."""


def record_bytes(record: Record) -> int:
    """Tell the size of a record's key, value and headers."""
    size = len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size


class _Chunk:
    """Records that arrived together, from `start` on, or a gap where there are none."""

    __slots__ = ("bytes_count", "gap", "records", "start")

    def __init__(self, records: list[Record], bytes_count: int, gap: Gap | None = None) -> None:
        self.records = records
        self.start = 0
        self.bytes_count = bytes_count
        self.gap = gap

    def cut(self, records_max: int, bytes_max: int) -> tuple[list[Record], int]:
        """Take records from the front within both limits, and one whatever its size."""
        piece = self.records[self.start : self.start + records_max]
        size = 0
        for count, record in enumerate(piece):
            more = record_bytes(record)
            if size + more > bytes_max and count:
                del piece[count:]
                break
            size += more
        self.start += len(piece)
        self.bytes_count -= size
        return piece, size


class Shard:
    """One shard's buffer. Positions: records up to `head` were handed on, records up to `tail` have arrived."""

    __slots__ = (
        "at_end",
        "chunks",
        "given",
        "head",
        "held_bytes",
        "high",
        "lag_told",
        "paused",
        "reading",
        "tail",
        "wanted",
    )

    def __init__(self) -> None:
        self.chunks: deque[_Chunk] = deque()
        self.wanted = False  # the engine has said where to read
        self.reading = False  # and the consumer has gone there
        self.paused = False
        self.at_end = False
        self.lag_told: int | None = None  # by the last fetch; None: by none since the engine said where to read
        self.given = -1  # the last record handed on; between it and `head` there are none
        self.head = -1
        self.tail = -1
        self.held_bytes = 0
        self.high = -1  # the offset after the partition's last record, as the last fetch saw it; -1: not known

    def continues(self, after: int) -> bool:
        return self.wanted and self.given <= after <= self.head

    def move(self, after: int) -> None:
        self.chunks.clear()
        self.held_bytes = 0
        self.wanted, self.reading, self.at_end, self.lag_told = True, False, False, None
        self.given = self.head = self.tail = after

    def put(self, records: list[Record], bytes_count: int) -> None:
        self.held_bytes += bytes_count + len(records) * RECORD_BYTES
        self.tail = records[-1].position
        self.at_end = False
        last = self.chunks[-1] if self.chunks else None
        if last is not None and last.gap is None and len(last.records) < _CHUNK_RECORDS:
            last.records.extend(records)
            last.bytes_count += bytes_count
        else:
            self.chunks.append(_Chunk(records, bytes_count))

    def take(self, want: Want) -> Fetched | None:
        records: list[Record] = []
        size, gap = 0, None
        while self.chunks and len(records) < want.records_max:
            chunk = self.chunks[0]
            if chunk.gap is not None:
                if records:
                    break
                gap = chunk.gap if gap is None else Gap(gap.first, chunk.gap.last)
                self.head = gap.last
                self.chunks.popleft()
                continue
            piece, piece_bytes = self._front(chunk, want, len(records), size)
            if not piece:
                break
            records = records + piece if records else piece
            size += piece_bytes
            self.head = piece[-1].position
            if chunk.start < len(chunk.records):
                break
            self.chunks.popleft()
        if records:
            self.given = self.head
            self.held_bytes -= size + len(records) * RECORD_BYTES
        if not self.chunks:
            self.head = max(self.head, self.tail)
        lag = self._lag()
        # That nothing waits is worth an answer without records: the engine knows it from nowhere else.
        is_news = lag == 0 and self.at_end and self.lag_told != 0
        if not records and gap is None and self.head <= want.after and not is_news:
            return None
        self.lag_told = lag
        return Fetched(want.shard, records, self.head, size, lag, gap)

    @staticmethod
    def _front(chunk: _Chunk, want: Want, count: int, size: int) -> tuple[list[Record], int]:
        records_max, bytes_max = want.records_max - count, want.bytes_max - size
        if chunk.start == 0 and len(chunk.records) <= records_max and chunk.bytes_count <= bytes_max:
            chunk.start = len(chunk.records)
            return chunk.records, chunk.bytes_count
        if count:
            # A list that does not fit whole comes next time: cutting it means looking at every record.
            return [], 0
        return chunk.cut(records_max, bytes_max)

    def _lag(self) -> int | None:
        if not self.chunks and self.at_end:
            return 0
        return max(0, self.high - 1 - self.head) if self.high >= 0 else None


class Buffers:
    """All shards of one mapping, shared by two threads under one lock.

    Fairness: a shard that nobody empties is stopped alone. Every shard may have an equal part of `bytes_max`; when
    there is more than that in all, those above their own part are to blame. One may have taken all of it before it was
    stopped, and the others still have their parts: so at most twice `bytes_max` is held.
    """

    def __init__(self, bytes_max: int, *, arrived: Callable[[], None]) -> None:
        """Hold about `bytes_max`; call `arrived`, on the filling thread, when a fetch waits and something came."""
        self.changed = threading.Condition()
        self._shards: dict[int, Shard] = {}
        self._bytes_max = bytes_max
        self._arrived = arrived
        self._fetch_waits = False
        self._filler_waits = False
        self._moves: dict[int, int] = {}

    # For the loop.

    def take(self, wants: Iterable[tuple[int, Want]]) -> list[Fetched]:
        """Take what is there for these wants; a shard that stands elsewhere is sent to the position wanted."""
        found: list[Fetched] = []
        with self.changed:
            for partition, want in wants:
                shard = self._shards.get(partition)
                if shard is None:
                    continue
                if not shard.continues(want.after):
                    shard.move(want.after)
                    self._moves[partition] = want.after + 1
                elif (fetched := shard.take(want)) is not None:
                    found.append(fetched)
            self._fetch_waits = not found
            if self._filler_waits or self._moves:
                self.changed.notify_all()
        return found

    def stop_waiting(self) -> None:
        """Say that no fetch waits any more."""
        self._fetch_waits = False

    def wake(self) -> None:
        """Wake the consumer's thread if it waits here."""
        with self.changed:
            self.changed.notify_all()

    def beyond(self, partition: int, after: int) -> int:
        """Tell how far a position reaches when what holds no records is passed over, as far as that was seen."""
        with self.changed:
            shard = self._shards.get(partition)
            if shard is None or not shard.wanted or shard.chunks or not shard.given <= after <= shard.tail:
                return after
            return shard.tail

    # For the consumer's thread.

    def add(self, partition: int) -> None:
        """Begin a shard; it reads nothing until a position is wanted."""
        with self.changed:
            self._shards[partition] = Shard()
            self._moves.pop(partition, None)

    def remove(self, partitions: Iterable[int]) -> None:
        """Forget shards and all that they hold."""
        with self.changed:
            for partition in partitions:
                self._shards.pop(partition, None)
                self._moves.pop(partition, None)

    def moves(self) -> dict[int, int]:
        """Take the offsets that partitions are to be read from now on."""
        if not self._moves:
            return {}
        with self.changed:
            moves, self._moves = self._moves, {}
            return moves

    def moved(self, partition: int, offset: int) -> None:
        """Say that the consumer now stands at the offset; what arrives from here on counts."""
        with self.changed:
            shard = self._shards.get(partition)
            if shard is not None and shard.tail == offset - 1 and partition not in self._moves:
                shard.reading, shard.paused = True, False

    def next_offset(self, partition: int) -> int | None:
        """Tell the offset expected next, or None when the shard is not being read."""
        with self.changed:
            shard = self._shards.get(partition)
            return shard.tail + 1 if shard is not None and shard.reading else None

    def put(self, partition: int, records: list[Record], bytes_count: int, high: int) -> None:
        """Add records in order."""
        with self.changed:
            shard = self._shards.get(partition)
            if shard is None or not shard.reading:
                return
            if records[0].position <= shard.tail:  # read twice, as after a pause
                records = [record for record in records if record.position > shard.tail]
                if not records:
                    return
                bytes_count = sum(map(record_bytes, records))
            shard.put(records, bytes_count)
            shard.high = high
            self._tell()

    def end(self, partition: int, offset: int) -> None:
        """Say that nothing is there between what arrived and this offset, and nothing at it yet."""
        with self.changed:
            shard = self._shards.get(partition)
            if shard is None or not shard.reading:
                return
            shard.tail = max(shard.tail, offset - 1)
            shard.high = max(shard.high, offset)
            shard.at_end = True
            self._tell()

    def skip(self, partition: int, offset: int) -> None:
        """Say that what lies before this offset is gone for good (`D9`)."""
        with self.changed:
            shard = self._shards.get(partition)
            if shard is None or not shard.wanted or offset - 1 <= shard.tail:
                return
            shard.chunks.append(_Chunk([], 0, Gap(shard.tail + 1, offset - 1)))
            shard.tail = offset - 1
            self._tell()

    def overfull(self) -> bool:
        """Tell whether there is too much in all, and a shard that flows has more than its part of it."""
        with self.changed:
            if sum(shard.held_bytes for shard in self._shards.values()) <= self._bytes_max:
                return False
            part = self._part()
            return any(shard.held_bytes > part and not shard.paused for shard in self._shards.values())

    def wait(self, timeout_s: float) -> None:
        """Wait until a fetch has taken something or somebody called `wake`, at most so long."""
        with self.changed:
            self._filler_waits = True
            self.changed.wait(timeout_s)
            self._filler_waits = False

    def pause(self) -> list[int]:
        """Pause the shards that are to blame, and tell which."""
        with self.changed:
            part = self._part()
            heavy = [number for number, shard in self._shards.items() if shard.held_bytes > part and not shard.paused]
            for number in heavy:
                self._shards[number].paused = True
            return heavy

    def resume(self) -> dict[int, int]:
        """Let paused shards that are nearly empty flow again, and tell from which offsets."""
        with self.changed:
            low = self._part() // 4
            offsets: dict[int, int] = {}
            for number, shard in self._shards.items():
                if shard.paused and shard.held_bytes <= low:
                    shard.paused = False
                    offsets[number] = shard.tail + 1
            return offsets

    def _part(self) -> int:
        return self._bytes_max // max(1, len(self._shards))

    def _tell(self) -> None:
        if self._fetch_waits:
            self._fetch_waits = False
            self._arrived()
