from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from dataclasses import dataclass, replace
from typing import Any

from harness.orders import Order


@dataclass(frozen=True, slots=True)
class SeenWindow:
    """The tumbling window that an invocation saw: its times as in the event, and the state that it was given."""

    start: str
    end: str
    state: dict[str, Any]
    is_final: bool
    is_early: bool


@dataclass(slots=True)
class Invocation:
    """One run of the function as it wrote it down. Times are seconds of the machine's monotonic clock."""

    request_id: str
    shard: str
    offsets: list[int]
    records: list[Order]
    node: str
    pid: int
    began_s: float
    seen_s: float
    """Its last sign of life; of one that ended, its end."""
    outcome: str = ""
    """`returned`, `reported`, `raised`, or nothing while it runs, and when it was killed."""
    done: int = 0
    """How many of its records it had done when it ended."""
    window: SeenWindow | None = None

    @classmethod
    def from_line(cls, line: dict[str, Any]) -> Invocation:
        shards = line["shards"]
        assert len(shards) == 1, f"an event holds one partition (D7), and this one holds {shards}"
        return cls(
            request_id=line["begin"],
            shard=shards[0],
            offsets=line["offsets"],
            records=[(key, number) for key, number in line["records"]],
            node=line["node"],
            pid=line["pid"],
            began_s=line["at_s"],
            seen_s=line["at_s"],
            window=SeenWindow(*line["window"], line["state"], line["final"], line["early"])
            if "window" in line
            else None,
        )

    @property
    def first(self) -> int:
        return self.offsets[0]

    @property
    def last(self) -> int:
        return self.offsets[-1]

    @property
    def has_returned(self) -> bool:
        """All of it was done."""
        return self.outcome == "returned"

    @property
    def handled(self) -> list[Order]:
        """The records that were done."""
        return self.records[: self.done]

    def by_key(self) -> dict[str, Invocation]:
        """Give this run as the records of each key saw it."""
        places: defaultdict[str, list[int]] = defaultdict(list)
        for place, (key, _) in enumerate(self.records):
            places[key].append(place)
        return {
            key: replace(
                self,
                offsets=[self.offsets[place] for place in its],
                records=[self.records[place] for place in its],
                done=bisect_left(its, self.done),
            )
            for key, its in places.items()
        }

    def __str__(self) -> str:
        span = f"{self.first}..{self.last}" if self.offsets else "without records"
        return (
            f"{self.shard} {span} by {self.node} (pid {self.pid}) "
            f"from {self.began_s:.3f} to {self.seen_s:.3f} {self.outcome or 'never ended'}"
        )
