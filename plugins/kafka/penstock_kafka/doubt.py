"""Whether what a member holds is still its own, when this process stood still: stopped, or asleep with its machine.

A group gives away what belongs to a member that it does not hear from for a session, and the member learns of it only
after it goes on. Until the group has named it as a member again, or has told it of its loss, nothing may begin on its
shards and nothing be committed (`D10`).
"""

import time
from collections.abc import Callable
from typing import Any

from penstock_kafka.client import Admin, Answer, KafkaException, new_admin

FIRST_ASK_S = 0.5
"""The heartbeats go first: one that is overdue is sent at once, and what the group says after it is worth more."""

AGAIN_S = 0.5
ANSWER_S = 5.0


class Doubt:
    """Opened by `tick` on the member's thread, read by `is_clear` on any."""

    def __init__(self, *, still_max_s: float, group: str, config: dict[str, Any]) -> None:
        """Take how long this process may stand still and surely be a member, and how to ask about its group."""
        self._still_max_s = still_max_s
        self._group = group
        self._config = config
        self._seen_s = clock_s()
        self._is_open = False
        self._ask_at_s = 0.0
        self._admin: Admin | None = None
        self._answer: Answer | None = None

    def is_clear(self) -> bool:
        """Tell whether this process has surely been a member all the time until now."""
        # Read in this order, since the thread writes in the other: whoever sees it go on sees what it found out.
        return clock_s() - self._seen_s <= self._still_max_s and not self._is_open

    # On the member's thread.

    def tick(self) -> None:
        """Say that the thread goes on; one that did not for too long begins to doubt."""
        now_s = clock_s()
        if now_s - self._seen_s > self._still_max_s:
            self.begin()
        self._seen_s = now_s

    def begin(self) -> None:
        """Doubt from now on, whatever the group has said before."""
        self._is_open = True
        self._answer = None
        self._ask_at_s = clock_s() + FIRST_ASK_S

    def resolve(self, member_id: Callable[[], str | None]) -> bool:
        """Ask the group, and stop doubting once it names this member; True when it just did. Waits for no broker."""
        if not self._is_open:
            return False
        now_s = clock_s()
        if self._answer is None:
            if now_s >= self._ask_at_s:
                self._admin = self._admin or new_admin(self._config)
                self._answer = self._admin.describe_group(self._group, timeout_s=ANSWER_S)
            return False
        if self._admin is not None:
            self._admin.serve()
        if not self._answer.done():
            return False
        answer, self._answer = self._answer, None
        self._ask_at_s = now_s + AGAIN_S
        if not _names(answer, member_id()):
            return False
        self.end()
        return True

    def end(self) -> None:
        """Stop doubting: the group was heard."""
        self._is_open = False
        self._admin = self._answer = None


def _names(answer: Answer, member_id: str | None) -> bool:
    try:
        members = answer.result().members
    except KafkaException:
        return False
    return member_id is not None and any(member.member_id == member_id for member in members)


def clock_s() -> float:
    """Read a clock that goes on while the machine sleeps, where that can be had."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
