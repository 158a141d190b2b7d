"""Deduplication ids of a FIFO queue (D23): a message whose id is in flight waits, one whose id was settled lately goes.

The memory is this process's. A FIFO queue has one receiver at a time, so it is wrong only after that one has changed.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

REMEMBERED_S = 300.0
"""From settlement on, as AWS has it."""
REMEMBERED_MAX = 100_000


class Twins:
    """Knows the ids by the receipts that carry them."""

    def __init__(self, now_s: Callable[[], float], is_held: Callable[[str], bool]) -> None:
        """Take a clock in seconds, and what knows whether a receipt still stands for something."""
        self._now_s = now_s
        self._is_held = is_held
        self._in_flight: dict[str, str] = {}
        """The receipt that an id is in flight by."""
        self._ids: dict[str, str] = {}
        """Its id, by receipt."""
        self._waiting: dict[str, list[str]] = {}
        """The receipts that wait for an id."""
        self._settled_s: OrderedDict[str, float] = OrderedDict()

    def was_settled(self, name: str) -> bool:
        """Tell whether a message of this id was settled lately."""
        self._forget()
        return name in self._settled_s

    def begin(self, name: str, receipt: str) -> bool:
        """Take in that a message came; False when it has to wait for another one, until that is settled."""
        other = self._in_flight.get(name)
        if other is not None and self._is_held(other):
            self._waiting.setdefault(name, []).append(receipt)
            return False
        self._in_flight[name] = receipt
        self._ids[receipt] = name
        return True

    def settle(self, receipts: Iterable[str]) -> list[str]:
        """Take in that these are settled for good; gives the receipts that waited for them, which are settled too."""
        twins: list[str] = []
        for receipt in receipts:
            name = self._ids.pop(receipt, None)
            if name is None:
                continue
            self._end(name, receipt)
            twins += self._waiting.pop(name, ())
            self._settled_s[name] = self._now_s()
            self._settled_s.move_to_end(name)
        return twins

    def give_back(self, receipts: Iterable[str]) -> list[str]:
        """Take in that these come again; gives the receipts that waited for them, which must come again too."""
        twins: list[str] = []
        for receipt in receipts:
            name = self._ids.pop(receipt, None)
            if name is not None:
                self._end(name, receipt)
                twins += self._waiting.pop(name, ())
        return twins

    def lose(self) -> None:
        """Take in that nothing is in flight any more."""
        self._in_flight.clear()
        self._ids.clear()
        self._waiting.clear()

    def _end(self, name: str, receipt: str) -> None:
        if self._in_flight.get(name) == receipt:
            del self._in_flight[name]

    def _forget(self) -> None:
        now_s = self._now_s()
        while self._settled_s:
            name, settled_s = next(iter(self._settled_s.items()))
            if len(self._settled_s) <= REMEMBERED_MAX and now_s - settled_s < REMEMBERED_S:
                return
            del self._settled_s[name]
