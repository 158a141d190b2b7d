"""What the parts of one stream machine share: settings, counters, names, chance, and the way out for commands."""

from collections.abc import Iterator

from penstock.core import reports, retry
from penstock.core.commands import Announce, StreamCommand
from penstock.core.events.layout import StreamLayout
from penstock.core.outcome import ResponseReader
from penstock.core.settings import StreamSettings
from penstock.core.views import Counters


class MachineContext:
    """One per machine. It decides nothing."""

    def __init__(
        self, settings: StreamSettings, layout: StreamLayout, *, jitter: retry.Jitter, request_ids: Iterator[str]
    ) -> None:
        """Take what the machine was made with."""
        self.settings = settings
        self.layout = layout
        self.counters = Counters()
        self.wall_offset_ms = 0
        """What to add to the machine's clock for Unix time."""
        self._jitter = jitter
        self._request_ids = request_ids
        self._last_id = 0
        self._said: list[StreamCommand] = []

    def do(self, command: StreamCommand | None) -> None:
        """Say a command, if there is one."""
        if command is not None:
            self._said.append(command)

    def announce(self, report: reports.Report) -> None:
        """Have something logged."""
        self._said.append(Announce(report))

    def take_commands(self) -> list[StreamCommand]:
        """Give what was said since the last time."""
        said, self._said = self._said, []
        return said

    def new_id(self) -> int:
        """Make the id of a command that will be answered."""
        self._last_id += 1
        return self._last_id

    def new_name(self) -> str:
        """Make a name that nobody else has: a request's id, or a state's version."""
        return next(self._request_ids)

    def unix_ms(self, now_ms: int) -> int:
        """Translate the machine's clock into Unix time."""
        return now_ms + self.wall_offset_ms

    def back_off_ms(self, tries: int) -> int:
        """Tell how long to wait after so many tries (D1)."""
        return retry.wait_ms(self.settings.backoff, tries, self._jitter)

    def retry_policy(self) -> retry.RetryPolicy:
        """Make the policy that the settings ask for now."""
        settings = self.settings
        return retry.RetryPolicy(
            backoff=settings.backoff, retry_attempts_max=settings.retry_attempts_max, jitter=self._jitter
        )

    def response_reader(self) -> ResponseReader:
        """Make the reader of responses that the settings ask for now."""
        return ResponseReader(self.layout, reports_item_failures=self.settings.reports_item_failures)
