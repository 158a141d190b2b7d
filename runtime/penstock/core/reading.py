"""What one shard has asked its source and not yet been answered, and when to ask again after a failure."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock.api import Start
from penstock.core.commands import Fetch, Resolve

FETCH_ANSWER_MS = 90_000
RESOLVE_ANSWER_MS = 60_000

Action: TypeAlias = Literal["find the starting position", "read"]


@dataclass(slots=True)
class _Asked:
    id: int
    action: Action
    answer_by_ms: int


class Reading:
    """Asks one thing at a time. An answer that does not come is asked for again, under a new id."""

    def __init__(self, *, back_off_ms: Callable[[int], int], take_id: Callable[[], int]) -> None:
        """`back_off_ms` gives the wait after so many failures in a row."""
        self.last_error = ""
        self.retry_ms: int | None = None
        """While the source has failed, when it is asked again."""
        self._back_off_ms = back_off_ms
        self._take_id = take_id
        self._asked: _Asked | None = None
        self._failures = 0

    def resolve(self, start: Start, now_ms: int) -> Resolve | None:
        """Ask for the position of a start, unless that is asked already or the source has just failed."""
        asked = self._ask("find the starting position", RESOLVE_ANSWER_MS, now_ms)
        return Resolve(asked.id, start) if asked else None

    def fetch(self, after: int, room: tuple[int, int] | None, now_ms: int) -> Fetch | None:
        """Ask for records, if there is room for so many records and bytes."""
        if room is None:
            self._forget_what_is_over(now_ms)
            return None
        asked = self._ask("read", FETCH_ANSWER_MS, now_ms)
        return Fetch(asked.id, after, *room) if asked else None

    def take_answer(self, fact_id: int) -> bool:
        """Take in an answer; False for a stale one."""
        if self._asked is None or self._asked.id != fact_id:
            return False
        self._asked = None
        self._failures = 0
        self.last_error = ""
        return True

    def take_failure(self, fact_id: int, reason: str, now_ms: int) -> tuple[Action, int] | None:
        """Take in that the source failed: gives what it was asked and the wait; None for a stale answer."""
        asked = self._asked
        if asked is None or asked.id != fact_id:
            return None
        self._asked = None
        self._failures += 1
        self.last_error = reason
        wait_ms = self._back_off_ms(self._failures)
        self.retry_ms = now_ms + wait_ms
        return asked.action, wait_ms

    def deadline_ms(self) -> int | None:
        """Tell when to ask again, if nothing happens before."""
        return self._asked.answer_by_ms if self._asked is not None else self.retry_ms

    def _ask(self, action: Action, answer_ms: int, now_ms: int) -> _Asked | None:
        self._forget_what_is_over(now_ms)
        if self._asked is not None or self.retry_ms is not None:
            return None
        self._asked = _Asked(self._take_id(), action, now_ms + answer_ms)
        return self._asked

    def _forget_what_is_over(self, now_ms: int) -> None:
        if self.retry_ms is not None and now_ms >= self.retry_ms:
            self.retry_ms = None
        if self._asked is not None and now_ms >= self._asked.answer_by_ms:
            self._asked = None
