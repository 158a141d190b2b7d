"""What the parts of one machine share: settings, counters, names, chance, and the way out for commands."""

from collections.abc import Iterator
from typing import Any, Generic, Protocol, TypeVar

from penstock.core import reports, retry
from penstock.core.commands import Announce
from penstock.core.events.layout import Layout
from penstock.core.settings import RetryBackoff
from penstock.core.views import Counters


class _Settings(Protocol):
    @property
    def backoff(self) -> RetryBackoff: ...


S = TypeVar("S", bound=_Settings)
L = TypeVar("L", bound=Layout[Any])
C = TypeVar("C")


class MachineContext(Generic[S, L, C]):
    """One per machine, with its settings, the layout of its events and its kind of commands. It decides nothing."""

    def __init__(self, settings: S, layout: L, *, jitter: retry.Jitter, request_ids: Iterator[str]) -> None:
        """Take what the machine was made with."""
        self.settings = settings
        self.layout = layout
        self.counters = Counters()
        self.wall_offset_ms = 0
        """What to add to the machine's clock for Unix time."""
        self.jitter = jitter
        self._request_ids = request_ids
        self._last_id = 0
        self._said: list[C | Announce] = []

    def do(self, command: C | None) -> None:
        """Say a command, if there is one."""
        if command is not None:
            self._said.append(command)

    def announce(self, report: reports.Report) -> None:
        """Have something logged."""
        self._said.append(Announce(report))

    def take_commands(self) -> list[C | Announce]:
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
        return retry.wait_ms(self.settings.backoff, tries, self.jitter)
