"""Messages of one deduplication id: which is the first in flight, and which wait for it (D23).

What waits is never delivered while its first one is: when that is settled, the others are settled with it.
"""

from collections.abc import Collection, Iterable, Sequence

from penstock.api import Message


class Twins:
    """The deduplication ids in flight at the one active receiver of a FIFO queue."""

    def __init__(self) -> None:
        """Begin with nothing in flight."""
        self._first: dict[str, str] = {}
        self._waiting: dict[str, set[str]] = {}

    def is_twin(self, message: Message) -> bool:
        """Tell whether a message has to wait for another one; it does from then on. Else it is the first."""
        name = message.deduplication_id
        if name is None or self._first.setdefault(name, message.message_id) == message.message_id:
            return False
        self._waiting.setdefault(name, set()).add(message.message_id)
        return True

    def of(self, names: Iterable[str | None]) -> Sequence[str]:
        """Give the ids of the messages that wait for the first ones of these."""
        return [id_ for name in names if name is not None for id_ in self._waiting.get(name, ())]

    def settle(self, names: Iterable[str | None]) -> None:
        """Forget those whose first message was settled."""
        for name in names:
            if name is not None:
                self._first.pop(name, None)
                self._waiting.pop(name, None)

    def ids(self) -> set[str]:
        """Give the ids of all that wait."""
        return {id_ for waiting in self._waiting.values() for id_ in waiting}

    def keep(self, ids: Collection[str]) -> None:
        """Forget those whose first message is not one of these, with what waits for it."""
        self.settle([name for name, first in self._first.items() if first not in ids])

    def clear(self) -> None:
        """Forget everything."""
        self._first.clear()
        self._waiting.clear()
