"""The one receive that may be outstanding: asked for, answered, given up when no answer comes (D20)."""

from collections import deque
from dataclasses import dataclass
from typing import Literal

from penstock.core.commands import Cancel, Receive

RECEIVE_WAIT_MS = 20_000
RECEIVE_SLACK_MS = 70_000
LAST_ANSWER_MS = 1_000
"""A receive that was cancelled still gets so long to be answered."""
GIVEN_UP_MAX = 16


@dataclass(slots=True)
class _Asked:
    id: int
    answer_by_ms: int
    cancelled: bool = False


class Receiving:
    """Knows which answer is awaited, and which came too late."""

    def __init__(self) -> None:
        """Nothing is asked for yet."""
        self.failures = 0
        self.again_ms: int | None = None
        """When to ask again after a failure."""
        self._asked: _Asked | None = None
        self._given_up: deque[int] = deque(maxlen=GIVEN_UP_MAX)
        """Receives that were not answered in time; what one of them brings after all is ours, and goes back."""

    @property
    def is_outstanding(self) -> bool:
        """One was asked for, and is not answered."""
        return self._asked is not None

    def ask(self, command_id: int, *, messages_max: int, wait_ms: int, now_ms: int) -> Receive:
        """Make the command."""
        self._asked = _Asked(command_id, now_ms + wait_ms + RECEIVE_SLACK_MS)
        return Receive(command_id, messages_max, wait_ms)

    def on_received(self, command_id: int) -> Literal["awaited", "late", "stale"]:
        """Take in an answer; what came late is nobody's, and what is stale was heard before."""
        if command_id in self._given_up:
            self._given_up.remove(command_id)
            return "late"
        if self._asked is None or command_id != self._asked.id:
            return "stale"
        self._asked = None
        self.failures = 0
        return "awaited"

    def on_failed(self, command_id: int) -> bool:
        """Take in that the source could not; False for a stale answer."""
        if self._asked is None or command_id != self._asked.id:
            return False
        self._asked = None
        self.failures += 1
        return True

    def overdue(self, now_ms: int) -> Cancel | None:
        """Give up the one that was not answered in time; gives what ends it, unless that was said before."""
        if self.again_ms is not None and now_ms >= self.again_ms:
            self.again_ms = None
        asked = self._asked
        if asked is None or now_ms < asked.answer_by_ms:
            return None
        self._given_up.append(asked.id)
        self._asked = None
        return None if asked.cancelled else Cancel(asked.id)

    def cancel(self, now_ms: int) -> Cancel | None:
        """End it; what it took nevertheless comes with its answer."""
        asked = self._asked
        if asked is None or asked.cancelled:
            return None
        asked.cancelled = True
        asked.answer_by_ms = now_ms + LAST_ANSWER_MS
        return Cancel(asked.id)

    @property
    def is_possible(self) -> bool:
        """Another one may be asked for."""
        return self._asked is None and self.again_ms is None

    def deadline_ms(self) -> int | None:
        """Tell when to look again."""
        return self._asked.answer_by_ms if self._asked is not None else self.again_ms
