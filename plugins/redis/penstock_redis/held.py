"""The messages that we hold: their receipts, their runs so far, and when each lease is over.

A lease lasts as long as its owner's heartbeat and, within that, as long as the engine wants it: the heartbeat is kept
on the server for all at once, the ends of the single leases are kept here.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(slots=True)
class Held:
    """A message of ours. `runs` are those that are over; `ends_ms` is monotonic time.

    What is let go is being settled: its lease is not extended any more.
    """

    id: str
    runs: int
    first_received_ms: int
    ends_ms: int
    deduplication_id: str | None = None
    is_let_go: bool = False


class Book:
    """All that is held under one owner's name, by receipt."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: dict[str, Held] = {}

    def __len__(self) -> int:
        return len(self._held)

    def add(self, receipt: str, held: Held) -> None:
        """Write down what was taken."""
        self._held[receipt] = held

    def find(self, receipts: Iterable[str]) -> dict[str, Held]:
        """Give those that are held, each once."""
        return {receipt: self._held[receipt] for receipt in receipts if receipt in self._held}

    def drop(self, receipts: Iterable[str]) -> None:
        """Forget what was settled or lost."""
        for receipt in receipts:
            self._held.pop(receipt, None)

    def clear(self) -> int:
        """Forget everything; tell how much it was."""
        count = len(self._held)
        self._held.clear()
        return count

    def ids(self) -> set[str]:
        """Give the ids of all that is held."""
        return {held.id for held in self._held.values()}

    def deduplication_ids(self) -> set[str]:
        """Give the deduplication ids in flight."""
        return {held.deduplication_id for held in self._held.values() if held.deduplication_id is not None}

    def lapsed(self, now_ms: int) -> Sequence[str]:
        """Give the receipts whose lease is over."""
        return [receipt for receipt, held in self._held.items() if held.ends_ms <= now_ms]

    def next_end_ms(self) -> int | None:
        """Tell when the first lease ends."""
        return min((held.ends_ms for held in self._held.values()), default=None)
