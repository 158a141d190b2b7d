"""What the checks of one machine share: the model of its shard, the settings in force, and how to complain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NoReturn

from penstock.api import Record
from penstock.core.settings import StreamSettings
from penstock.core.stream_machine import StreamMachine
from simulation.shard_model import Lane, ShardModel
from simulation.stream_scenario import StreamScenario
from simulation.stream_source import Shard
from simulation.trace import Violation

JITTER_LEAST = 0.79
"""The shortest wait is four fifths of the back-off, and a rounding."""


@dataclass(slots=True)
class Bounds:
    """The largest settings that were in force at any time, in all of a run."""

    batch_size: int = 0
    buffer_bytes: int = 0
    retries: int = 0
    lanes: int = 0

    def widen(self, settings: StreamSettings, buffer_bytes_max: int) -> None:
        self.batch_size = max(self.batch_size, settings.batch_size)
        self.buffer_bytes = max(self.buffer_bytes, buffer_bytes_max)
        self.lanes = max(self.lanes, settings.lanes)
        retries = settings.retry_attempts_max if settings.retry_attempts_max >= 0 else 10**9
        self.retries = max(self.retries, retries)


class Books:
    """One per machine."""

    def __init__(
        self,
        machine: StreamMachine,
        shard: Shard,
        number: int,
        *,
        scenario: StreamScenario,
        settings: StreamSettings,
        bounds: Bounds,
    ) -> None:
        self.machine = machine
        self.shard = shard
        self.scenario = scenario
        self.settings = settings
        self.bounds = bounds
        self.number = number
        self.model = ShardModel(shard)
        self.wall_offset_ms: int | None = None
        self.stop_by_ms: int | None = None
        self.is_lost = False

    @property
    def is_owner(self) -> bool:
        """The shard takes its commits: what is stored is what it wrote."""
        return self.shard.owner == self.number

    @property
    def is_stopping(self) -> bool:
        return self.stop_by_ms is not None or self.is_lost

    def lanes(self) -> Iterator[Lane]:
        return iter(self.model.lanes.values())

    def lane_of(self, records: Sequence[Record]) -> Lane:
        """Give the one lane that records are in, as the machine has divided them now."""
        self.know_factor()
        lanes = {self.model.lane_of(record).number: self.model.lane_of(record) for record in records}
        if len(lanes) != 1:
            self.fail(f"puts lanes {sorted(lanes)} into one batch")
        return next(iter(lanes.values()))

    def know_factor(self) -> None:
        """Hear from the machine how many lanes it began with, once."""
        if self.model.factor is None:
            resumed = self.model.resumed
            factor = max(len(self.machine.view().lanes), 1)
            if resumed is not None and not resumed.is_clean and resumed.factor != factor:
                self.fail(f"begins with {factor} lanes what was begun with {resumed.factor}")
            self.model.set_factor(factor)

    def unix_ms(self, now_ms: int) -> int:
        if self.wall_offset_ms is None:
            self.fail("was not told the time")
        return now_ms + self.wall_offset_ms

    def age_ms(self, record: Record, now_ms: int) -> int:
        return max(self.unix_ms(now_ms) - record.timestamp_ms, 0)

    def wait_least_ms(self, tries: int) -> int:
        backoff = self.settings.backoff
        return int(min(backoff.initial_ms * backoff.multiplier ** (tries - 1), backoff.maximum_ms) * JITTER_LEAST)

    def fail(self, what: str) -> NoReturn:
        raise Violation(f"machine {self.number} of {self.shard.name} {what}")


def span(positions: Sequence[int]) -> str:
    return f"{positions[0]}..{positions[-1]} ({len(positions)})" if positions else "nothing"
