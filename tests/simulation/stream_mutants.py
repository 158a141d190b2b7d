"""Bugs to plant in the core of streams."""

from __future__ import annotations

from simulation.mutant import Mutant


def _mutant(bug: str, module: str, right: str, wrong: str) -> Mutant:
    return Mutant(bug, "stream", module, right, wrong)


RETRYING = (
    _mutant(
        "tries again before the attempt is on record", "lane",
        "return not unsettled.must_note and self._progress.is_stored(unsettled.noted)", "return True",
    ),
    _mutant(
        "retries once too often", "retry",
        "0 <= self._retry_attempts_max < attempts_ended", "0 <= self._retry_attempts_max < attempts_ended - 1",
    ),
    _mutant(
        "gives up one retry too early", "retry",
        "0 <= self._retry_attempts_max < attempts_ended", "0 <= self._retry_attempts_max <= attempts_ended",
    ),
    _mutant(
        "resets the count with each retry", "lane",
        "unsettled.attempts_ended += 1", "unsettled.attempts_ended = 1",
    ),
    _mutant(
        "counts a throttle as an attempt", "lane",
        "unsettled.not_run += 1", "unsettled.not_run += 1; unsettled.attempts_ended += 1",
    ),
    _mutant(
        "retries without waiting", "lane",
        "unsettled.due_ms = now_ms + wait_ms\n        unsettled.must_note",
        "unsettled.due_ms = now_ms\n        unsettled.must_note",
    ),
    _mutant(
        "does not slow down for a throttle", "lane",
        "unsettled.due_ms = now_ms + wait_ms\n        self._context.announce(unsettled.report_not_run",
        "self._context.announce(unsettled.report_not_run",
    ),
    _mutant(
        "believes a cancelled invocation's result", "lane",
        "if is_lost or running.cancelled:", "if is_lost:",
    ),
    _mutant(
        "runs two batches of a lane at once", "lane",
        "return unsettled.running is None and self._is_due(unsettled, now_ms)",
        "return self._is_due(unsettled, now_ms)",
    ),
    _mutant(
        "keeps an environment that it does not use", "lane",
        "if not self._may_try(now_ms):\n            self._context.do(do.ReturnEnvironment(fact.id))",
        "if not self._may_try(now_ms):\n            pass",
    ),
    _mutant(
        "runs a batch whose attempts are used up", "lane",
        "self._context.retry_policy().after(attempts_ended) if attempts_ended else None", "None",
    ),
)  # fmt: skip

SPLITTING = (
    _mutant("cuts a failed batch beside its middle", "lane", "(count + 1) // 2", "max((count + 1) // 2 - 1, 1)"),
    _mutant(
        "tries the parts of a split in the wrong order", "lane_work",
        "self.parts.appendleft(", "self.parts.append(",
    ),
    _mutant(
        "lets a part of a split inherit the attempts", "lane_work",
        "batch.part(0, count), attempts_ended=0)",
        "batch.part(0, count), attempts_ended=unsettled.attempts_ended)",
    ),
    _mutant(
        "counts a split as a retry", "lane",
        "self.work.split(unsettled, first_part)",
        "self.work.split(unsettled, first_part); unsettled.attempts_ended = 1",
    ),
    _mutant(
        "bisects where it was not asked to", "lane",
        "if self._context.settings.bisects and len(", "if len(",
    ),
    _mutant(
        "takes the reported record for done", "lane",
        "batch.part(0, found.done), batch.part(found.done, len(batch.records))",
        "batch.part(0, found.done + 1), batch.part(found.done + 1, len(batch.records))",
    ),
    _mutant(
        "repeats what came before the reported record", "lane",
        "batch.part(0, found.done), batch.part(found.done, len(batch.records))",
        "batch.part(0, found.done), batch",
    ),
    _mutant("cuts at the last of the reported records", "outcome", "return min(found), ", "return max(found), "),
    _mutant(
        "passes over identifiers that it does not know", "outcome",
        "        if unknown:\n", "        if len(unknown) == len(reported):\n",
    ),
    _mutant(
        "heeds reports that it was not asked to", "stream_context",
        "reports_item_failures=self.settings.reports_item_failures", "reports_item_failures=True",
    ),
    _mutant(
        "keeps the count for what a report left undone", "lane",
        "unsettled.attempts_ended = 0\n        self._try_again", "self._try_again",
    ),
    _mutant(
        "resets the count of a batch that makes no progress", "lane",
        "self._spend(unsettled, failed, report, 1, now_ms)",
        "unsettled.attempts_ended = 0; self._spend(unsettled, failed, report, 1, now_ms)",
    ),
    _mutant(
        "splits before the reported record though nothing is before it", "lane",
        "self._spend(unsettled, failed, report, 1, now_ms)",
        "self._spend(unsettled, failed, report, (len(batch.records) + 1) // 2, now_ms)",
    ),
)  # fmt: skip

