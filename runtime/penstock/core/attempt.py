"""The batch of a lane that is being settled, and the one try at it that is running, if one is."""

from dataclasses import dataclass

from penstock.core import reports
from penstock.core.batch import RecordBatch
from penstock.core.events.window import WindowFrame
from penstock.core.invocation_record import Answer, Condition, InvocationRecord
from penstock.core.outcome import UNHANDLED, Failed, PartlyFailed, Succeeded, Throttled
from penstock.core.views import InFlightView


@dataclass(slots=True)
class Running:
    """A try that is with the function now. When `answer_by_ms` has passed it is ended, or given up."""

    id: int
    request_id: str
    since_ms: int
    answer_by_ms: int
    cancelled: bool = False


@dataclass(slots=True)
class Unsettled:
    """A batch with the attempts that ended (D2) and when the next one is due (None: at once).

    A batch whose attempt ended `must_note` that before the next one begins; `noted` is the number of the progress under
    which it did, and which has to be stored first (P5). `is_part`: it was split off another, or begun by another
    machine. `request_id` and `answer` are those of the last try that ended; `final` is set for the last invocation of
    a tumbling window, whose batch is empty.
    """

    batch: RecordBatch
    attempts_ended: int = 0
    was_invoked: bool = False
    is_part: bool = False
    not_run: int = 0
    due_ms: int | None = None
    must_note: bool = False
    noted: int = 0
    first_failed_ms: int | None = None
    error_type: str = ""
    error_message: str = ""
    request_id: str = ""
    answer: Answer | None = None
    final: WindowFrame | None = None
    running: Running | None = None

    @property
    def is_begun(self) -> bool:
        """Something of it is to survive a crash: a failure, or that it ends where it does."""
        return self.first_failed_ms is not None or self.attempts_ended > 0 or self.is_part

    @property
    def was_response(self) -> bool:
        """The last try that ended returned, with a response that was or reported a failure."""
        return self.answer is not None and self.answer.function_error is None

    @property
    def last_error(self) -> str:
        """The last failure in one line, or nothing."""
        return f"{self.error_type}: {self.error_message}" if self.error_type else self.error_message

    def fail(self, failed: Failed, now_ms: int) -> None:
        """Take in what the attempt that ended without success said."""
        self.not_run = 0
        self.error_type, self.error_message = failed.error_type, failed.error_message
        self.answer = failed.answer
        if self.first_failed_ms is None:
            self.first_failed_ms = now_ms

    def go_on(self, batch: RecordBatch, *, attempts_ended: int) -> None:
        """Go on with a part of the batch."""
        self.batch = batch
        self.attempts_ended = attempts_ended

    def view(self) -> InFlightView | None:
        """Show the try that runs."""
        if self.running is None:
            return None
        return InFlightView(
            request_id=self.running.request_id,
            first=str(self.batch.first),
            last=str(self.batch.last),
            records=len(self.batch.records),
            attempt=self.attempts_ended + 1,
            since_ms=self.running.since_ms,
        )

    def report_succeeded(self, succeeded: Succeeded) -> reports.BatchSucceeded:
        """Say that the function took the batch."""
        return reports.BatchSucceeded(self.request_id, *self._span(), self.attempts_ended + 1, succeeded.duration_ms)

    def report_partly(self, partly: PartlyFailed) -> reports.BatchPartlyFailed:
        """Say that the function took a part of the batch; when the rest is tried again is not known yet."""
        failed_from = str(self.batch.records[partly.done].position)
        attempt = self.attempts_ended + 1
        return reports.BatchPartlyFailed(
            self.request_id, *self._span(), attempt, partly.duration_ms, partly.done, failed_from, None
        )

    def report_failed(self, failed: Failed) -> reports.BatchFailed:
        """Say that the attempt failed; when the batch is tried again is not known yet."""
        attempt = self.attempts_ended + 1
        return reports.BatchFailed(
            self.request_id,
            *self._span(),
            attempt,
            failed.duration_ms,
            failed.error_type,
            failed.error_message,
            None,
        )

    def report_not_run(self, throttled: Throttled, retry_in_ms: int) -> reports.BatchNotRun:
        """Say that no attempt could be made."""
        return reports.BatchNotRun(*self._span(), throttled.reason, retry_in_ms)

    def report_dropped(self, condition: str, batch: RecordBatch) -> reports.RecordsDropped:
        """Say that the batch, or a part of it, is given up."""
        span = str(batch.first), str(batch.last), len(batch.records)
        return reports.RecordsDropped(condition, *span, self.attempts_ended, self.error_type, self.error_message)

    def invocation_record(
        self, condition: Condition, batch: RecordBatch, request_id: str, *, ended_ms: int
    ) -> InvocationRecord:
        """Write down what a destination is told of the batch, or of a part of it (`lambda-semantics.md §3.6`)."""
        has_answer = condition in {"RetryAttemptsExhausted", "Success"}
        tries = self.attempts_ended + (condition == "Success")
        return InvocationRecord(
            condition=condition,
            records=batch.records,
            invoke_count=max(tries, 1),
            request_id=request_id,
            ended_ms=ended_ms,
            answer=self.answer if has_answer else None,
        )

    def _span(self) -> tuple[str, str, int]:
        return str(self.batch.first), str(self.batch.last), len(self.batch.records)


def resumed_answer(attempts_ended: int, was_response: bool) -> Answer | None:  # noqa: FBT001 - two values of one note
    """Say how the last of the attempts ended that a note counts; what the function said then is not known any more."""
    if not attempts_ended:
        return None
    return Answer(function_error=None if was_response else UNHANDLED)
