from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from harness.orders import Order


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
    """`returned`, `raised`, or nothing while it runs, and when it was killed."""

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
        )

    @property
    def first(self) -> int:
        return self.offsets[0]

    @property
    def last(self) -> int:
        return self.offsets[-1]

    @property
    def has_returned(self) -> bool:
        return self.outcome == "returned"

    def __str__(self) -> str:
        return (
            f"{self.shard} {self.first}..{self.last} by {self.node} (pid {self.pid}) "
            f"from {self.began_s:.3f} to {self.seen_s:.3f} {self.outcome or 'never ended'}"
        )
