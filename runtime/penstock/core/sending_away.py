"""Dead letters on their way: each is sent until its target has it, a few at a time (D13, D22).

A target that can not be reached makes all of them wait, with back-off. A letter that is refused for good is tried again
all the same, by itself and with its own back-off, since somebody may change the target; the others go on.
"""

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from penstock.core.commands import SendAway
from penstock.core.dead_letter import DeadLetter
from penstock.core.views import DeliveryView

IN_FLIGHT_MAX = 10
ANSWER_MS = 120_000
"""How long a letter may go unanswered before it is sent again. Twice is harmless, never is not."""


@dataclass(slots=True, eq=False)
class _Leaving:
    letter: DeadLetter
    since_ms: int
    tries: int = 0
    is_refused: bool = False
    last_error: str = ""
    id: int | None = None
    answer_by_ms: int = 0
    due_ms: int = 0


class SendingAway:
    """Says what to send and when. What it holds is still the queue's: its messages are acked after they were taken."""

    def __init__(self, *, back_off_ms: Callable[[int], int]) -> None:
        """`back_off_ms` gives the wait after so many failures."""
        self._back_off_ms = back_off_ms
        self._waiting: deque[_Leaving] = deque()
        self._refused: list[_Leaving] = []
        self._sent: dict[int, _Leaving] = {}
        self._failures = 0
        self._again_ms: int | None = None

    def __len__(self) -> int:
        """How many letters are not taken yet."""
        return len(self._waiting) + len(self._refused) + len(self._sent)

    def add(self, letters: Iterable[DeadLetter], now_ms: int) -> None:
        """Take what `next` gives in its turn."""
        self._waiting.extend(_Leaving(letter, now_ms) for letter in letters)

    def next(self, now_ms: int, take_id: Callable[[], int]) -> list[SendAway]:
        """Give what to send now, each under an id that its answer will carry."""
        for unanswered in [one for one in self._sent.values() if now_ms >= one.answer_by_ms]:
            self._take_back(unanswered)
            self._waiting.appendleft(unanswered)
        if self._again_ms is not None and now_ms >= self._again_ms:
            self._again_ms = None
        commands = []
        while self._again_ms is None and len(self._sent) < IN_FLIGHT_MAX:
            leaving = self._next(now_ms)
            if leaving is None:
                break
            leaving.id, leaving.answer_by_ms = take_id(), now_ms + ANSWER_MS
            self._sent[leaving.id] = leaving
            commands.append(SendAway(leaving.id, leaving.letter))
        return commands

    def on_delivered(self, command_id: int) -> DeadLetter | None:
        """Take in that the target has a letter; gives it, or None for a stale answer."""
        leaving = self._sent.pop(command_id, None)
        if leaving is None:
            return None
        self._failures, self._again_ms = 0, None
        return leaving.letter

    def on_failed(self, command_id: int, reason: str, *, refused: bool, now_ms: int) -> tuple[DeadLetter, int] | None:
        """Take in that a letter was not taken: gives it with the wait before the next try, None for a stale answer."""
        leaving = self._sent.get(command_id)
        if leaving is None:
            return None
        self._take_back(leaving)
        leaving.tries += 1
        leaving.is_refused, leaving.last_error = refused, reason
        if refused:
            wait_ms = self._back_off_ms(leaving.tries)
            leaving.due_ms = now_ms + wait_ms
            self._refused.append(leaving)
            return leaving.letter, wait_ms
        if self._again_ms is None:
            self._failures += 1
            self._again_ms = now_ms + self._back_off_ms(self._failures)
        self._waiting.appendleft(leaving)
        return leaving.letter, self._again_ms - now_ms

    def drop_failed(self) -> list[DeadLetter]:
        """Take out what has failed before and is not being sent now."""
        dropped = [leaving.letter for leaving in self._refused]
        self._refused.clear()
        if self._failures:
            dropped += [leaving.letter for leaving in self._waiting]
            self._waiting.clear()
        return dropped

    def clear(self) -> tuple[list[DeadLetter], list[int]]:
        """Take all of them out; gives them, and the ids of those that are being sent."""
        sent = list(self._sent)
        letters = [one.letter for one in (*self._sent.values(), *self._refused, *self._waiting)]
        self._sent.clear()
        self._refused.clear()
        self._waiting.clear()
        return letters, sent

    def deadline_ms(self) -> int | None:
        """Tell when to ask `next` again, if nothing happens before."""
        times = [leaving.answer_by_ms for leaving in self._sent.values()]
        if len(self._sent) < IN_FLIGHT_MAX:
            if self._again_ms is not None and (self._waiting or self._refused):
                times.append(self._again_ms)
            elif self._again_ms is None:
                times += [leaving.due_ms for leaving in self._refused]
        return min(times, default=None)

    def view(self) -> DeliveryView | None:
        """Show the one that needs somebody most: one that was refused, or else the first that was not taken."""
        in_turn = (*self._refused, *self._sent.values(), *self._waiting)
        troubled = next((one for one in in_turn if one.is_refused), None) or next(
            (one for one in in_turn if one.tries), None
        )
        return None if troubled is None else self._show(troubled)

    def _next(self, now_ms: int) -> _Leaving | None:
        if self._waiting:
            return self._waiting.popleft()
        due = next((one for one in self._refused if now_ms >= one.due_ms), None)
        if due is not None:
            self._refused.remove(due)
        return due

    def _take_back(self, leaving: _Leaving) -> None:
        assert leaving.id is not None
        del self._sent[leaving.id]
        leaving.id = None

    def _show(self, leaving: _Leaving) -> DeliveryView:
        condition, first, last, messages = leaving.letter.span()
        next_try_ms = leaving.due_ms if leaving.is_refused else self._again_ms
        return DeliveryView(
            condition=condition,
            first=first,
            last=last,
            records=messages,
            tries=leaving.tries,
            since_ms=leaving.since_ms,
            next_try_ms=next_try_ms if leaving.id is None else None,
            last_error=leaving.last_error,
            refused=leaving.is_refused,
        )
