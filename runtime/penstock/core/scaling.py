"""How many invocations of a queue mapping there may be at once (`lambda-semantics.md §4.4`, D24).

`eager` knows no limit but the mapping's own: what there is work for runs at once. `lambda` and `lambda-2023` begin with
five and add 300 or 60 after each minute in which all that was allowed was in use, up to 1,250 or 1,000. A receive that
brings nothing ends that: growth begins anew, and half of what is above the five goes; `lambda` without a limit of its
own goes on to two, and back to five as soon as two are not enough. A failed invocation takes a tenth away, down to one
in the end, unless the function reports its failures itself; after the next busy minute it is five again, or more.

AWS says neither how it shrinks nor by how much an error counts: those figures are ours.
"""

from dataclasses import dataclass
from types import MappingProxyType

MINUTE_MS = 60_000


@dataclass(frozen=True, slots=True)
class Policy:
    """How a number grows. `idle` is what it may go to where the mapping has no limit of its own."""

    floor: int
    step: int
    ceiling: int
    idle: int


POLICIES = MappingProxyType(
    {
        "lambda": Policy(floor=5, step=300, ceiling=1_250, idle=2),
        "lambda-2023": Policy(floor=5, step=60, ceiling=1_000, idle=5),
    }
)


class Scaling:
    """One per mapping. Hears what happens, and says how many there may be."""

    def __init__(self, policy: str, concurrency_max: int | None) -> None:
        """Take the policy's name and the mapping's own limit."""
        self._name = policy
        self._policy = POLICIES.get(policy)
        self._most = concurrency_max
        self._allowed = self._policy.floor if self._policy is not None else 0
        self._since_ms: int | None = None
        self._was_saturated = False

    @property
    def limit(self) -> int | None:
        """How many there may be now; None: no limit of the mapping's."""
        if self._policy is None:
            return self._most
        return self._allowed if self._most is None else min(self._allowed, self._most)

    def change(self, policy: str, concurrency_max: int | None) -> None:
        """Take other settings; another policy begins anew."""
        if policy != self._name:
            self.__init__(policy, concurrency_max)  # type: ignore[misc]  # begins as a new one does
        self._most = concurrency_max

    def on_busy(self, running: int, now_ms: int) -> None:
        """Hear how many run. Where that is all there may be, a busy minute begins or goes on."""
        limit = self.limit
        if self._policy is None or limit is None or running < limit:
            return
        if self._policy.idle <= self._allowed < self._policy.floor and self._most is None:
            self._allowed = self._policy.floor
            return
        self._was_saturated = True
        if self._since_ms is None:
            self._since_ms = now_ms

    def on_empty_receive(self) -> None:
        """Hear that nothing waits."""
        self._since_ms, self._was_saturated = None, False
        policy = self._policy
        if policy is None:
            return
        if self._allowed > policy.floor:
            self._allowed -= (self._allowed - policy.floor + 1) // 2
        elif self._most is None:
            self._allowed = min(self._allowed, policy.idle)

    def on_failed(self) -> None:
        """Hear that an invocation failed."""
        if self._policy is not None:
            self._allowed = max(1, self._allowed - max(1, self._allowed // 10))

    def advance(self, now_ms: int) -> None:
        """Let the minutes pass."""
        while self._policy is not None and self._since_ms is not None and now_ms >= self._since_ms + MINUTE_MS:
            if not self._was_saturated:
                self._since_ms = None
                return
            self._since_ms += MINUTE_MS
            self._was_saturated = False
            grown = self._allowed + self._policy.step if self._allowed >= self._policy.floor else self._policy.floor
            self._allowed = min(grown, self._policy.ceiling)

    def deadline_ms(self) -> int | None:
        """Tell when it grows next, if it is as busy as it is."""
        return self._since_ms + MINUTE_MS if self._since_ms is not None and self._was_saturated else None
