"""What the parts of one stream machine share."""

from penstock.core import retry
from penstock.core.commands import StreamCommand
from penstock.core.events.layout import StreamLayout
from penstock.core.machine_context import MachineContext
from penstock.core.outcome import ResponseReader
from penstock.core.settings import StreamSettings


class StreamContext(MachineContext[StreamSettings, StreamLayout, StreamCommand]):
    """One per machine."""

    def retry_policy(self) -> retry.RetryPolicy:
        """Make the policy that the settings ask for now."""
        settings = self.settings
        return retry.RetryPolicy(
            backoff=settings.backoff, retry_attempts_max=settings.retry_attempts_max, jitter=self.jitter
        )

    def response_reader(self) -> ResponseReader:
        """Make the reader of responses that the settings ask for now."""
        return ResponseReader(self.layout, reports_item_failures=self.settings.reports_item_failures)
