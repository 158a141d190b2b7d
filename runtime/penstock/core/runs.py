"""The invocations of a queue machine that were not answered yet: those that take too long are ended."""

from collections.abc import Iterable, Iterator

from penstock.core.commands import Cancel
from penstock.core.message_run import MessageRun

INVOKE_SLACK_MS = 60_000
"""How long beyond the function's timeout an answer may take: a start of the environment and some patience."""
CANCEL_ANSWER_MS = 15_000


class Runs:
    """One per machine."""

    def __init__(self) -> None:
        """Nothing runs yet."""
        self._running: dict[int, MessageRun] = {}

    def __len__(self) -> int:
        """How many there are."""
        return len(self._running)

    def __iter__(self) -> Iterator[MessageRun]:
        """Give them in the order in which they began."""
        return iter(self._running.values())

    def add(self, invocation_id: int, running: MessageRun) -> None:
        """Take one that begins."""
        self._running[invocation_id] = running

    def end(self, invocation_id: int) -> MessageRun | None:
        """Take out the one that was answered; None for a stale answer."""
        return self._running.pop(invocation_id, None)

    def check(self, now_ms: int, *, stop_by_ms: int | None) -> tuple[list[Cancel], list[MessageRun]]:
        """End those whose time is up. Gives what says so, and those that have not answered even to that."""
        cancels, lost = [], []
        must_end = stop_by_ms is not None and now_ms >= stop_by_ms
        for invocation_id, running in list(self._running.items()):
            if not running.cancelled and (must_end or now_ms >= running.answer_by_ms):
                cancels.append(_cancel(invocation_id, running, now_ms))
            elif running.cancelled and now_ms >= running.answer_by_ms:
                lost.append(self._running.pop(invocation_id))
        return cancels, lost

    def cancel_those_with(self, receipts: Iterable[str], now_ms: int) -> list[Cancel]:
        """End those that hold one of these."""
        wanted = set(receipts)
        return [
            _cancel(invocation_id, running, now_ms)
            for invocation_id, running in self._running.items()
            if not running.cancelled and not wanted.isdisjoint(running.batch.receipts)
        ]

    def deadline_ms(self, *, stop_by_ms: int | None) -> int | None:
        """Tell when to look again."""
        times = [running.answer_by_ms for running in self._running.values()]
        if stop_by_ms is not None and any(not running.cancelled for running in self._running.values()):
            times.append(stop_by_ms)
        return min(times, default=None)


def _cancel(invocation_id: int, running: MessageRun, now_ms: int) -> Cancel:
    running.cancelled = True
    running.answer_by_ms = now_ms + CANCEL_ANSWER_MS
    return Cancel(invocation_id)
