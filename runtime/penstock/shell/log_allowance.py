"""How many lines about things that go well a mapping may log. Pure: what happened and the time in, a verdict out.

A quiet mapping shows every batch; a busy one the first few of an interval, and then in one line what was left out. What
goes wrong needs no allowance. At 500 batches a second whole lines would be some ten gigabytes a day, and as long as
whoever reads the node's output is slow, writing them holds up the node.
"""

from dataclasses import dataclass, field
from typing import Any

LINES_MAX = 10
INTERVAL_S = 10.0


@dataclass(slots=True)
class LeftOut:
    """What was left out of one interval."""

    count: int = 0
    records: int = 0
    duration_ms_max: int | None = None
    shards: set[str] = field(default_factory=set)

    def add(self, shard: str, values: dict[str, Any]) -> None:
        """Count one more line that is not written."""
        self.count += 1
        self.records += values.get("records", 0)
        if "duration_ms" in values:
            self.duration_ms_max = max(values["duration_ms"], self.duration_ms_max or 0)
        self.shards.add(shard)


class LogAllowance:
    """One for each kind of line of one mapping."""

    def __init__(self) -> None:
        """Begin with the whole allowance."""
        self.left_out: LeftOut | None = None
        self.ends_s = 0.0
        """When the interval at hand ends, on the caller's clock."""
        self._written = 0

    def take(self, shard: str, values: dict[str, Any], now_s: float) -> bool:
        """Tell whether this line may be written; it is counted as left out otherwise.

        What the interval before left out must have been taken by `close` as soon as it ended.
        """
        if now_s >= self.ends_s and self.left_out is None:
            self.ends_s = now_s + INTERVAL_S
            self._written = 0
        if self.left_out is None and self._written < LINES_MAX:
            self._written += 1
            return True
        if self.left_out is None:
            self.left_out = LeftOut()
        self.left_out.add(shard, values)
        return False

    def close(self) -> LeftOut | None:
        """End the interval; gives what was left out, if anything."""
        left_out, self.left_out = self.left_out, None
        self.ends_s = 0.0
        return left_out
