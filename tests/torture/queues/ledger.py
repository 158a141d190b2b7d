"""What the functions wrote down."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.orders import Order
from harness.tail import Tail


@dataclass(frozen=True, slots=True)
class Handed:
    """A message as a function was handed it."""

    order: Order
    message_id: str
    receive_count: int


@dataclass(slots=True, eq=False)
class Run:
    """One run of a function. Times are seconds of the machine's monotonic clock."""

    request_id: str
    messages: list[Handed]
    node: str
    began_s: float
    seen_s: float
    """Its last sign of life; of one that ended, its end."""
    outcome: str = ""
    """`returned`, `reported`, `raised`, or nothing when its process was ended."""
    done: frozenset[Order] = field(default_factory=frozenset)
    reported: frozenset[Order] = field(default_factory=frozenset)

    def has_failed(self, order: Order) -> bool:
        """Tell whether a message failed here; one that was only behind such a one in its group did not."""
        return order in self.reported or self.outcome in {"", "raised"}

    def __str__(self) -> str:
        orders = ", ".join(f"{one.order[0]}/{one.order[1]} ({one.receive_count})" for one in self.messages[:4])
        more = ", …" if len(self.messages) > 4 else ""
        return f"{self.node} with {orders}{more}: {self.began_s:.3f}-{self.seen_s:.3f} {self.outcome or 'never ended'}"


class Ledger:
    """One file that all environments of all nodes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = Tail(path)
        self._runs: dict[str, Run] = {}

    def read(self) -> list[Run]:
        """Give all runs so far, in the order in which they began."""
        for line in self._tail.read():
            self._take_in(line)
        return sorted(self._runs.values(), key=lambda run: run.began_s)

    def _take_in(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            handed = [Handed((key, number), id_, count) for key, number, id_, count in line["messages"]]
            self._runs[line["begin"]] = Run(line["begin"], handed, line["node"], line["at_s"], line["at_s"])
            return
        run = self._runs[line.get("alive") or line["end"]]
        run.seen_s = line["at_s"]
        if "end" in line:
            run.outcome = line["outcome"]
            run.done = frozenset((key, number) for key, number in line["done"])
            run.reported = frozenset((key, number) for key, number in line["failed"])
