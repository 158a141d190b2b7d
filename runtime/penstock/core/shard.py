"""What there is of a shard once its position is known: its lanes, and the checkpoint that follows from them.

It never reads a clock. What its lanes say goes out through the machine's context.
"""

from penstock.api import Checkpoint, Fetched
from penstock.core import note as notes
from penstock.core.commands import ForgetState
from penstock.core.lanes import Lanes
from penstock.core.note import Note
from penstock.core.progress import Progress
from penstock.core.stream_context import StreamContext

QUIET_MS = 1_000
"""A position that moves without records (transaction markers, filtered ones) is committed so long after it began to."""


class Shard:
    """Begins at a checkpoint; `note` is what came with it (D2)."""

    def __init__(
        self,
        context: StreamContext,
        checkpoint: Checkpoint,
        *,
        note: Note | None,
        is_stored: bool,
        buffer_bytes_max: int,
        now_ms: int,
    ) -> None:
        """Take where to begin. A start that was just resolved is not stored yet, and is committed at once (D47)."""
        self.progress = Progress(checkpoint, is_stored=is_stored, back_off_ms=context.back_off_ms)
        self.lanes = Lanes(
            context,
            self.progress,
            position=checkpoint.position,
            note=note,
            buffer_bytes_max=buffer_bytes_max,
            now_ms=now_ms,
        )
        self._context = context
        self._quiet_since_ms: int | None = now_ms
        self._lag_beyond: int | None = None

    @property
    def is_running(self) -> bool:
        """The function has a batch of this shard now."""
        return any(lane.is_running for lane in self.lanes.lanes)

    @property
    def is_idle(self) -> bool:
        """Nothing is buffered, unsettled or uncommitted, and no window is open."""
        lanes = self.lanes
        return lanes.is_empty and not any(lane.has_window for lane in lanes.lanes) and self.progress.is_clean

    @property
    def lost_because(self) -> str:
        """Why the state of its window can not be had, where it can not (D11)."""
        window = self.lanes.lanes[0].window
        return window.tumbling.lost_because if window is not None else ""

    @property
    def lag(self) -> int | None:
        """Positions known to lie ahead of what is settled; None while not known."""
        if self._lag_beyond is None:
            return None
        return self._lag_beyond + len(self.lanes) + sum(lane.work.count for lane in self.lanes.lanes)

    def add(self, fetched: Fetched, now_ms: int) -> int:
        """Take in what a fetch found; gives how many of its records were settled before this machine was made."""
        if fetched.position > self.lanes.reached and self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms
        self._lag_beyond = fetched.lag
        return self.lanes.add(fetched, now_ms)

    def settle(self, now_ms: int) -> None:
        """Let the checkpoint follow what the lanes have settled."""
        lanes = self.lanes.lanes
        for lane in lanes:
            if lane.work.has_changed:
                self._tell_progress(sum([each.work.take_finished() for each in lanes]))
                break
        quiet_since_ms = self._quiet_since_ms
        if quiet_since_ms is not None and now_ms >= quiet_since_ms + QUIET_MS and self.lanes.is_empty:
            self._quiet_since_ms = None
            if self.lanes.reached > self.progress.settled.position:
                self._tell_progress(0)

    def forget_states(self) -> None:
        """Let go of window states that no stored checkpoint names any more."""
        window = self.lanes.lanes[0].window
        if window is not None:
            for version in window.tumbling.take_forgotten(self.progress.is_stored):
                self._context.do(ForgetState(version))

    def deadline_ms(self, now_ms: int) -> int | None:
        """Tell when something of it is due; None while it waits for a fact and not for time."""
        times = [self.progress.deadline_ms(), *(lane.deadline_ms(now_ms) for lane in self.lanes.lanes)]
        if self._quiet_since_ms is not None and self.lanes.is_empty:
            times.append(self._quiet_since_ms + QUIET_MS)
        return min((time for time in times if time is not None), default=None)

    def _tell_progress(self, records: int) -> None:
        position = max(self.lanes.position, self.progress.settled.position)
        self.progress.settle(position, notes.write(self.lanes.note(position), position), records=records)
        if position == self.lanes.reached:
            self._quiet_since_ms = None
        for lane in self.lanes.lanes:
            lane.work.has_changed = False
            unsettled = lane.work.unsettled
            if unsettled is not None and unsettled.must_note:
                unsettled.must_note, unsettled.noted = False, self.progress.number
            if lane.window is not None:
                lane.window.tumbling.on_settled(self.progress.number)
