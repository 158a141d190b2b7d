"""Shows a tally: a live table on a terminal, plain lines elsewhere."""

from types import TracebackType
from typing import Protocol, Self

import click
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from penstock.cli.demo.tally import Tally

STORIES_SHOWN = 12


class Screen(Protocol):
    """Somewhere to show what happens."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    def tell(self, story: str) -> None:
        """Show something noteworthy."""

    def refresh(self) -> None:
        """Show the figures as they are now."""


class PlainScreen:
    """One line for each story, on stdout."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tell(self, story: str) -> None:
        click.echo(story)

    def refresh(self) -> None:
        """Figures come with the summary."""


class LiveScreen:
    """A table that is drawn anew a few times a second, with the last stories below it."""

    def __init__(self, tally: Tally, console: Console) -> None:
        """Take what to show, and where."""
        self._tally = tally
        self._live = Live(console=console, refresh_per_second=8)

    def __enter__(self) -> Self:
        self._live.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.refresh()
        self._live.__exit__(kind, error, trace)

    def tell(self, story: str) -> None:  # noqa: ARG002 - the tally has it already
        self.refresh()

    def refresh(self) -> None:
        self._live.update(Group(_table(self._tally), *map(Text, self._tally.stories[-STORIES_SHOWN:])))


def make_screen(tally: Tally) -> Screen:
    """Choose by what stdout is."""
    console = Console()
    return LiveScreen(tally, console) if console.is_terminal else PlainScreen()


def _table(tally: Tally) -> Table:
    table = Table(title="penstock demo", title_justify="left")
    for name in ("mapping", "shard"):
        table.add_column(name)
    for name in ("batches", "processed", "failures", "given up"):
        table.add_column(name, justify="right")
    table.add_column("now")
    for (mapping, shard), line in sorted(tally.lines.items()):
        figures = (line.batches, line.processed, line.failures, line.given_up)
        table.add_row(mapping, shard, *map(str, figures), line.state)
    return table
