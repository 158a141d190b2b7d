"""A lane's tumbling windows: where they cut its batches, when they open and close, what waits for their state (D11)."""

from penstock.api import Fetched
from penstock.core import commands as do
from penstock.core import facts, outcome, reports
from penstock.core.attempt import Unsettled
from penstock.core.batch import RecordBatch
from penstock.core.batcher import Batcher
from penstock.core.events.window import WindowFrame
from penstock.core.stream_context import StreamContext
from penstock.core.tumbling import Tumbling

Done = outcome.Succeeded | outcome.PartlyFailed


class LaneWindow:
    """Stands between the windows and the batcher of the one lane that a shard with windows has."""

    def __init__(self, context: StreamContext, tumbling: Tumbling, batcher: Batcher, now_ms: int) -> None:
        """Take the windows, and the batcher whose batches they cut."""
        self.tumbling = tumbling
        self._context = context
        self._batcher = batcher
        self._saving: Done | None = None
        self._is_caught_up = True
        """As far as was heard: a source with nothing new does not answer at all."""
        self._quiet_since_ms = now_ms

    @property
    def is_ready(self) -> bool:
        """Nothing is asked of the store, and no state is lost."""
        return self.tumbling.is_ready

    @property
    def is_finished(self) -> bool:
        """No window is open, and no state of one is left to be forgotten."""
        return not self.tumbling.is_open and not self.tumbling.has_to_forget

    @property
    def is_saving(self) -> bool:
        """What the function did is not durable yet."""
        return self._saving is not None

    def on_added(self, fetched: Fetched, now_ms: int) -> None:
        """Hear what a fetch found."""
        self._is_caught_up = not fetched.lag
        if fetched.records:
            self._quiet_since_ms = now_ms

    def on_source_failed(self, retry_ms: int) -> None:
        """Hear that the source is asked again only then: until it is, nothing can be said to be missing."""
        self._quiet_since_ms = max(self._quiet_since_ms, retry_ms)

    def look(self, position: int, now_ms: int) -> Unsettled | None:
        """Open a window for what waits, or close the one that is over: gives what its last invocation is then."""
        tumbling, context = self.tumbling, self._context
        unix_ms, first = context.unix_ms(now_ms), self._batcher.first
        size_ms = context.settings.tumbling_window_ms
        if not tumbling.is_open and first is not None and size_ms:
            tumbling.open_for(first, size_ms, unix_ms)
        if tumbling.is_over(first, unix_ms) or self._is_quiet_for_good(now_ms):
            self._batcher.end_before(None)
            return Unsettled(RecordBatch((), position), final=tumbling.frame(is_final=True))
        self._batcher.end_before(tumbling.ends_batches_at(unix_ms))
        members_bytes = len(context.layout.window_members(tumbling.frame())) if tumbling.is_open else 0
        self._batcher.limit_event(context.settings.event_bytes_max - members_bytes)
        return None

    def begin_save(self, found: Done, now_ms: int) -> bool:
        """Have the state stored that a response holds; False when there is nothing to wait for."""
        if not self.tumbling.begin_save(found.state, self._context.new_name(), now_ms):
            return False
        self._saving = found
        return True

    def on_saved(self, fact: facts.StateSaved) -> Done | None:
        """Take in that a state is durable; gives what waited for that."""
        if not self.tumbling.on_saved(fact.id, fact.store):
            return None
        found, self._saving = self._saving, None
        return found

    def end_early(self) -> None:
        """Close the open window as soon as its batch is settled, whatever its time."""
        self.tumbling.end_early()

    def close(self) -> None:
        """Its final invocation succeeded."""
        tumbling = self.tumbling
        closed = reports.WindowClosed(tumbling.start_ms, tumbling.end_ms, tumbling.is_closing_early)
        tumbling.close()
        self._context.announce(closed)

    def frame(self) -> WindowFrame | None:
        """Say what an invocation sees of the open window, where one is."""
        return self.tumbling.frame() if self.tumbling.is_open else None

    def count_late(self, batch: RecordBatch) -> None:
        """Count the records whose own window is closed already."""
        late = [record for record in batch.records if record.timestamp_ms < self.tumbling.start_ms]
        if late:
            self._context.counters.late += len(late)
            self._context.announce(reports.RecordsLate(len(late), str(late[0].position), str(late[-1].position)))

    def next(self, now_ms: int) -> do.SaveState | do.LoadState | None:
        """Tell what to ask of the store now, if anything."""
        return self.tumbling.next(now_ms)

    def deadlines_ms(self, now_ms: int, *, is_waiting: bool) -> list[int | None]:
        """Tell when something is due; `is_waiting`: the lane has nothing at hand, and may begin something."""
        deadlines = [self.tumbling.deadline_ms()]
        if is_waiting and self.tumbling.is_open:
            if self._batcher.first is not None:
                end_ms = self.tumbling.end_ms - self._context.wall_offset_ms
                deadlines.append(end_ms if now_ms < end_ms else None)
            elif self._is_caught_up and not self._batcher.is_resuming:
                deadlines.append(self._idle_ms())
        return deadlines

    def _is_quiet_for_good(self, now_ms: int) -> bool:
        if not self.tumbling.is_open or self._batcher.first is not None or self._batcher.is_resuming:
            return False
        return self._is_caught_up and now_ms >= self._idle_ms()

    def _idle_ms(self) -> int:
        """Tell when a window without new records closes: so long after its end, and after its last record came."""
        end_ms = max(self.tumbling.end_ms - self._context.wall_offset_ms, self._quiet_since_ms)
        return end_ms + self._context.settings.tumbling_idle_ms
