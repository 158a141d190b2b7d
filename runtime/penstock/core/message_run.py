"""A batch of messages that is with the function now. A queue machine has as many as it may run at once."""

from dataclasses import dataclass

from penstock.core import reports
from penstock.core.batch import MessageBatch
from penstock.core.outcome import Failed, Succeeded, Throttled
from penstock.core.views import InFlightView


@dataclass(slots=True)
class MessageRun:
    """One invocation. When `answer_by_ms` has passed it is ended, or given up."""

    request_id: str
    batch: MessageBatch
    since_ms: int
    answer_by_ms: int
    cancelled: bool = False

    @property
    def attempt(self) -> int:
        """How often the message that was delivered most often has been delivered."""
        return max(message.receive_count for message in self.batch.messages)

    def view(self) -> InFlightView:
        """Show it."""
        first, last, count = self._span()
        return InFlightView(
            request_id=self.request_id,
            first=first,
            last=last,
            records=count,
            attempt=self.attempt,
            since_ms=self.since_ms,
        )

    def report_succeeded(self, succeeded: Succeeded) -> reports.BatchSucceeded:
        """Say that the function took the batch."""
        return reports.BatchSucceeded(self.request_id, *self._span(), self.attempt, succeeded.duration_ms)

    def report_failed(self, failed: Failed, retry_in_ms: int) -> reports.BatchFailed:
        """Say that the function failed on it; the messages come back after so long."""
        return reports.BatchFailed(
            self.request_id,
            *self._span(),
            self.attempt,
            failed.duration_ms,
            failed.error_type,
            failed.error_message,
            retry_in_ms,
        )

    def report_not_run(self, throttled: Throttled, retry_in_ms: int) -> reports.BatchNotRun:
        """Say that it was never run."""
        return reports.BatchNotRun(*self._span(), throttled.reason, retry_in_ms)

    def _span(self) -> tuple[str, str, int]:
        messages = self.batch.messages
        return messages[0].message_id, messages[-1].message_id, len(messages)
