"""Messages that nobody runs and that come again later, held here where the queue can not hide them (D25, D26)."""

from collections.abc import Sequence


class Hiding:
    """One per machine. What is here is still extended, and is given back when it is due."""

    def __init__(self) -> None:
        """Nothing is hidden yet."""
        self._hidden: list[tuple[int, tuple[str, ...]]] = []

    def __len__(self) -> int:
        """How many messages there are."""
        return sum(len(receipts) for _, receipts in self._hidden)

    def hide(self, receipts: Sequence[str], due_ms: int) -> None:
        """Hold these until then."""
        self._hidden.append((due_ms, tuple(receipts)))

    def take_due(self, now_ms: int) -> tuple[str, ...]:
        """Take out what is due."""
        due = [receipts for due_ms, receipts in self._hidden if now_ms >= due_ms]
        self._hidden = [(due_ms, receipts) for due_ms, receipts in self._hidden if now_ms < due_ms]
        return tuple(receipt for receipts in due for receipt in receipts)

    def take_all(self) -> tuple[str, ...]:
        """Take out all."""
        everything = tuple(receipt for _, receipts in self._hidden for receipt in receipts)
        self._hidden.clear()
        return everything

    def deadline_ms(self) -> int | None:
        """Tell when the first of them is due."""
        return min((due_ms for due_ms, _ in self._hidden), default=None)
