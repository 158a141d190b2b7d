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
    """All that is held under one owner's name, by receipt. A message has one receipt that counts, its newest."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._held: dict[str, Held] = {}
        self._receipts: dict[str, str] = {}
        """By the message's id."""

    def __len__(self) -> int:
        return len(self._held)

    def add(self, receipt: str, held: Held) -> None:
        """Write down what was taken.

        Where it was returned before and the answer of that was lost, its older receipt stands for nothing from now on:
        to return it once more would take the message from whoever runs it.
        """
        older = self._receipts.get(held.id)
        if older is not None:
            del self._held[older]
        self._held[receipt] = held
        self._receipts[held.id] = receipt

    def find(self, receipts: Iterable[str]) -> dict[str, Held]:
        """Give those that are held, each once."""
        return {receipt: self._held[receipt] for receipt in receipts if receipt in self._held}

    def drop(self, receipts: Iterable[str]) -> None:
        """Forget what was settled or lost."""
        for receipt in receipts:
            held = self._held.pop(receipt, None)
            if held is not None:
                del self._receipts[held.id]

    def clear(self) -> int:
        """Forget everything; tell how much it was."""
        count = len(self._held)
        self._held.clear()
        self._receipts.clear()
        return count

    def ids(self) -> set[str]:
        """Give the ids of all that is held."""
        return set(self._receipts)

    def lapsed(self, now_ms: int) -> Sequence[str]:
        """Give the receipts whose lease is over."""
        return [receipt for receipt, held in self._held.items() if held.ends_ms <= now_ms]

    def next_end_ms(self) -> int | None:
        """Tell when the first lease ends."""
        return min((held.ends_ms for held in self._held.values()), default=None)
