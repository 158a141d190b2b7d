"""The batcher against a slow one that says what it means."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from penstock.api import Fetched, Record
from penstock.core.batcher import Batcher
from simulation.layout import PlainLayout, event_bytes

SIZES = st.lists(st.tuples(st.integers(1, 3), st.sampled_from((0, 10, 30))), min_size=1, max_size=6)
"""Records as (step to the position, bytes of the value)."""
LIMITS = st.fixed_dictionaries(
    {
        "batch_size": st.integers(1, 5),
        "batching_window_ms": st.sampled_from((0, 50, 300)),
        "event_bytes_max": st.sampled_from((59, 99, 139, 10_000)),  # one, two and three records of ten bytes, exactly
    }
)


@dataclass
class Waiting:
    record: Record
    arrived_ms: int
    list_number: int
    settles: int
    """Where the checkpoint stands once this record is settled."""


class Model:
    """Looks at every record, every time."""

    def __init__(self, after: int, resume_end: int | None, limits: dict[str, int]) -> None:
        self.reached = after
        self.resume_end = resume_end
        self.limits = limits
        self.waiting: list[Waiting] = []
        self.list_bytes: dict[int, int] = {}
        self.is_waived = False
        self.in_vain = False

    def add(self, records: list[Record], position: int, now_ms: int) -> None:
        self.reached = position
        if records:
            number = len(self.list_bytes)
            self.list_bytes[number] = sum(len(record.value or b"") for record in records)
            self.waiting += [Waiting(record, now_ms, number, record.position) for record in records]
            if self.resume_end is not None and self.waiting[0].record.position > self.resume_end:
                self.resume_end = None
        if self.waiting:
            self.waiting[-1].settles = position

    def wanted(self) -> int:
        if self.resume_end is not None:
            return sum(one.record.position <= self.resume_end for one in self.waiting)
        return min(self.limits["batch_size"], len(self.waiting))

    def fitting(self) -> int:
        counts = range(self.wanted(), 0, -1)
        return next((count for count in counts if self.event_bytes(count) <= self.limits["event_bytes_max"]), 0)

    def event_bytes(self, count: int) -> int:
        return event_bytes([one.record for one in self.waiting[:count]])

    def bytes_count(self) -> int:
        return sum(self.list_bytes[number] for number in {one.list_number for one in self.waiting})

    def deadline_ms(self) -> int | None:
        has_window = self.limits["batching_window_ms"] and not self.is_waived and self.resume_end is None
        return self.waiting[0].arrived_ms + self.limits["batching_window_ms"] if self.waiting and has_window else None

    def is_ready(self, now_ms: int) -> bool:
        if not self.waiting:
            return False
        if self.resume_end is not None:
            return self.reached >= self.resume_end
        deadline_ms = self.deadline_ms()
        is_full = len(self.waiting) >= self.limits["batch_size"] or self.in_vain
        return deadline_ms is None or now_ms >= deadline_ms or is_full or self.fitting() < len(self.waiting)

    def take(self) -> tuple[list[int], int, bool]:
        count = self.fitting()
        if count:
            self.is_waived = count < self.wanted()
        taken = self.waiting[: max(count, 1)]
        self.waiting = self.waiting[len(taken) :]
        if self.resume_end is not None and taken[-1].record.position >= self.resume_end:
            self.resume_end = None
        if self.resume_end is not None and self.waiting and self.waiting[0].record.position > self.resume_end:
            self.resume_end = None
        return [one.record.position for one in taken], taken[-1].settles, count == 0


class Batching(RuleBasedStateMachine):
    @initialize(limits=LIMITS, after=st.integers(-1, 5), resumed=st.none() | st.integers(4, 15))
    def begin(self, limits: dict[str, int], after: int, resumed: int | None) -> None:
        self.now_ms = 0
        self.batcher = Batcher(PlainLayout(), after=after, **limits)
        self.model = Model(after, None if resumed is None else after + resumed, limits)
        if resumed is not None:
            self.batcher.resume([after + resumed])

    @rule(sizes=SIZES, trail=st.integers(0, 4), peeks=st.booleans())
    def fetch(self, sizes: list[tuple[int, int]], trail: int, peeks: bool) -> None:  # noqa: FBT001 - drawn
        if peeks and self.model.waiting:
            self.batcher.peek()
        records, position = [], self.model.reached
        for step, size in sizes:
            position += step
            records.append(Record(position, bytes(size), None, 0))
        self._add(records, position + trail)

    @rule(steps=st.integers(0, 5))
    def fetch_nothing(self, steps: int) -> None:
        self._add([], self.model.reached + steps)

    def _add(self, records: list[Record], position: int) -> None:
        size = sum(len(record.value or b"") for record in records)
        self.batcher.add(Fetched("s", records, position, size), self.now_ms)
        self.model.add(records, position, self.now_ms)

    @rule(duration_ms=st.integers(1, 400))
    def pass_time(self, duration_ms: int) -> None:
        self.now_ms += duration_ms

    @rule(in_vain=st.booleans())
    def wait_in_vain(self, in_vain: bool) -> None:  # noqa: FBT001 - drawn
        self.batcher.waits_in_vain = self.model.in_vain = in_vain

    @rule(limits=LIMITS)
    def change(self, limits: dict[str, int]) -> None:
        self.batcher.change(**limits)
        self.model.limits = limits

    @precondition(lambda self: self.model.is_ready(self.now_ms))
    @rule()
    def take(self) -> None:
        batch = self.batcher.take()
        assert ([one.position for one in batch.records], batch.position, batch.too_large) == self.model.take()

    @precondition(lambda self: self.model.resume_end is None and self.model.waiting)
    @rule()
    def look(self) -> None:
        count = max(self.model.fitting(), 1)
        assert [one.position for one in self.batcher.peek().records] == [
            one.record.position for one in self.model.waiting[:count]
        ]

    @rule()
    def skip_resumed(self) -> None:
        is_gone = self.model.resume_end is not None and self.model.reached >= self.model.resume_end
        is_gone = is_gone and not self.model.waiting
        assert self.batcher.skip_resumed() == is_gone
        if is_gone:
            self.model.resume_end = None

    @invariant()
    def agrees(self) -> None:
        batcher, model = self.batcher, self.model
        assert len(batcher) == len(model.waiting)
        assert batcher.reached == model.reached
        assert batcher.bytes_count == model.bytes_count()
        assert batcher.is_resuming == (model.resume_end is not None)
        assert batcher.deadline_ms() == model.deadline_ms()
        assert batcher.is_ready(self.now_ms) == model.is_ready(self.now_ms)


TestBatching = Batching.TestCase
TestBatching.settings = settings(max_examples=500, stateful_step_count=15)
