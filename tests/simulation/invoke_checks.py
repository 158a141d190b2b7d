"""What may be handed to the function: the right records, in order, once at a time, not too early, not too often."""

from __future__ import annotations

from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import RecordBatch
from simulation.books import Books, span
from simulation.layout import WINDOW_BYTES, event_bytes
from simulation.shard_model import Lane, Origin, Segment, Try
from simulation.window_checks import WindowChecks


class InvokeChecks:
    def __init__(self, books: Books, windows: WindowChecks) -> None:
        self._books = books
        self._windows = windows
        self._grants: list[int] = []

    def on_granted(self, fact: facts.EnvironmentGranted) -> None:
        self._grants.append(fact.id)

    def on_returned(self, command: do.ReturnEnvironment) -> None:
        if command.id in self._grants:
            self._grants.remove(command.id)

    def after_step(self, now_ms: int) -> None:
        if self._grants:
            self._books.fail(f"neither uses nor gives back an environment at {now_ms}")

    def on_invoke(self, command: do.Invoke, now_ms: int) -> None:
        books, batch = self._books, command.batch
        assert isinstance(batch, RecordBatch)
        if command.grant not in self._grants:
            books.fail(f"invokes under {command.grant}, which it does not hold")
        self._grants.remove(command.grant)
        if books.is_stopping:
            books.fail("invokes while it stops")
        books.know_factor()
        lane = books.lane_of(batch.records) if batch.records else next(books.lanes())
        books.model.at_hand(lane)
        self._check_lane_is_free(lane, now_ms)
        is_final = self._windows.on_invoke(command, lane, now_ms)
        if not is_final:
            self._check_batch(lane, batch, now_ms)
            self._check_attempt(lane, command.attempt, batch)
        positions = [record.position for record in batch.records]
        lane.running = Try(command.id, command.request_id, positions, is_final=is_final)

    def _check_lane_is_free(self, lane: Lane, now_ms: int) -> None:
        books = self._books
        if lane.running is not None and not lane.running.is_cancelled:
            books.fail(f"has two batches of lane {lane.number} in flight")
        if lane.dooms:
            books.fail(f"goes on with lane {lane.number} before {lane.dooms[0]} is over")
        if now_ms < lane.not_before_ms:
            books.fail(f"tries lane {lane.number} again at {now_ms}, before {lane.not_before_ms}")

    def _check_batch(self, lane: Lane, batch: RecordBatch, now_ms: int) -> None:
        books, records = self._books, list(batch.records)
        if not records:
            books.fail("invokes an empty batch")
        size = event_bytes(records) + (WINDOW_BYTES if books.scenario.has_window else 0)
        if size > books.settings.event_bytes_max:
            books.fail(f"invokes an event of {size} bytes")
        age_most_ms = books.settings.record_age_ms_max
        if age_most_ms is not None:
            old = [record.position for record in records if books.age_ms(record, now_ms) > age_most_ms]
            if old:
                books.fail(f"invokes {old}, which are over age")
        segment = books.model.at_hand(lane)
        if segment is None:
            self._begin(lane, batch)
        elif self._windows.ends_within(segment, lane, batch):
            lane.segments.appendleft(Segment(batch.last, segment.attempts_ended, is_pinned=True, is_resumed=True))
            segment.attempts_ended = 0
        else:
            wanted = books.model.expected(lane)
            # A record that another machine gave up for its age is not in the batch that its note tells of.
            left = [record for record in wanted if not books.shard.at(record.position).is_dropped]
            if left == records != wanted:
                segment.end = batch.last
            elif wanted != records:
                shown = [record.position for record in wanted]
                books.fail(f"tries {batch.first}..{batch.last} ({len(records)}), where {span(shown)} was begun")
        self._check_keys(batch)

    def _begin(self, lane: Lane, batch: RecordBatch) -> None:
        """A new batch is what follows in its lane, without a hole."""
        books, wanted = self._books, books_next(self._books, lane, len(batch.records))
        if wanted != [record.position for record in batch.records]:
            found = [record.position for record in batch.records]
            books.fail(f"invokes {found} of lane {lane.number}, where {wanted} come next")
        if len(batch.records) > books.bounds.batch_size:
            books.fail(f"invokes {len(batch.records)} records")
        lane.segments.append(Segment(batch.last))
        lane.not_run = 0
        poisons = sum(bool(books.shard.at(record.position).poison) for record in batch.records)
        lane.origin = Origin(len(batch.records), poisons)

    def _check_attempt(self, lane: Lane, attempt: int, batch: RecordBatch) -> None:
        books, segment = self._books, lane.segments[0]
        if attempt == 1 and self._windows.may_take_in_two(segment):
            segment.attempts_ended = 0
        segment.is_resumed = False
        if attempt != segment.attempts_ended + 1:
            books.fail(f"calls it attempt {attempt} after {segment.attempts_ended} that ended")
        if attempt > books.bounds.retries + 1:
            books.fail(f"makes attempt {attempt}")
        if not lane.is_unnoted or not books.is_owner:
            return
        lane.is_unnoted = False
        if not books.model.is_noted(lane):
            books.fail(f"makes attempt {attempt} of {batch.first}..{batch.last}; on record is {books.shard.snapshot}")

    def _check_keys(self, batch: RecordBatch) -> None:
        """Whoever ran it: what came before with the same key is over."""
        books, shard = self._books, self._books.shard
        seen: set[bytes] = set()
        for record in batch.records:
            if record.key is None or record.key in seen:
                continue
            seen.add(record.key)
            earlier = shard.undone_of_key(record.key, start=books.model.start)
            if earlier is not None and earlier < record.position:
                books.fail(f"invokes {record.position} before {earlier}, which has the same key")


def books_next(books: Books, lane: Lane, count: int) -> list[int]:
    """Give the next records of a lane in which nothing is begun."""
    following = books.model.undone_of(lane)
    return [kept.record.position for kept, _ in zip(following, range(count), strict=False)]
