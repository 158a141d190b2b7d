"""What the scaling policies allow, told a second time from their description (`lambda-semantics.md §4.4`, D24)."""

from __future__ import annotations

from penstock.core.settings import QueueSettings

MINUTE_MS = 60_000
STEPS = {"lambda": (300, 1_250), "lambda-2023": (60, 1_000)}
FLOOR = 5


class Allowance:
    """One per machine. The mapping's own limit binds whatever the policy allows."""

    def __init__(self, settings: QueueSettings) -> None:
        self._settings = settings
        self._allowed = FLOOR
        self._busy_since_ms: int | None = None
        self._is_busy = False

    @property
    def limit(self) -> int | None:
        own = self._settings.concurrency_max
        if self._settings.scaling not in STEPS:
            return own
        return self._allowed if own is None else min(own, self._allowed)

    def change(self, settings: QueueSettings) -> None:
        self._settings = settings

    def on_invoked(self, running: int, now_ms: int) -> None:
        limit = self.limit
        if self._settings.scaling not in STEPS or limit is None or running < limit:
            return
        rests_at = 2 if self._settings.scaling == "lambda" else FLOOR
        if rests_at <= self._allowed < FLOOR and self._settings.concurrency_max is None:
            self._allowed = FLOOR
            return
        self._is_busy = True
        if self._busy_since_ms is None:
            self._busy_since_ms = now_ms

    def on_empty(self) -> None:
        self._busy_since_ms, self._is_busy = None, False
        if self._allowed > FLOOR:
            self._allowed = FLOOR + (self._allowed - FLOOR) // 2
        elif self._settings.scaling == "lambda" and self._settings.concurrency_max is None:
            self._allowed = min(self._allowed, 2)

    def on_failed(self) -> None:
        self._allowed = max(1, self._allowed - max(1, self._allowed // 10))

    def pass_time(self, now_ms: int) -> None:
        if self._settings.scaling not in STEPS:
            return
        step, ceiling = STEPS[self._settings.scaling]
        while self._busy_since_ms is not None and now_ms >= self._busy_since_ms + MINUTE_MS:
            if not self._is_busy:
                self._busy_since_ms = None
                return
            self._busy_since_ms += MINUTE_MS
            self._is_busy = False
            self._allowed = min(ceiling, self._allowed + step if self._allowed >= FLOOR else FLOOR)
