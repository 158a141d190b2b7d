"""The batch of a shard that is being settled, and the one try at it that is running, if one is."""

from dataclasses import dataclass

from penstock.core import reports
from penstock.core.batch import RecordBatch
from penstock.core.outcome import Failed, Succeeded, Throttled
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
    """A batch with the attempts that ended (D2) and when the next one is due (None: at once)."""

    batch: RecordBatch
    attempts_ended: int = 0
    not_run: int = 0
    due_ms: int | None = None
    first_failed_ms: int | None = None
    error_type: str = ""
    error_message: str = ""
    running: Running | None = None

    @property
    def last_error(self) -> str:
        """The last failure in one line, or nothing."""
        return f"{self.error_type}: {self.error_message}" if self.error_type else self.error_message

    def fail(self, failed: Failed, now_ms: int) -> None:
        """Count an attempt that ended without success."""
        self.attempts_ended += 1
        self.not_run = 0
        self.error_type, self.error_message = failed.error_type, failed.error_message
        if self.first_failed_ms is None:
            self.first_failed_ms = now_ms

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

    def report_succeeded(self, request_id: str, succeeded: Succeeded) -> reports.BatchSucceeded:
        """Say that the function took the batch."""
        return reports.BatchSucceeded(request_id, *self._span(), self.attempts_ended + 1, succeeded.duration_ms)

    def report_failed(self, request_id: str, failed: Failed, retry_in_ms: int | None) -> reports.BatchFailed:
        """Say that the attempt counted last failed."""
        return reports.BatchFailed(
            request_id,
            *self._span(),
            self.attempts_ended,
            failed.duration_ms,
            failed.error_type,
            failed.error_message,
            retry_in_ms,
        )

    def report_not_run(self, throttled: Throttled, retry_in_ms: int) -> reports.BatchNotRun:
        """Say that no attempt could be made."""
        return reports.BatchNotRun(*self._span(), throttled.reason, retry_in_ms)

    def report_dropped(self, condition: str) -> reports.RecordsDropped:
        """Say that the batch is given up."""
        return reports.RecordsDropped(
            condition, *self._span(), self.attempts_ended, self.error_type, self.error_message
        )

    def _span(self) -> tuple[str, str, int]:
        return str(self.batch.first), str(self.batch.last), len(self.batch.records)
