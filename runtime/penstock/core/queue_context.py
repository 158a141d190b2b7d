"""What the parts of one queue machine share: settings, counters, names, chance, and the way out for commands."""

from collections.abc import Iterator

from penstock.api import Message
from penstock.core import reports, retry
from penstock.core.commands import Announce, QueueCommand
from penstock.core.events.layout import Layout
from penstock.core.settings import QueueSettings
from penstock.core.views import Counters


class QueueContext:
    """One per machine. It decides nothing."""

    def __init__(
        self, settings: QueueSettings, layout: Layout[Message], *, jitter: retry.Jitter, request_ids: Iterator[str]
    ) -> None:
        """Take what the machine was made with."""
        self.settings = settings
        self.layout = layout
        self.counters = Counters()
        self.last_error = ""
        self.wall_offset_ms = 0
        """What to add to the machine's clock for Unix time."""
        self._jitter = jitter
        self._request_ids = request_ids
        self._last_id = 0
        self._said: list[QueueCommand] = []

    def do(self, command: QueueCommand) -> None:
        """Say a command."""
        self._said.append(command)

    def announce(self, report: reports.Report) -> None:
        """Have something logged."""
        self._said.append(Announce(report))

    def take_commands(self) -> list[QueueCommand]:
        """Give what was said since the last time."""
        said, self._said = self._said, []
        return said

    def new_id(self) -> int:
        """Make the id of a command that will be answered."""
        self._last_id += 1
        return self._last_id

    def new_name(self) -> str:
        """Make a request's id."""
        return next(self._request_ids)

    def unix_ms(self, now_ms: int) -> int:
        """Translate the machine's clock into Unix time."""
        return now_ms + self.wall_offset_ms

    def back_off_ms(self, tries: int) -> int:
        """Tell how long to wait after so many tries (D1)."""
        return retry.wait_ms(self.settings.backoff, tries, self._jitter)
