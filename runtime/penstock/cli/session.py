"""What one run of the command carries along: whether to show tracebacks, and how to keep secrets out of messages."""

from collections.abc import Callable
from dataclasses import dataclass

import click


def _as_it_is(text: str) -> str:
    return text


@dataclass(slots=True)
class Session:
    """`mask` is set as soon as a configuration was read, and used on everything that is written to stderr."""

    debug: bool = False
    mask: Callable[[str], str] = _as_it_is

    def say(self, text: str) -> None:
        """Write a message for the user to stderr."""
        click.echo(self.mask(text), err=True)


def session() -> Session:
    """Give the running command's session."""
    found = click.get_current_context().find_object(Session)
    assert found is not None  # the group makes it
    return found
