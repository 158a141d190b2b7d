"""A durable log with its committed checkpoints: what survives every crash.

It also keeps, for the checks alone, what has become of each record.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, TypeAlias

from penstock.api import Checkpoint, Fetched, Gap, Record, Start
from simulation.chance import Chance
from simulation.layout import is_kept
from simulation.stream_scenario import UNIX_MS, StreamScenario
from simulation.trace import Violation

if TYPE_CHECKING:
    from simulation.shard_model import Snapshot


Poison: TypeAlias = Literal["", "raises", "reported"]
"""How the function shows that it can not take a record."""


@dataclass(slots=True)
class Kept:
    """One record and its fate."""

    record: Record
    poison: Poison
    is_filtered: bool
    is_settled: bool = False
    """A machine heard that the function took it, and that was delivered where it has to be."""
    is_dropped: bool = False
    """Given up by the rules, and delivered where it has to be."""
    is_lost: bool = False
    """Trimmed, and a machine reported so."""

    @property
    def is_done(self) -> bool:
        return self.is_settled or self.is_dropped or self.is_lost or self.is_filtered


@dataclass(slots=True)
class Shard:
    """`history` has every record there ever was; what lies before `oldest` is trimmed."""

    name: str
    history: list[Kept] = field(default_factory=list)
    positions: list[int] = field(default_factory=list)
    oldest: int = 0
    end: int = 0
    """The next position to be given."""
    shown: int = -1
    """How far a reader at the end is told to be; markers at the very end may stay hidden for a while."""
    stored: Checkpoint | None = None
    snapshot: Snapshot | None = None
    """What the checks know of that checkpoint's machine when it was written."""
    anchor: int | None = None
    """The first position ever committed: everything after it is ours to run."""
    owner: int | None = None
    """The number of the machine that may commit."""
    active: dict[tuple[int, int], str] = field(default_factory=dict)
    """Invocations that run now, with their request ids."""
    first_undone: int = 0
    """An index into `history`; everything before is done, or lies before the anchor."""
    waiting: Callable[[], None] | None = None
    _places_of_key: dict[bytes, list[int]] = field(default_factory=dict)
    _first_of_key: dict[bytes, int] = field(default_factory=dict)

    def append(self, scenario: StreamScenario, chance: Chance, now_ms: int) -> None:
        for _ in range(chance.between(1, scenario.records_per_append)):
            record = self._draw(scenario, chance, now_ms)
            if record.key is not None:
                self._places_of_key.setdefault(record.key, []).append(len(self.history))
            poison: Poison = ""
            if chance.happens(scenario.poison):
                poison = "reported" if chance.happens(scenario.poison_reported) else "raises"
            self.history.append(Kept(record, poison, scenario.is_filtered and not is_kept(record)))
            self.positions.append(self.end)
            self.end += 1
            self.shown = self.end - 1
            if chance.happens(scenario.markers):
                self.end += chance.between(1, 3)
                if chance.happens(0.5):
                    self.shown = self.end - 1
        self.wake()

    def _draw(self, scenario: StreamScenario, chance: Chance, now_ms: int) -> Record:
        is_large = chance.happens(scenario.too_large)
        value = bytes(scenario.settings.event_bytes_max + 100 if is_large else chance.between(0, 120))
        if chance.happens(0.2):
            value = b"-" + value
        key = None if chance.happens(0.2) else b"key-%d" % chance.between(1, scenario.keys)
        timestamp_ms = UNIX_MS + now_ms
        if chance.happens(scenario.faults.late_record):
            timestamp_ms += chance.one_of((chance.between(-90_000, 0), chance.between(-3_000, 0), 5_000, 30_000))
        return Record(self.end, value, key, timestamp_ms)

    def wake(self) -> None:
        waiting, self.waiting = self.waiting, None
        if waiting is not None:
            waiting()

    def show_all(self) -> None:
        self.shown = self.end - 1
        self.wake()

    def trim(self, before: int) -> None:
        self.oldest = max(self.oldest, min(before, self.end))
        self.wake()

    def has_news(self, after: int) -> bool:
        return self.shown > after or self.oldest > after + 1

    def read(self, after: int, records_max: int, bytes_max: int) -> Fetched:
        gap = Gap(after + 1, self.oldest - 1) if self.oldest > after + 1 else None
        first = bisect_right(self.positions, max(after, self.oldest - 1))
        records: list[Record] = []
        bytes_count = 0
        for kept in self.history[first : first + records_max]:
            bytes_count += raw(kept.record)
            if records and bytes_count > bytes_max:
                bytes_count -= raw(kept.record)
                break
            records.append(kept.record)
        reached_end = first + len(records) == len(self.history)
        position = self.shown if reached_end else records[-1].position
        position = max(position, after, self.oldest - 1)
        return Fetched(self.name, records, position, bytes_count, self.end - 1 - position, gap)

    def resolve(self, start: Start) -> int:
        if start.position == "LATEST":
            return self.end - 1
        if start.position == "AT_TIMESTAMP":
            assert start.timestamp_ms is not None
            for kept in self.history:
                if kept.record.position >= self.oldest and kept.record.timestamp_ms >= start.timestamp_ms:
                    return kept.record.position - 1
            return self.end - 1
        return self.oldest - 1

    def store(self, checkpoint: Checkpoint, snapshot: Snapshot) -> None:
        if self.anchor is None:
            self.anchor = checkpoint.position
        if self.stored is not None and checkpoint.position < self.stored.position:
            raise Violation(f"{self.name}: checkpoint went back from {self.stored.position} to {checkpoint.position}")
        undone = self.next_undone()
        if undone is not None and undone <= checkpoint.position:
            raise Violation(f"{self.name}: checkpoint {checkpoint.position} passes record {undone}, which is not done")
        self.stored, self.snapshot = checkpoint, snapshot

    def next_undone(self) -> int | None:
        """Give the position of the first record that is ours to run and has no fate yet."""
        anchor = self.anchor if self.anchor is not None else -1
        while self.first_undone < len(self.history):
            kept = self.history[self.first_undone]
            if not kept.is_done and kept.record.position > anchor:
                return kept.record.position
            self.first_undone += 1
        return None

    def undone_of_key(self, key: bytes, *, start: int) -> int | None:
        """Give the position of a key's first record that has no fate yet; ours are those after the `start`."""
        anchor = self.anchor if self.anchor is not None else start
        index = self._first_of_key.get(key, 0)
        places = self._places_of_key.get(key, [])
        while index < len(places):
            kept = self.history[places[index]]
            if not kept.is_done and kept.record.position > anchor:
                self._first_of_key[key] = index
                return kept.record.position
            index += 1
        self._first_of_key[key] = index
        return None

    def between(self, after: int, last: int) -> list[Kept]:
        return self.history[bisect_right(self.positions, after) : bisect_right(self.positions, last)]

    def at(self, position: int) -> Kept:
        return self.history[bisect_right(self.positions, position) - 1]


def raw(record: Record) -> int:
    return len(record.value or b"") + len(record.key or b"")