AGING = (
    _mutant(
        "takes the age of the first record for that of all", "lane",
        "over = tuple(record for record in batch.records if record.timestamp_ms < oldest_ms)",
        "over = batch.records if batch.records[0].timestamp_ms < oldest_ms else ()",
    ),
    _mutant(
        "measures ages by the wrong clock", "lane",
        "else self._context.unix_ms(now_ms) - age_ms_max", "else now_ms - age_ms_max",
    ),
    _mutant(
        "runs what grew too old while it waited for an environment", "lane",
        "if self._cut_over_age(unsettled, now_ms):\n            self._context.do",
        "if False:\n            self._context.do",
    ),
    _mutant(
        "does not notice that the clock was set", "stream_machine",
        "self._context.wall_offset_ms = fact.offset_ms",
        "self._context.wall_offset_ms = self._context.wall_offset_ms or fact.offset_ms",
    ),
    _mutant(
        "gives up the young with the old", "lane",
        "rest = tuple(record for record in batch.records if record.timestamp_ms >= oldest_ms)", "rest = ()",
    ),
    _mutant("is blocked by a record that is too large", "lane", "if batch.too_large:", "if False:"),
    _mutant(
        "ignores the size of the event", "batcher",
        "if room < 0:\n                return index", "if False:\n                return index",
    ),
)  # fmt: skip

SETTLING = (
    _mutant(
        "commits a shard that is lost", "stream_machine",
        "self._may_still_commit = not self._is_lost and now_ms", "self._may_still_commit = now_ms",
    ),
    _mutant("settles one position too far", "lanes", "else oldest.position - 1", "else oldest.position"),
    _mutant(
        "commits past what other lanes have not settled", "lanes",
        "oldest = [lane.work.oldest for lane in self.lanes]", "oldest = [lane.work.oldest for lane in self.lanes[:1]]",
    ),
    _mutant(
        "commits past what is read and not run", "lane_work",
        "return taken if taken is not None else self._batcher.first", "return taken",
    ),
    _mutant(
        "never sends an unanswered commit again", "progress",
        "if self._in_flight is not None and now_ms < self._in_flight.answer_by_ms:", "if self._in_flight is not None:",
    ),
    _mutant(
        "takes a failed commit for a stored one", "progress",
        "self.last_error = reason", "self.committed = self.settled",
    ),
    _mutant("never commits positions without records", "shard", "self._tell_progress(0)", "pass"),
    _mutant(
        "spins on a quiet shard", "shard",
        "            self._quiet_since_ms = None\n            if self.lanes.reached > ",
        "            if self.lanes.reached > ",
    ),
    _mutant(
        "is silent about a trimmed range", "stream_machine",
        "self._context.announce(reports.PositionLost(fetched.gap.first, fetched.gap.last))", "pass",
    ),
    _mutant(
        "believes an outdated fetch", "reading",
        "if self._asked is None or self._asked.id != fact_id:\n            return False\n        self._asked = None",
        "if self._asked is None:\n            return False\n        self._asked = None",
    ),
    _mutant(
        "never asks again when an answer is lost", "reading",
        "if self._asked is not None and now_ms >= self._asked.answer_by_ms:", "if False:",
    ),
    _mutant(
        "grants more environments than the function may have", "concurrency",
        "return self.room(function) > 0", "return self.room(function) >= 0",
    ),
    _mutant(
        "lets go while its batch runs", "stream_machine",
        "if any(is_busy) or (self._may_still_commit", "if (self._may_still_commit",
    ),
    _mutant(
        "lets a batch run on past the grace", "lane",
        "        if running is not None and not running.cancelled:\n            self._cancel(running, now_ms)",
        "        pass",
    ),
    _mutant(
        "miscounts what it gave up", "lane",
        "counters.dropped_before += len(dropped.records)", "counters.dropped_before += 1",
    ),
)  # fmt: skip

RESUMING = (
    _mutant(
        "forgets the attempts of a crashed node", "lane_work",
        "batch, attempts_ended=attempts_ended, is_part", "batch, is_part",
    ),
    _mutant("resumes with another batch", "lane_work", "batcher.resume(note.ends)", "pass"),
    _mutant(
        "lays a trimmed batch's attempts on the next one", "lane_work",
        "if not ends or ends[0] != resumed.ends[0]:", "if not resumed.ends:",
    ),
    _mutant(
        "writes a note without its last lane", "lanes",
        "lanes = [lane.work.note() for lane in self.lanes]",
        "lanes = [lane.work.note() for lane in self.lanes[:-1]] + [LaneNote(position)]",
    ),
    _mutant(
        "writes a note without the parts of a split", "lane_work",
        "was_response and attempts_ended > 0, ends)", "was_response and attempts_ended > 0, ends[:1])",
    ),
    _mutant(
        "forgets whether the last attempt ended with a response", "lane_work",
        "was_response and attempts_ended > 0, ends)", "False, ends)",
    ),
    _mutant(
        "notes a lane as done past its batch", "lane_work",
        "return self._taken_to if oldest is None else oldest.position - 1", "return self._taken_to",
    ),
    _mutant(
        "repeats what another lane's note says is done", "lanes",
        "if record.position > skip_to[number]:", "if True:",
    ),
    _mutant(
        "forgets the attempts while a destination is told", "lane_work",
        "elif rest is None and unsettled.is_begun:", "elif False:",
    ),
    _mutant(
        "finishes old lanes under a new number", "lanes",
        "is_known = any(lane != LaneNote(position) for lane in known)", "is_known = False",
    ),
    _mutant(
        "changes the lanes before the old ones are done", "lanes",
        "return self.reached >= barrier and not has_more and all(", "return True or all(",
    ),
    _mutant("never changes the lanes", "lanes", "self._change(self._barrier, now_ms)", "pass"),
    _mutant("chooses lanes by another hash", "lanes", "else crc32(record.key)", "else len(record.key)"),
    _mutant(
        "puts all records without a key into one lane", "lanes",
        "record.position if record.key is None", "0 if record.key is None",
    ),
)  # fmt: skip

