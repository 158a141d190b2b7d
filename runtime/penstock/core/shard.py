"""What there is of a shard once its position is known: its checkpoint, what was read, and the batch being settled.

It answers what may be done next and when; the machine does it. It never reads a clock and says no command.
"""

from collections.abc import Callable

from penstock.api import Checkpoint, Fetched
from penstock.core import note
from penstock.core.attempt import Unsettled
from penstock.core.batcher import Batcher
from penstock.core.progress import Progress

QUIET_MS = 1_000
"""A position that moves without records (transaction markers, filtered ones) is committed so long after it began to."""


class Shard:
    """Begins at a checkpoint; `resumed` is the note that came with it (D2)."""

    def __init__(
        self,
        checkpoint: Checkpoint,
        batcher: Batcher,
        *,
        resumed: note.Note | None,
        is_stored: bool,
        back_off_ms: Callable[[int], int],
        now_ms: int,
    ) -> None:
        """Take where to begin. A start that was just resolved is not stored yet, and is committed at once (D47)."""
        self.progress = Progress(checkpoint, is_stored=is_stored, back_off_ms=back_off_ms)
        self.batcher = batcher
        self.unsettled: Unsettled | None = None
        self._attempts_resumed = 0
        self._quiet_since_ms: int | None = now_ms
        self._lag_beyond: int | None = None
        if resumed is not None and resumed.batch_end > checkpoint.position:
            self._attempts_resumed = resumed.attempts_ended
            batcher.resume(resumed.batch_end)

    @property
    def is_busy(self) -> bool:
        """The function has a batch of this shard now."""
        return self.unsettled is not None and self.unsettled.running is not None

    @property
    def is_idle(self) -> bool:
        """Nothing is buffered, unsettled or uncommitted."""
        is_empty = self.unsettled is None and not len(self.batcher) and not self.batcher.is_resuming
        return is_empty and self.progress.is_clean

    @property
    def lag(self) -> int | None:
        """Positions known to lie ahead of what is settled; None while not known."""
        if self._lag_beyond is None:
            return None
        unsettled = len(self.unsettled.batch.records) if self.unsettled else 0
        return self._lag_beyond + len(self.batcher) + unsettled

    def add(self, fetched: Fetched, now_ms: int) -> None:
        """Take in what a fetch found."""
        if fetched.position > self.batcher.reached and self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms
        self.batcher.add(fetched, now_ms)
        self._lag_beyond = fetched.lag

    def may_invoke(self, now_ms: int) -> bool:
        """Tell whether a batch may go to the function now."""
        if self.progress.must_hold:
            return False
        unsettled = self.unsettled
        if unsettled is None:
            return self.batcher.is_ready(now_ms) and not self.batcher.peek().too_large
        if unsettled.running is not None or (unsettled.due_ms is not None and now_ms < unsettled.due_ms):
            return False
        # The attempt that ended is on record before the next one begins (P5).
        return unsettled.attempts_ended == 0 or self.progress.is_clean

    def may_drop_too_large(self, now_ms: int) -> bool:
        """Tell whether the next record is one whose event would pass the limit on its own, and its turn has come."""
        is_incomplete = self.batcher.is_resuming and not self.batcher.is_ready(now_ms)
        if is_incomplete or self.progress.must_hold or self.unsettled is not None:
            return False
        return len(self.batcher) > 0 and self.batcher.peek().too_large

    def take_batch(self) -> Unsettled:
        """Take the next batch; it is the one to settle until it is settled."""
        attempts_ended = self._attempts_resumed if self.batcher.is_resuming else 0
        self.unsettled = Unsettled(self.batcher.take(), attempts_ended=attempts_ended)
        self._attempts_resumed = 0
        return self.unsettled

    def settle(self, unsettled: Unsettled) -> None:
        """Move the checkpoint past a batch that is done, one way or another."""
        self.progress.settle(unsettled.batch.position, records=len(unsettled.batch.records))
        self.unsettled = None

    def keep_attempts(self, unsettled: Unsettled) -> None:
        """Write the attempts that ended into the checkpoint's note, with the end of the batch that they belong to."""
        written = note.write(note.Note(unsettled.attempts_ended, unsettled.batch.last))
        self.progress.settle(self.progress.settled.position, written)

    def settle_quiet_position(self, now_ms: int) -> None:
        """Move the checkpoint over positions that hold no records for the function, once a moment has passed."""
        batcher = self.batcher
        if self.unsettled is not None or len(batcher) or self._quiet_since_ms is None:
            return
        if batcher.skip_resumed():
            self._attempts_resumed = 0
        if now_ms >= self._quiet_since_ms + QUIET_MS:
            self._quiet_since_ms = None
            if batcher.reached > self.progress.settled.position and not batcher.is_resuming:
                self.progress.settle(batcher.reached)

    def deadline_ms(self, *, is_granting: bool) -> int | None:
        """Tell when something of it is due; None while it waits for a fact and not for time."""
        commit_ms, batch_ms = self.progress.deadline_ms(), self._batch_ms(is_granting=is_granting)
        return min((time for time in (commit_ms, batch_ms) if time is not None), default=None)

    def _batch_ms(self, *, is_granting: bool) -> int | None:
        unsettled = self.unsettled
        if unsettled is not None and unsettled.running is not None:
            return unsettled.running.answer_by_ms
        if is_granting or self.progress.must_hold:
            return None
        if unsettled is not None:
            return unsettled.due_ms if unsettled.attempts_ended == 0 or self.progress.is_clean else None
        if len(self.batcher):
            return self.batcher.deadline_ms()
        return self._quiet_since_ms + QUIET_MS if self._quiet_since_ms is not None else None
