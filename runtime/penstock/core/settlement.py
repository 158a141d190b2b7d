"""What a queue machine owes its source: acks, returns and counts that were not answered yet (D21, D22).

What fails is tried again until the message's lease has surely lapsed; then the message is the queue's again, and comes
back by itself. Where a lease is the connection, it is tried until it was answered. So is a count: its message is
extended meanwhile, and twice is as once.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeAlias

from penstock.core.commands import Ack, Count, Nack

Settling: TypeAlias = Ack | Nack | Count

ANSWER_MS = 30_000


@dataclass(slots=True)
class _Owed:
    command: Settling
    give_up_ms: int | None
    tries: int = 0
    due_ms: int | None = None
    answer_by_ms: int | None = None

    def is_lapsed(self, at_ms: int) -> bool:
        return self.give_up_ms is not None and at_ms >= self.give_up_ms

    def is_overdue(self, now_ms: int) -> bool:
        return self.answer_by_ms is not None and now_ms >= self.answer_by_ms


class Settlement:
    """Keeps what is owed, and says what to send again and when."""

    def __init__(self, *, back_off_ms: Callable[[int], int]) -> None:
        """`back_off_ms` gives the wait after so many failures."""
        self._back_off_ms = back_off_ms
        self._owed: dict[int, _Owed] = {}

    def __len__(self) -> int:
        """How many messages are being acked or returned. Counts settle nothing."""
        return sum(len(owed.command.receipts) for owed in self._owed.values() if not isinstance(owed.command, Count))

    def owe(self, command: Settling, *, give_up_ms: int | None, now_ms: int) -> None:
        """Add what `next` will give at once. None: it is never given up."""
        self._owed[command.id] = _Owed(command, give_up_ms, due_ms=now_ms)

    def give_up(self, now_ms: int) -> list[Settling]:
        """Forget, and give, what was never answered and is not ours any more by now."""
        lapsed = [owed.command for owed in self._owed.values() if owed.is_overdue(now_ms) and owed.is_lapsed(now_ms)]
        for command in lapsed:
            del self._owed[command.id]
        return lapsed

    def next(self, now_ms: int, take_id: Callable[[], int]) -> list[Settling]:
        """Give what to send now, each under an id that its answer will carry."""
        for owed in [owed for owed in self._owed.values() if owed.is_overdue(now_ms)]:
            # The answer was lost. Settling twice is harmless, so it is sent again, as something new.
            del self._owed[owed.command.id]
            owed.command = replace(owed.command, id=take_id())
            owed.due_ms, owed.answer_by_ms = now_ms, None
            self._owed[owed.command.id] = owed
        commands = []
        for owed in self._owed.values():
            if owed.due_ms is not None and now_ms >= owed.due_ms:
                owed.due_ms, owed.answer_by_ms = None, now_ms + ANSWER_MS
                commands.append(owed.command)
        return commands

    def on_settled(self, fact_id: int) -> Settling | None:
        """Take in that something was done; gives it, or None for a stale answer."""
        owed = self._owed.pop(fact_id, None)
        return owed.command if owed else None

    def on_failed(self, fact_id: int, now_ms: int) -> tuple[Settling, int | None] | None:
        """Take in that something was not done: gives it with the wait before the next try, None when given up.

        A stale answer gives None altogether.
        """
        owed = self._owed.get(fact_id)
        if owed is None:
            return None
        owed.tries += 1
        if owed.is_lapsed(now_ms):
            del self._owed[fact_id]
            return owed.command, None
        wait_ms = self._back_off_ms(owed.tries)
        if owed.give_up_ms is not None:
            # Given up any sooner, the message would still be ours, and later ones of its group might overtake it.
            wait_ms = min(wait_ms, owed.give_up_ms - now_ms)
        owed.answer_by_ms, owed.due_ms = None, now_ms + wait_ms
        return owed.command, wait_ms

    def deadline_ms(self) -> int | None:
        """Tell when to ask `next` again, if nothing happens before."""
        times = [time for owed in self._owed.values() for time in (owed.due_ms, owed.answer_by_ms) if time is not None]
        return min(times, default=None)
