"""Says how far a long command is: a moving line on a terminal, a plain line now and then elsewhere."""

import sys
import time
from types import TracebackType
from typing import Self

import click

QUIET_S = 2.0


class Progress:
    """Counts records. Nothing is shown of what takes less than two seconds."""

    def __init__(self, doing: str) -> None:
        """Say what is being done, such as `sent`."""
        self._doing = doing
        self._last_s = time.monotonic()
        self._is_drawn = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._is_drawn:
            click.echo("\r\x1b[2K", nl=False, err=True)

    def update(self, count: int) -> None:
        """Tell how many there are by now."""
        now_s = time.monotonic()
        is_terminal = sys.stderr.isatty()
        if now_s - self._last_s < (0.1 if self._is_drawn else QUIET_S):
            return
        self._last_s = now_s
        text = f"{self._doing} {count:,} records"
        if is_terminal:
            self._is_drawn = True
            click.echo(f"\r\x1b[2K{text}", nl=False, err=True)
        else:
            click.echo(text, err=True)
