"""The checkpoint of one shard: what is settled, what of that is committed, and when to commit again (D2).

Commits are coalesced: one is in flight, and the newest checkpoint goes next. A commit without an answer is sent again,
so a lost reply costs time and nothing else. Positions never go back.
"""

from collections.abc import Callable
from dataclasses import dataclass

from penstock.api import Checkpoint

ANSWER_MS = 30_000
"""How long a commit may go unanswered before it is sent again."""

UNCOMMITTED_MAX = 10
"""So many settled batches may wait for a commit while commits fail; then the shard stops invoking."""

UNCOMMITTED_RECORDS_MAX = 1_000
"""While they merely take their time, as many records may wait besides, so that small batches need not."""


@dataclass(frozen=True, slots=True)
class _InFlight:
    id: int
    checkpoint: Checkpoint
    answer_by_ms: int
    number: int
    batches: int
    records: int


class Progress:
    """Keeps one shard's checkpoint. The machine settles; this says what to commit and when."""

    def __init__(self, committed: Checkpoint, *, is_stored: bool, back_off_ms: Callable[[int], int]) -> None:
        """Begin from a checkpoint, stored or still to be; `back_off_ms` gives the wait after so many failures."""
        self.committed = committed
        self.has_committed = is_stored
        """The source has a checkpoint of ours."""
        self.settled = committed
        self.number = 0
        """Grows with each change of what is settled."""
        self.committed_number = 0
        """The newest such change that is stored."""
        self.refused = False
        """The source says the shard is not ours: nothing may be invoked until a commit succeeds."""
        self.last_error = ""
        self._back_off_ms = back_off_ms
        self._in_flight: _InFlight | None = None
        self._failures = 0
        self._retry_at_ms: int | None = None
        self._batches_waiting = 0
        self._records_waiting = 0

    @property
    def is_clean(self) -> bool:
        """Everything settled is committed, and no answer is awaited."""
        return self._in_flight is None and not self._is_due

    def is_stored(self, number: int) -> bool:
        """Tell whether what was settled under this number is stored."""
        return number <= self.committed_number or self.is_clean

    @property
    def _is_due(self) -> bool:
        return self.settled != self.committed or not self.has_committed

    @property
    def must_hold(self) -> bool:
        """No more may be settled that a crash would repeat, before what is settled is committed."""
        if self.refused:
            return True
        is_failing = self._failures > 0 or self._records_waiting >= UNCOMMITTED_RECORDS_MAX
        return is_failing and self._batches_waiting >= UNCOMMITTED_MAX

    def settle(self, position: int, note: str = "", *, records: int = 0) -> None:
        """Move the checkpoint to a position, with a note; `records` were settled by that. Committing follows.

        Where other lanes hold the position back, it is the note alone that changes.
        """
        assert position >= self.settled.position, "a checkpoint never goes back"
        checkpoint = Checkpoint(position, note)
        if checkpoint != self.settled:
            self.number += 1
        if records or position > self.settled.position:
            self._batches_waiting += 1
            self._records_waiting += records
        self.settled = checkpoint

    def next(self, now_ms: int, take_id: Callable[[], int]) -> tuple[int, Checkpoint] | None:
        """Tell what to commit now, if anything, and under which id."""
        if self._in_flight is not None and now_ms < self._in_flight.answer_by_ms:
            return None
        if self._retry_at_ms is not None and now_ms < self._retry_at_ms:
            return None
        if self._in_flight is None and not self._is_due:
            return None
        if self._in_flight is not None:
            # No answer is a failure too: what is settled without one must stay bounded.
            self._failures += 1
            self.last_error = "a commit was not answered"
        self._retry_at_ms = None
        self._in_flight = _InFlight(
            take_id(), self.settled, now_ms + ANSWER_MS, self.number, self._batches_waiting, self._records_waiting
        )
        return self._in_flight.id, self.settled

    def on_committed(self, fact_id: int) -> int:
        """Take in that a commit is stored; gives how many records were settled by it."""
        stored = self._in_flight
        if stored is None or stored.id != fact_id:
            return 0
        self.committed, self.committed_number = stored.checkpoint, stored.number
        self._batches_waiting -= stored.batches
        self._records_waiting -= stored.records
        self.has_committed = True
        self._in_flight = None
        self._failures = 0
        self.refused = False
        self.last_error = ""
        return stored.records

    def on_failed(self, fact_id: int, reason: str, *, refused: bool, now_ms: int) -> int | None:
        """Take in that a commit failed; gives the wait before the next try, or None for a stale answer."""
        if self._in_flight is None or self._in_flight.id != fact_id:
            return None
        self._in_flight = None
        self._failures += 1
        self.refused = refused
        self.last_error = reason
        wait_ms = self._back_off_ms(self._failures)
        self._retry_at_ms = now_ms + wait_ms
        return wait_ms

    def deadline_ms(self) -> int | None:
        """Tell when to ask `next` again, if nothing happens before."""
        if self._in_flight is not None:
            return self._in_flight.answer_by_ms
        return self._retry_at_ms
