"""What the checks believe of one shard while one machine has it: which records are done, and what was begun.

The model knows the rules and nothing of the core: it hears the same facts and commands, and says what may come next.
With each checkpoint goes a `Snapshot` of it, from which the model of the next owner begins; so whatever a machine can
not read back from its note shows as a difference.
"""

from __future__ import annotations

from binascii import crc32
from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from penstock.api import InvocationResult, Record
from simulation.stream_source import Kept, Shard


@dataclass(slots=True)
class Segment:
    """A batch, or a part of one, that was begun: the lane's records up to `end` that are not done."""

    end: int
    attempts_ended: int = 0
    is_pinned: bool = False
    """An attempt at it, or at what it is a part of, has ended: the next owner has to build it again."""
    was_response: bool = False
    """The last of the attempts ended with a response, and not with an error."""
    is_resumed: bool = False
    """Another machine began it, and this one has not tried it yet."""


@dataclass(slots=True)
class Doom:
    """Records that are not invoked any more, and what a destination has to be told of them."""

    condition: str
    positions: list[int]
    count: int
    result: InvocationResult | None = None
    """How the last try ended; None where there was none, or where a machine before this one knew."""
    request_id: str = ""
    is_announced: bool = False
    id: int | None = None
    """Of the delivery that is not answered."""
    sent_ms: int = 0
    tries: int = 0
    not_before_ms: int = 0


@dataclass(slots=True)
class Try:
    """An invocation that runs. `seen` is what the window's state counted when it began."""

    id: int
    request_id: str
    positions: list[int]
    is_final: bool = False
    is_cancelled: bool = False


@dataclass(slots=True)
class Origin:
    """What the batch at hand was before it was split, and what it has cost (D3)."""

    count: int
    poisons: int
    tries: int = 0
    segments: int = 1


@dataclass(slots=True)
class Lane:
    number: int
    segments: deque[Segment] = field(default_factory=deque)
    running: Try | None = None
    dooms: deque[Doom] = field(default_factory=deque)
    not_run: int = 0
    not_before_ms: int = 0
    is_unnoted: bool = False
    """An attempt ended that must be in a stored checkpoint before the next try begins."""
    request_id: str = ""
    origin: Origin | None = None

    @property
    def is_running(self) -> bool:
        return self.running is not None and not self.running.is_cancelled


@dataclass(frozen=True, slots=True)
class WindowModel:
    """`seen` are the records that the open window's state counts; `floor_ms` is where the next one may begin."""

    floor_ms: int = 0
    start_ms: int | None = None
    state: bytes = b"{}"
    seen: tuple[int, ...] = ()
    is_early: bool = False
    attempts_ended: int = 0
    closed: tuple[int, ...] = ()
    """What was counted by windows that have closed since the shard began."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The model when a checkpoint was written, as far as a note has to tell of it."""

    position: int
    factor: int
    done: frozenset[int]
    """Beyond the position."""
    segments: dict[int, tuple[tuple[int, int, bool], ...]]
    """For each lane the ends of what was begun, with the attempts and how the last of them ended."""
    window: WindowModel

    @property
    def is_clean(self) -> bool:
        return not self.done and not self.segments


