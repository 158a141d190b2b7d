"""A batch of messages that is with the function now. A queue machine has as many as it may run at once."""

from dataclasses import dataclass

from penstock.core import reports
from penstock.core.batch import MessageBatch
from penstock.core.outcome import Failed, Succeeded, Throttled
from penstock.core.queue_response import Reported
from penstock.core.verdict import Verdict
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

    def report(self, found: Succeeded | Reported | Failed, verdict: Verdict) -> reports.Report:
        """Say how it ended, and when the first of what is run again comes back."""
        head = self.request_id, *self._span(), self.attempt, found.duration_ms
        if isinstance(found, Succeeded):
            return reports.BatchSucceeded(*head)
        if isinstance(found, Failed):
            return reports.BatchFailed(*head, found.error_type, found.error_message, verdict.retry_in_ms)
        return reports.BatchPartlyFailed(*head, len(verdict.done), self.first_reported(found), verdict.retry_in_ms)

    def report_not_run(self, throttled: Throttled, retry_in_ms: int) -> reports.BatchNotRun:
        """Say that it was never run."""
        return reports.BatchNotRun(*self._span(), throttled.reason, retry_in_ms)

    def error(self, found: Reported | Failed) -> tuple[str, str]:
        """Give type and message of what went wrong; the function says nothing of what it reports."""
        if isinstance(found, Failed):
            return found.error_type, found.error_message
        return "", f"the function reported {self.first_reported(found)}"

    def first_reported(self, found: Reported) -> str:
        """Give the id of the first message that was reported."""
        return self.batch.messages[next(iter(found.delays_ms))].message_id

    def _span(self) -> tuple[str, str, int]:
        messages = self.batch.messages
        return messages[0].message_id, messages[-1].message_id, len(messages)
