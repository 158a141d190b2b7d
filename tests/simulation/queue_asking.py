"""Which receive a machine waits for, and which it has given up (D20)."""

from __future__ import annotations

from typing import Literal

from penstock.core import commands as do
from penstock.core.receiving import LAST_ANSWER_MS, RECEIVE_SLACK_MS
from simulation.trace import Violation

BACK_OFF_LEAST_MS = 395


class Asking:
    """One per machine."""

    def __init__(self) -> None:
        self._asked: int | None = None
        self._answer_by_ms = 0
        self._is_cancelled = False
        self._given_up: set[int] = set()
        self._not_before_ms = 0

    def on_receive(self, command: do.Receive, now_ms: int) -> None:
        self.pass_time(now_ms)
        if self._asked is not None:
            raise Violation("receives twice at once")
        if now_ms < self._not_before_ms:
            raise Violation(f"receives at {now_ms}, right after a failure")
        if command.messages_max < 1 or command.wait_ms < 0:
            raise Violation(f"asks for {command}")
        self._asked, self._is_cancelled = command.id, False
        self._answer_by_ms = now_ms + command.wait_ms + RECEIVE_SLACK_MS

    def on_received(self, command_id: int) -> Literal["awaited", "late", "stale"]:
        if command_id == self._asked:
            self._asked = None
            return "awaited"
        if command_id in self._given_up:
            self._given_up.remove(command_id)
            return "late"
        return "stale"

    def on_failed(self, command_id: int, now_ms: int) -> None:
        if command_id == self._asked:
            self._asked = None
            self._not_before_ms = now_ms + BACK_OFF_LEAST_MS

    def on_cancel(self, command_id: int, now_ms: int) -> None:
        if command_id != self._asked:
            return
        if now_ms >= self._answer_by_ms:
            self.pass_time(now_ms)
        else:
            self._is_cancelled, self._answer_by_ms = True, now_ms + LAST_ANSWER_MS

    def pass_time(self, now_ms: int) -> None:
        if self._asked is not None and now_ms >= self._answer_by_ms:
            self._given_up.add(self._asked)
            self._asked = None