class ShardModel:
    def __init__(self, shard: Shard) -> None:
        self.shard = shard
        stored, snapshot = shard.stored, shard.snapshot
        self.cursor: int | None = stored.position if stored is not None else None
        """Everything up to here is done, or was never ours."""
        self.start = stored.position if stored is not None else -1
        self.factor: int | None = None
        self.done: set[int] = set(snapshot.done) if snapshot is not None else set()
        self.lost: set[int] = set()
        self.lanes: dict[int, Lane] = {}
        self.resumed = snapshot
        self.window = snapshot.window if snapshot is not None else WindowModel()
        if self.window.state == b"{}":
            # An open window without a state is as good as none.
            self.window = replace(self.window, start_ms=None)
        self.window = replace(self.window, attempts_ended=0)
        self.window_before: WindowModel | None = None
        """What the newest state took the place of; a checkpoint names it until a destination knows of the success."""
        self._first = 0
        """An index into the shard's history; everything before is done."""

    def begin(self, after: int) -> None:
        self.cursor = self.start = after

    def set_factor(self, factor: int) -> None:
        """Hear how many lanes the machine has; what was begun comes from the checkpoint."""
        self.factor = factor
        self.lanes = {number: Lane(number) for number in range(factor)}
        if self.resumed is not None:
            for number, segments in self.resumed.segments.items():
                self.lanes[number].segments = deque(
                    Segment(end, tries, is_pinned=True, was_response=was_response, is_resumed=True)
                    for end, tries, was_response in segments
                )
            self.resumed = None

    def lane_of(self, record: Record) -> Lane:
        return self.lanes[self._number_of(record)]

    def _number_of(self, record: Record) -> int:
        assert self.factor is not None
        hashed = record.position if record.key is None else crc32(record.key)
        return hashed % self.factor

    def is_done(self, kept: Kept) -> bool:
        position = kept.record.position
        return kept.is_filtered or position in self.done or position in self.lost

    def undone(self, *, until: int | None = None) -> Iterator[Kept]:
        """Give in order what is ours and has no fate yet."""
        assert self.cursor is not None
        history, positions = self.shard.history, self.shard.positions
        self._first = max(self._first, bisect_right(positions, self.cursor))
        while self._first < len(history) and self.is_done(history[self._first]):
            self.cursor = history[self._first].record.position
            self._first += 1
        stop = len(history) if until is None else bisect_right(positions, until)
        for index in range(self._first, stop):
            if not self.is_done(history[index]):
                yield history[index]

    def undone_of(self, lane: Lane, *, until: int | None = None) -> Iterator[Kept]:
        return (kept for kept in self.undone(until=until) if self._number_of(kept.record) == lane.number)

    def at_hand(self, lane: Lane) -> Segment | None:
        """Give what of a lane was begun and is not over; parts that hold nothing any more are forgotten."""
        while lane.segments and next(self.undone_of(lane, until=lane.segments[0].end), None) is None:
            lane.segments.popleft()
            lane.is_unnoted = False
            lane.not_run = lane.not_before_ms = 0
        if not lane.segments:
            lane.origin = None
        return lane.segments[0] if lane.segments else None

    def expected(self, lane: Lane) -> list[Record]:
        """Give the records of what is at hand."""
        segment = self.at_hand(lane)
        return [] if segment is None else [kept.record for kept in self.undone_of(lane, until=segment.end)]

    def lose(self, first: int, last: int) -> list[Kept]:
        """Take in that a range was trimmed, and give what was in it."""
        positions = self.shard.positions
        gone = self.shard.history[bisect_left(positions, first) : bisect_right(positions, last)]
        self.lost.update(kept.record.position for kept in gone)
        return gone

    def finish(self, positions: list[int]) -> None:
        self.done.update(positions)

    def is_level(self) -> bool:
        """Tell whether nothing was begun, and nothing is done beyond what is not (D6)."""
        if self.cursor is None:
            return True
        first = next(self.undone(), None)
        begun = any(self.at_hand(lane) or lane.is_running or lane.dooms for lane in self.lanes.values())
        beyond = first is not None and any(position > first.record.position for position in self.done)
        return not begun and not beyond

    @property
    def window_settled(self) -> WindowModel:
        """Give the window as a checkpoint has to tell of it."""
        is_telling = any(doom.condition == "Success" for lane in self.lanes.values() for doom in lane.dooms)
        return self.window_before if is_telling and self.window_before is not None else self.window

    def snapshot(self, position: int) -> Snapshot:
        first_undone: dict[int, int] = {}
        if self.factor is not None:
            for kept in self.undone():
                first_undone.setdefault(self._number_of(kept.record), kept.record.position)
                if len(first_undone) == self.factor:
                    break
        self.done = {each for each in self.done if each > position}
        done = frozenset(
            each for each in self.done
            if each < first_undone.get(self._number_of(self.shard.at(each).record), each + 1)
        )  # fmt: skip
        segments = {}
        for lane in self.lanes.values():
            self.at_hand(lane)
            pinned = self._pinned(lane)
            if pinned:
                segments[lane.number] = pinned
        return Snapshot(position, self.factor or 1, done, segments, self.window_settled)

    def _pinned(self, lane: Lane) -> tuple[tuple[int, int, bool], ...]:
        """Say where what was begun ends; what is given up for its age is not a part of it any more (D8)."""
        expired = {each for doom in lane.dooms if doom.condition == "RecordAgeExceeded" for each in doom.positions}
        found = []
        for segment in lane.segments:
            if segment.is_pinned:
                left = [kept.record.position for kept in self.undone_of(lane, until=segment.end)]
                end = next((each for each in reversed(left) if each not in expired), (left or [segment.end])[-1])
                was_response = segment.was_response and segment.attempts_ended > 0
                found.append((end, segment.attempts_ended, was_response))
        return tuple(found)

    def is_noted(self, lane: Lane) -> bool:
        """Tell whether the stored checkpoint's note says of a lane what is begun in it."""
        stored = self.shard.snapshot
        noted = stored.segments.get(lane.number, ()) if stored is not None else ()
        return self._left([(end, tries) for end, tries, _ in noted], lane) == self._left(
            [(each.end, each.attempts_ended) for each in lane.segments if each.is_pinned], lane
        )

    def _left(self, segments: list[tuple[int, int]], lane: Lane) -> list[tuple[int, int]]:
        """Leave out what is done by now."""
        left, after = [], -1
        for end, tries in segments:
            undone = [kept.record.position for kept in self.undone_of(lane, until=end)]
            if undone and undone[-1] > after:
                left.append((undone[-1], tries))
            after = end
        return left
