"""One shard of a stream mapping: what to fetch, invoke, send away, commit and drop, and when.

Promises: each lane of the shard has one batch with the function at a time; a batch that failed is tried again in order,
split where the mapping says so, until it succeeds, is too old, or its retries are used up (D1, D2, D3, D8); the
checkpoint never passes a record that is not settled, and what a destination is to be told of is not settled before it
was told (D14); an attempt that ended is committed before the next one begins, so a crash never repeats it (P5). The
machine never reads a clock, never waits and never touches a broker: facts come in through `handle`, commands go out.
"""

from collections.abc import Iterable, Iterator
from typing import assert_never

from penstock.api import AssignedShard, Checkpoint, Record, Start
from penstock.core import commands as do
from penstock.core import facts, note, reports, retry
from penstock.core.events.layout import StreamLayout
from penstock.core.filtering import Filtering, sift_fetched
from penstock.core.lane import Lane
from penstock.core.lane_view import lane_view
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.reading import Reading
from penstock.core.settings import StreamSettings
from penstock.core.shard import Shard
from penstock.core.stream_context import StreamContext
from penstock.core.views import Counters, StreamState, StreamView

LAST_COMMIT_MS = 1_000
"""What finished at the very end of a stop still gets so long to be committed."""


class StreamMachine:
    """Decides for one shard. Has the face that all machines have (`design.md §4`)."""

    def __init__(
        self,
        assigned: AssignedShard,
        settings: StreamSettings,
        layout: StreamLayout,
        *,
        jitter: retry.Jitter,
        request_ids: Iterator[str],
        buffer_bytes_max: int,
        record_filter: RecordFilter[Record] | None = None,
    ) -> None:
        """Take the shard with its checkpoint, the mapping's settings, the layout of its events, chance and names."""
        self._assigned = assigned
        self._context = StreamContext(settings, layout, jitter=jitter, request_ids=request_ids)
        self._filtering = Filtering(record_filter)
        self._buffer_bytes_max = buffer_bytes_max
        self._reading = Reading(back_off_ms=self._context.back_off_ms, take_id=self._context.new_id)
        self._shard: Shard | None = None
        self._stop_by_ms: int | None = None
        self._may_still_commit = True
        self._is_lost = False
        self._is_released = False
        self._held_because = ""
        self._now_ms = 0

    @property
    def counters(self) -> Counters:
        """What has happened since it was made."""
        return self._context.counters

    # What comes in.

    def handle(self, fact: facts.StreamFact | None, *, now_ms: int) -> list[do.StreamCommand]:
        """Take in what happened (None: only time passed) and say what to do."""
        self._now_ms = now_ms
        if not self._is_released:
            if fact is not None:
                self._take_in(fact, now_ms)
            self._advance(now_ms)
        elif isinstance(fact, facts.EnvironmentGranted):
            self._context.do(do.ReturnEnvironment(fact.id))
        return self._context.take_commands()

    def next_deadline_ms(self) -> int | None:
        """Tell when to call `handle` again if nothing happens before."""
        if self._is_released:
            return None
        if self._stop_by_ms is not None:
            return self._stop_deadline_ms(self._stop_by_ms)
        deadlines = [self._reading.deadline_ms()]
        if self._shard is not None:
            deadlines.append(self._shard.deadline_ms(self._now_ms))
        return min((deadline for deadline in deadlines if deadline is not None), default=None)

    def view(self) -> StreamView:
        """Show how it stands."""
        shard = self._shard
        lanes = tuple(map(lane_view, shard.lanes.lanes)) if shard else ()
        window = shard.lanes.lanes[0].window if shard else None
        next_tries = [lane.next_try_ms for lane in lanes] + [self._reading.retry_ms]
        return StreamView(
            state=self._state(),
            committed=shard.progress.committed.position if shard else None,
            reached=shard.lanes.reached if shard else None,
            buffered=shard.lanes.uninvoked if shard else 0,
            buffered_bytes=shard.lanes.bytes_count if shard else 0,
            lag=shard.lag if shard else None,
            in_flight=next((lane.in_flight for lane in lanes if lane.in_flight is not None), None),
            attempts_ended=max((lane.attempts_ended for lane in lanes), default=0),
            last_error=self._last_error(),
            blocked_since_ms=_least(lane.blocked_since_ms for lane in lanes),
            next_try_ms=_least(next_tries),
            is_anchored=shard is not None and (self._assigned.checkpoint is not None or shard.progress.has_committed),
            is_idle=self._is_idle(),
            lanes=lanes,
            window=window.tumbling.view() if window is not None else None,
            counters=self.counters,
        )

    def _take_in(self, fact: facts.StreamFact, now_ms: int) -> None:  # noqa: C901, PLR0912 - one arm for each fact
        match fact:
            case facts.Resolved():
                if self._reading.take_answer(fact.id):
                    self._begin(Checkpoint(fact.after), None, self._start().position, now_ms)
            case facts.RecordsFetched():
                self._on_fetched(fact, now_ms)
            case facts.SourceFailed():
                self._on_source_failed(fact, now_ms)
            case facts.EnvironmentGranted():
                self._on_granted(fact, now_ms)
            case facts.Responded():
                any(lane.on_responded(fact, now_ms, is_lost=self._is_lost) for lane in self._lanes)
            case facts.Committed() | facts.CommitFailed():
                self._on_commit_answered(fact, now_ms)
            case facts.Delivered() | facts.DeliveryFailed():
                any(lane.on_delivery_answered(fact, now_ms) for lane in self._lanes)
            case facts.StateSaved():
                for lane in self._lanes:
                    lane.on_saved(fact, now_ms)
            case facts.StateLoaded() | facts.StateMissing() | facts.StoreFailed():
                self._on_store_answered(fact, now_ms)
            case facts.ClockChanged():
                self._context.wall_offset_ms = fact.offset_ms
            case facts.Revoked():
                deadline_ms = max(fact.deadline_ms, now_ms)
                self._stop_by_ms = deadline_ms if self._stop_by_ms is None else min(self._stop_by_ms, deadline_ms)
            case facts.Lost():
                self._is_lost = True
                self._stop_by_ms = now_ms
            case facts.StreamSettingsChanged():
                self._context.settings = fact.settings
                if self._shard is not None:
                    self._shard.lanes.follow_settings(now_ms)
            case facts.BudgetChanged():
                self._buffer_bytes_max = fact.bytes_max
                if self._shard is not None:
                    self._shard.lanes.buffer_bytes_max = fact.bytes_max
            case _:
                assert_never(fact)

    @property
    def _lanes(self) -> list[Lane]:
        return self._shard.lanes.lanes if self._shard is not None else []

    def _on_fetched(self, fact: facts.RecordsFetched, now_ms: int) -> None:
        shard = self._shard
        if not self._reading.take_answer(fact.id) or shard is None or self._stop_by_ms is not None:
            return
        fetched = fact.fetched
        if fetched.gap is not None:
            self.counters.lost += fetched.gap.last - fetched.gap.first + 1
            self._context.announce(reports.PositionLost(fetched.gap.first, fetched.gap.last))
        sifted = sift_fetched(self._filtering, fetched)
        skipped = shard.add(sifted, now_ms)
        self.counters.polled += len(fetched.records) - skipped
        self.counters.filtered += len(fetched.records) - len(sifted.records)

    def _on_source_failed(self, fact: facts.SourceFailed, now_ms: int) -> None:
        failed = self._reading.take_failure(fact.id, fact.reason, now_ms)
        if failed is not None:
            action, wait_ms = failed
            self._context.announce(reports.SourceTroubled(action, fact.reason, wait_ms))
            for lane in self._lanes:
                if lane.window is not None:
                    lane.window.on_source_failed(now_ms + wait_ms)

    def _on_granted(self, fact: facts.EnvironmentGranted, now_ms: int) -> None:
        is_stopping = self._stop_by_ms is not None
        if is_stopping or not any(lane.on_granted(fact, now_ms) for lane in self._lanes):
            self._context.do(do.ReturnEnvironment(fact.id))

    def _on_commit_answered(self, fact: facts.Committed | facts.CommitFailed, now_ms: int) -> None:
        shard = self._shard
        if shard is None:
            return
        if isinstance(fact, facts.Committed):
            self.counters.committed += shard.progress.on_committed(fact.id)
            shard.forget_states()
            return
        wait_ms = shard.progress.on_failed(fact.id, fact.reason, refused=fact.refused, now_ms=now_ms)
        if wait_ms is not None:
            self._context.announce(reports.SourceTroubled("commit", fact.reason, wait_ms))

    def _on_store_answered(self, fact: facts.StateLoaded | facts.StateMissing | facts.StoreFailed, now_ms: int) -> None:
        for lane in self._lanes:
            if lane.window is None:
                continue
            tumbling = lane.window.tumbling
            match fact:
                case facts.StateLoaded():
                    tumbling.on_loaded(fact.id, fact.state)
                case facts.StateMissing():
                    if tumbling.on_missing(fact.id, fact.reason):
                        self._hold(f"StateLost: {fact.reason}")
                case facts.StoreFailed():
                    wait_ms = tumbling.on_failed(fact.id, fact.reason, self._context.back_off_ms, now_ms)
                    if wait_ms is not None:
                        self._context.announce(reports.StoreTroubled(fact.reason, wait_ms))

    # What goes out.

    def _advance(self, now_ms: int) -> None:
        """Do whatever is due. Each step looks at the state alone, so that their order is all there is to know."""
        if self._stop_by_ms is not None:
            self._stop(self._stop_by_ms, now_ms)
            return
        shard = self._shard or self._start_reading(now_ms)
        if shard is None:
            return
        # What has ended is settled first, since a lane goes on only when that is known to be.
        shard.settle(now_ms)
        shard.lanes.advance(now_ms)
        shard.settle(now_ms)
        self._commit(shard, now_ms)
        self._context.do(self._reading.fetch(shard.lanes.reached, shard.lanes.room(), now_ms))

    def _start_reading(self, now_ms: int) -> Shard | None:
        checkpoint = self._assigned.checkpoint
        if checkpoint is None:
            self._context.do(self._reading.resolve(self._start(), now_ms))
            return None
        resumed = note.read(checkpoint.note, checkpoint.position)
        if isinstance(resumed, note.UnknownNote):
            self._hold(f"its checkpoint has a note of version {resumed.version}; this node reads {note.VERSION}")
            return None
        return self._begin(checkpoint, resumed, "CHECKPOINT", now_ms)

    def _start(self) -> Start:
        # A shard that came later has only records that were written while the mapping was reading (D47).
        return Start("TRIM_HORIZON") if self._assigned.appeared_later else self._context.settings.start

    def _begin(self, checkpoint: Checkpoint, resumed: note.Note | None, origin: str, now_ms: int) -> Shard:
        self._shard = Shard(
            self._context,
            checkpoint,
            note=resumed,
            is_stored=self._assigned.checkpoint is not None,
            buffer_bytes_max=self._buffer_bytes_max,
            now_ms=now_ms,
        )
        self._context.announce(reports.Started(checkpoint.position, origin))
        return self._shard

    def _hold(self, reason: str) -> None:
        if self._held_because != reason:
            self._held_because = reason
            self._context.announce(reports.Held(reason))

    def _commit(self, shard: Shard, now_ms: int) -> None:
        due = shard.progress.next(now_ms, self._context.new_id)
        if due is not None:
            self._context.do(do.Commit(*due))

    # How it ends.

    def _stop(self, stop_by_ms: int, now_ms: int) -> None:
        """Let what runs end, settle it, and let go; at the deadline end what runs (D10, D40)."""
        shard = self._shard
        if shard is not None:
            is_busy = [lane.stop(stop_by_ms, now_ms) for lane in shard.lanes.lanes]
            shard.settle(now_ms)
            self._may_still_commit = not self._is_lost and now_ms < stop_by_ms + LAST_COMMIT_MS
            if self._may_still_commit:
                self._commit(shard, now_ms)
            if any(is_busy) or (self._may_still_commit and not shard.progress.is_clean):
                return
        self._is_released = True
        self._context.do(do.Release())

    def _stop_deadline_ms(self, stop_by_ms: int) -> int | None:
        shard = self._shard
        if shard is None:
            return stop_by_ms
        awaited = [lane.stop_deadline_ms(stop_by_ms, self._now_ms) for lane in shard.lanes.lanes]
        end_ms = _least(awaited)
        if end_ms is None:
            end_ms = stop_by_ms + LAST_COMMIT_MS
        retry_ms = shard.progress.deadline_ms() if self._may_still_commit else None
        return end_ms if retry_ms is None else min(retry_ms, end_ms)

    # Small change.

    def _is_idle(self) -> bool:
        if self._shard is None or self._is_released:
            return self._is_released
        return self._shard.is_idle and self._reading.retry_ms is None

    def _last_error(self) -> str:
        lanes = [lane_view(lane).last_error for lane in self._lanes]
        found = next(filter(None, lanes), "") or self._held_because or self._reading.last_error
        return found or (self._shard.progress.last_error if self._shard else "")

    def _state(self) -> StreamState:
        if self._is_released:
            return "released"
        if self._stop_by_ms is not None:
            return "stopping"
        if self._held_because:
            return "held"
        if self._shard is None:
            return "starting"
        return "retrying" if any(lane.is_blocked for lane in self._lanes) else "running"


def _least(times: Iterable[int | None]) -> int | None:
    return min((time for time in times if time is not None), default=None)
