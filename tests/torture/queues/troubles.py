"""What was done to nodes and brokers, and when: what the books may put down to it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

SETTLE_S = 2.0
"""How long what a function did may wait to be settled; usual are some tens of milliseconds."""

How = Literal["killed", "drained", "stopped", "restarted", "lost"]


@dataclass(frozen=True, slots=True)
class Trouble:
    """From one time to another, by the monotonic clock, something was wrong: with a run of a node, or with a broker.

    `who` is the run of the node, or the kind of queue. `lost`: the node said that the leases of messages had run out.
    """

    how: How
    who: str
    from_s: float
    until_s: float

    @property
    def is_death(self) -> bool:
        """What a drain has in its hands is given back uncounted; anything else may count as a run."""
        return self.how != "drained"


class Troubles:
    """All of them, as one kind of queue sees them."""

    def __init__(self, troubles: Iterable[Trouble], kind: str) -> None:
        self._all = [each for each in troubles if each.how != "restarted" or each.who == kind]

    def deaths(self, from_s: float, until_s: float) -> int:
        """Count those between two times that may have used up a receive of a message."""
        return sum(each.is_death for each in self._between(from_s, until_s))

    def all_since(self, from_s: float) -> int:
        """Count those since some time, drains included."""
        return len(self._between(from_s, float("inf")))

    def explains_repeat(self, node: str, done_s: float) -> bool:
        """Tell whether what a node did at some time may not have been settled: it, or the broker, was in trouble."""
        found = self._between(done_s, done_s + SETTLE_S)
        return any(each.how == "restarted" or each.who == node for each in found)

    def ended(self, node: str, from_s: float, until_s: float) -> bool:
        """Tell whether a run of a node was killed between two times."""
        return any(each.how == "killed" and each.who == node for each in self._between(from_s, until_s))

    def stood_still(self, node: str, from_s: float, until_s: float) -> bool:
        """Tell whether a run of a node was stopped between two times."""
        return any(each.how == "stopped" and each.who == node for each in self._between(from_s, until_s))

    def _between(self, from_s: float, until_s: float) -> list[Trouble]:
        return [each for each in self._all if each.from_s <= until_s and each.until_s >= from_s]
