"""One invocation record on its way to a destination: sent until it is taken, or given up by rule (D14)."""

from collections.abc import Callable

from penstock.core.commands import Deliver
from penstock.core.invocation_record import InvocationRecord
from penstock.core.settings import DeliverySettings
from penstock.core.views import DeliveryView

ANSWER_MS = 120_000
"""How long a delivery may go unanswered before it is sent again. Twice is harmless, never is not."""
TRIES_LONGEST = 64
"""After so many tries every back-off has grown to its maximum."""


class Delivery:
    """Says what to send and when. One at a time; the records it tells of are unsettled until it has ended."""

    def __init__(self, record: InvocationRecord, *, now_ms: int) -> None:
        """Take the record; `next` gives it at once."""
        self.record = record
        self.tries = 0
        self.is_refused = False
        self.is_abandoned = False
        self.last_error = ""
        self._since_ms = now_ms
        self._id: int | None = None
        self._answer_by_ms = 0
        self._due_ms = now_ms

    @property
    def id(self) -> int | None:
        """The command that is not answered yet."""
        return self._id

    def next(self, now_ms: int, take_id: Callable[[], int]) -> Deliver | None:
        """Tell what to send now, if anything."""
        if self._id is not None and now_ms < self._answer_by_ms:
            return None
        if self._id is None and now_ms < self._due_ms:
            return None
        self._id = take_id()
        self._answer_by_ms = now_ms + ANSWER_MS
        return Deliver(self._id, self.record)

    def on_failed(
        self, reason: str, *, refused: bool, settings: DeliverySettings, back_off_ms: Callable[[int], int], now_ms: int
    ) -> int | None:
        """Take in that it was not taken; gives the wait before the next try, None where there is none.

        What was refused for good is tried again all the same while it is held, since somebody may change the
        destination.
        """
        self._id = None
        self.tries += 1
        self.is_refused = refused
        self.last_error = reason
        if refused and settings.on_refusal == "drop":
            return None
        if settings.attempts_max is not None and self.tries >= settings.attempts_max:
            return None
        # What is refused is not mended by itself: it is asked for as seldom as can be.
        wait_ms = back_off_ms(TRIES_LONGEST if refused else self.tries)
        self._due_ms = now_ms + wait_ms
        return wait_ms

    def abandon(self) -> None:
        """Hear no answer any more: whoever has the shard next sends it again."""
        self._id, self.is_abandoned = None, True

    def deadline_ms(self) -> int:
        """Tell when to ask `next` again, if nothing happens before."""
        return self._due_ms if self._id is None else self._answer_by_ms

    def view(self) -> DeliveryView:
        """Show how it stands."""
        records = self.record.records
        return DeliveryView(
            condition=self.record.condition,
            first=str(records[0].position),
            last=str(records[-1].position),
            records=len(records),
            tries=self.tries,
            since_ms=self._since_ms,
            next_try_ms=self._due_ms if self._id is None else None,
            last_error=self.last_error,
            refused=self.is_refused,
        )
