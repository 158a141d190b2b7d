"""What becomes of records: taken, given up by the rules, delivered; and that no one is passed over."""

from __future__ import annotations

from dataclasses import replace

from penstock.api import FunctionFailed, Returned
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.invocation_record import InvocationRecord
from simulation.books import Books, span
from simulation.layout import WINDOW_BYTES, event_bytes
from simulation.shard_model import Doom, Lane
from simulation.window_checks import WindowChecks

ANSWER_LEAST_MS = 60_000
"""A delivery without an answer is not sent again before."""


class FateChecks:
    def __init__(self, books: Books, windows: WindowChecks) -> None:
        self._books = books
        self._windows = windows

    def succeed(self, lane: Lane, positions: list[int], result: Returned, tries: int) -> None:
        """Take in that the function took records."""
        if self._books.settings.delivery.on_success and positions:
            lane.segments[0].was_response = True
            doom = Doom("Success", positions, tries, result, lane.request_id, is_announced=True)
            lane.dooms.append(doom)
        else:
            self._settle(positions)

    def after_step(self) -> None:
        for lane in self._books.lanes():
            for doom in lane.dooms:
                if not doom.is_announced:
                    self._books.fail(f"is silent about {doom}")

    # What is given up.

    def on_dropped(self, report: reports.RecordsDropped, now_ms: int) -> None:
        books = self._books
        books.know_factor()
        lane = books.model.lane_of(books.shard.at(int(report.first)).record)
        if lane.running is not None and not lane.running.is_cancelled:
            books.fail(f"gives up {report.first}..{report.last} while it runs")
        doom = next((each for each in lane.dooms if not each.is_announced), None)
        if doom is None:
            doom = self._judge(lane, report, now_ms)
            lane.dooms.append(doom)
        said = report.condition, report.first, report.last, report.records
        if said != (doom.condition, str(doom.positions[0]), str(doom.positions[-1]), len(doom.positions)):
            books.fail(f"gives up {said}, not {doom}")
        doom.is_announced = True
        if doom.condition == "RetryAttemptsExhausted":
            self._check_isolation(doom)
        if not books.settings.delivery.on_failure:
            self._end(lane, doom)

    def _judge(self, lane: Lane, report: reports.RecordsDropped, now_ms: int) -> Doom:
        """Say what may be given up in a lane without a try."""
        match report.condition:
            case "RecordAgeExceeded":
                return self._judge_age(lane, report, now_ms)
            case "MaximumPayloadSizeExceeded":
                return self._judge_size(lane, report)
            case _:
                return self._judge_resumed(lane, report)

    def _judge_age(self, lane: Lane, report: reports.RecordsDropped, now_ms: int) -> Doom:
        books = self._books
        segment, age_most_ms = books.model.at_hand(lane), books.settings.record_age_ms_max
        last = int(report.last) if segment is None else min(int(report.last), segment.end)
        old = [
            kept.record.position
            for kept in books.model.undone_of(lane, until=last)
            if age_most_ms is not None and books.age_ms(kept.record, now_ms) > age_most_ms
        ]
        tries = segment.attempts_ended if segment is not None else 0
        if not old:
            books.fail(f"gives up {report.first}..{report.last} for an age that they do not have")
        return Doom("RecordAgeExceeded", old, max(tries, 1))

    def _judge_size(self, lane: Lane, report: reports.RecordsDropped) -> Doom:
        books = self._books
        first = next(books.model.undone_of(lane), None)
        window_bytes = WINDOW_BYTES if books.scenario.has_window else 0
        if first is None or event_bytes([first.record]) + window_bytes <= books.settings.event_bytes_max:
            books.fail(f"gives up {report.first} as too large")
        if books.model.at_hand(lane) is not None:
            books.fail(f"gives up {report.first} in the middle of a batch")
        return Doom("MaximumPayloadSizeExceeded", [first.record.position], 1)

    def _judge_resumed(self, lane: Lane, report: reports.RecordsDropped) -> Doom:
        """A batch whose attempts were used up before this machine was made."""
        books, segment = self._books, self._books.model.at_hand(lane)
        retries = books.settings.retry_attempts_max
        if segment is None or not segment.is_resumed or not 0 <= retries < segment.attempts_ended:
            books.fail(f"gives up {report.first}..{report.last} out of turn")
        tries = segment.attempts_ended
        positions = [record.position for record in books.model.expected(lane)]
        if self._windows.may_take_in_two(segment) and len(positions) > report.records:
            positions = positions[: report.records]
            lane.segments.appendleft(replace(segment, end=positions[-1]))
            segment.attempts_ended = 0
        return Doom("RetryAttemptsExhausted", positions, tries)

    def _check_isolation(self, doom: Doom) -> None:
        """Where batches are bisected, a record is given up for its own sake alone (D3)."""
        books, scenario = self._books, self._books.scenario
        if scenario.changes:
            return
        if books.settings.bisects and len(doom.positions) > 1:
            books.fail(f"gives up {span(doom.positions)} together")
        if scenario.blames_rightly and not books.shard.at(doom.positions[0]).poison:
            books.fail(f"gives up {doom.positions[0]}, which is healthy")

    # What is delivered.

    def on_deliver(self, command: do.Deliver, now_ms: int) -> None:
        books, record = self._books, command.record
        if books.is_lost or (books.stop_by_ms is not None and now_ms >= books.stop_by_ms):
            books.fail("delivers after its time")
        lane = books.lane_of(record.records)
        doom = lane.dooms[0] if lane.dooms else None
        if doom is None or [each.position for each in record.records] != doom.positions:
            books.fail(f"delivers {record.condition} of {record.span()}, not {doom}")
        counts = {doom.count, 1} if self._windows.may_take_in_two(books.model.at_hand(lane)) else {doom.count}
        if record.condition != doom.condition or record.invoke_count not in counts:
            books.fail(f"delivers {record.condition} after {record.invoke_count} tries, not {doom}")
        if now_ms < doom.not_before_ms:
            books.fail(f"delivers {record.span()} at {now_ms}, before {doom.not_before_ms}")
        if doom.id is not None and now_ms < doom.sent_ms + ANSWER_LEAST_MS:
            books.fail(f"delivers {record.span()} twice")
        self._check_answer(record, doom)
        doom.id, doom.sent_ms = command.id, now_ms

    def _check_answer(self, record: InvocationRecord, doom: Doom) -> None:
        books, answer = self._books, record.answer
        if doom.condition in {"RecordAgeExceeded", "MaximumPayloadSizeExceeded"}:
            if answer is not None:
                books.fail(f"delivers an answer with {doom.condition}")
            return
        if answer is None:
            books.fail(f"delivers {doom.condition} without an answer")
        if doom.result is None:
            segment = books.model.at_hand(books.lane_of(record.records))
            was_response = segment is not None and segment.was_response
            if (answer.function_error is None) != was_response or answer.payload:
                books.fail(f"delivers {answer}, which it can not know")
            return
        wanted = "Unhandled" if isinstance(doom.result, FunctionFailed) else None
        if (answer.function_error, answer.payload) != (wanted, doom.result.payload):
            books.fail(f"delivers {answer}, not {doom.result}")
        if record.request_id != doom.request_id:
            books.fail(f"delivers request {record.request_id}, not {doom.request_id}")

    def on_delivered(self, fact: facts.Delivered) -> None:
        found = self._find(fact.id)
        if found is not None:
            self._end(*found)

    def on_delivery_failed(self, fact: facts.DeliveryFailed, now_ms: int) -> None:
        books, found = self._books, self._find(fact.id)
        if found is None:
            return
        lane, doom = found
        rule = books.settings.delivery
        doom.id = None
        doom.tries += 1
        # What is refused waits for somebody to change the destination.
        doom.not_before_ms = now_ms + books.wait_least_ms(64 if fact.refused else doom.tries)
        is_over = rule.attempts_max is not None and doom.tries >= rule.attempts_max
        if is_over or (fact.refused and rule.on_refusal == "drop"):
            self._end(lane, doom)

    def _find(self, delivery_id: int) -> tuple[Lane, Doom] | None:
        for lane in self._books.lanes():
            if lane.dooms and lane.dooms[0].id == delivery_id:
                return lane, lane.dooms[0]
        return None

    def _end(self, lane: Lane, doom: Doom) -> None:
        lane.dooms.remove(doom)
        if doom.condition == "Success":
            self._settle(doom.positions)
            return
        self._books.model.finish(doom.positions)
        for position in doom.positions:
            self._books.shard.at(position).is_dropped = True

    def _settle(self, positions: list[int]) -> None:
        self._books.model.finish(positions)
        for position in positions:
            self._books.shard.at(position).is_settled = True