DELIVERING = (
    _mutant(
        "commits before it delivers", "lane_work",
        "if self.delivery is not None:\n            sent", "if False:\n            sent",
    ),
    _mutant(
        "gives up without telling the destination", "lane",
        "is_told = self._context.settings.delivery.on_failure", "is_told = False",
    ),
    _mutant(
        "drops what a destination did not take", "lane",
        "if wait_ms is None:\n            self._end_delivery()", "self._end_delivery()",
    ),
    _mutant(
        "drops what is refused and should be held", "delivery",
        'if refused and settings.on_refusal == "drop":', "if refused:",
    ),
    _mutant("delivers again at once", "delivery", "self._due_ms = now_ms + wait_ms", "self._due_ms = now_ms"),
    _mutant(
        "never delivers again when the answer is lost", "delivery",
        "if self._id is not None and now_ms < self._answer_by_ms:", "if self._id is not None:",
    ),
    _mutant(
        "delivers once more than it may", "delivery",
        "self.tries >= settings.attempts_max", "self.tries > settings.attempts_max",
    ),
    _mutant(
        "believes an outdated answer of the destination", "lane",
        "if delivery is None or delivery.id != fact.id:", "if delivery is None:",
    ),
    _mutant("tells a wrong number of tries", "attempt", "invoke_count=max(tries, 1)", "invoke_count=tries + 1"),
    _mutant("tells no answer", "attempt", "answer=self.answer if has_answer else None", "answer=None"),
    _mutant(
        "tells an answer where there was none", "attempt",
        "answer=self.answer if has_answer else None", "answer=self.answer",
    ),
    _mutant(
        "goes on while a destination is awaited", "lane",
        "is_waiting = self.work.delivery is not None or (", "is_waiting = (",
    ),
    _mutant(
        "is silent to the destination about successes", "lane",
        "is_told = self._context.settings.delivery.on_success and bool(done.records)", "is_told = False",
    ),
)  # fmt: skip

TUMBLING = (
    _mutant(
        "keeps the state of a failed invocation", "lane",
        "isinstance(found, outcome.PartlyFailed) and not found.done", "False",
    ),
    _mutant(
        "does not wait for the state to be stored", "lane",
        "return self.window.begin_save(found, now_ms)", "return self.window.begin_save(found, now_ms) and False",
    ),
    _mutant(
        "names a state before its records are settled", "lane",
        "if self.window is not None and delivery is None:", "if self.window is not None:",
    ),
    _mutant(
        "forgets a state that a checkpoint names", "tumbling",
        "for number, version in self._retired if is_stored(number)]", "for number, version in self._retired]",
    ),
    _mutant(
        "lets a batch span the end of a window", "tumbling",
        "return self.end_ms if self.is_open and unix_ms >= self.end_ms else None", "return None",
    ),
    _mutant(
        "gives up the last invocation of a window", "lane",
        "if isinstance(decision, retry.GiveUp) and unsettled.final is None:", "if isinstance(decision, retry.GiveUp):",
    ),
    _mutant("starts empty where a state is lost", "tumbling", "self.lost_because = reason", "pass"),
    _mutant(
        "lets a state grow without bound", "tumbling",
        "self._is_called_off or len(self.state) > STATE_BYTES_MAX", "self._is_called_off",
    ),
    _mutant("carries a state into the next window", "tumbling", 'EMPTY_STATE, "", ""', 'self.state, "", ""'),
    _mutant(
        "opens windows wherever a record is", "tumbling",
        "min(record.timestamp_ms, unix_ms) // size_ms * size_ms", "min(record.timestamp_ms, unix_ms)",
    ),
    _mutant(
        "closes a window as soon as it is quiet", "lane_window",
        "return end_ms + self._context.settings.tumbling_idle_ms", "return end_ms",
    ),
    _mutant(
        "never closes a quiet window", "lane_window",
        "return self._is_caught_up and now_ms >= self._idle_ms()", "return False",
    ),
    _mutant(
        "hands the last invocation an empty state", "tumbling",
        "            state=self.state,\n", "            state=EMPTY_STATE if is_final else self.state,\n",
    ),
    _mutant(
        "reopens a window that is closed", "tumbling",
        "self.start_ms = self.start_ms if self.is_closing_early else self.end_ms", "pass",
    ),
)  # fmt: skip

STREAM_MUTANTS = (*RETRYING, *SPLITTING, *AGING, *SETTLING, *RESUMING, *DELIVERING, *TUMBLING)
