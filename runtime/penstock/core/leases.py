"""The leases of the messages that a queue machine holds: who must be extended, and when (D21).

A lease is extended when a third of it has passed, so that two extensions may fail before one lapses.
"""

from collections.abc import Hashable
from dataclasses import dataclass

EXTEND_EVERY_MS_LEAST = 10
"""However short a lease is, extending it never becomes all there is to do."""


@dataclass(slots=True)
class _Held:
    receipts: tuple[str, ...]
    extend_at_ms: int


class Leases:
    """Keeps one entry for each group of messages that share a fate: a batch in flight, or one that waits."""

    def __init__(self, *, lease_ms: int) -> None:
        """Take the length of a lease."""
        self.lease_ms = lease_ms
        self._held: dict[Hashable, _Held] = {}

    def hold(self, key: Hashable, receipts: tuple[str, ...], now_ms: int) -> None:
        """Extend these from now on; where the entry grew, the oldest lease in it says when."""
        before = self._held.get(key)
        extend_at_ms = now_ms + self._every_ms()
        self._held[key] = _Held(receipts, min(extend_at_ms, before.extend_at_ms) if before else extend_at_ms)

    def move(self, key: Hashable, new_key: Hashable, receipts: tuple[str, ...], rest: tuple[str, ...]) -> None:
        """Give some receipts of an entry one of their own, with the same time; the rest stay."""
        held = self._held.pop(key)
        self._held[new_key] = _Held(receipts, held.extend_at_ms)
        if rest:
            self._held[key] = _Held(rest, held.extend_at_ms)

    def let_go(self, key: Hashable) -> None:
        """Extend these no more."""
        self._held.pop(key, None)

    def due(self, now_ms: int) -> list[tuple[str, ...]]:
        """Give the receipts to extend now; each is due again after a third of the lease."""
        due = [held for held in self._held.values() if now_ms >= held.extend_at_ms]
        for held in due:
            held.extend_at_ms = now_ms + self._every_ms()
        return [held.receipts for held in due]

    def deadline_ms(self) -> int | None:
        """Tell when the next one is due."""
        return min((held.extend_at_ms for held in self._held.values()), default=None)

    def _every_ms(self) -> int:
        return max(self.lease_ms // 3, EXTEND_EVERY_MS_LEAST)
