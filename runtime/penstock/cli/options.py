"""The options that several commands share."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from penstock.cli.session import Session

F = TypeVar("F", bound=Callable[..., Any])


def command(name: str, *, example: str) -> Callable[[Callable[..., Any]], click.Command]:
    """Make a command with an example in its help, and with `--json` (given as `as_json`) and `--debug`."""

    def decorate(function: Callable[..., Any]) -> click.Command:
        return click.command(name, epilog=example_text(example))(json_option(debug_option(function)))

    return decorate


def example_text(example: str) -> str:
    """Lay out the examples of a command's help."""
    return "\b\nExample:\n" + "\n".join(f"  {line}" for line in example.splitlines())


def _remember_debug(ctx: click.Context, _: click.Parameter, value: bool) -> None:  # noqa: FBT001 - click's signature
    current = ctx.find_object(Session)
    if value and current is not None:
        current.debug = True


def debug_option(function: F) -> F:
    """Add `--debug`."""
    return click.option(
        "--debug",
        is_flag=True,
        is_eager=True,
        expose_value=False,
        callback=_remember_debug,
        help="Show where an error comes from.",
    )(function)


def json_option(function: F) -> F:
    """Add `--json`."""
    return click.option("--json", "as_json", is_flag=True, help="Write the result as JSON.")(function)


def file_option(*, short: bool = True) -> Callable[[F], F]:
    """Add `-f, --file`; without the short form where `-f` means to follow."""
    names = ("-f", "--file") if short else ("--file",)
    return click.option(
        *names,
        "file",
        default="penstock.yaml",
        envvar="PENSTOCK_FILE",
        show_default=True,
        show_envvar=True,
        metavar="FILE",
        help="The configuration.",
    )


def data_dir_option(function: F) -> F:
    """Add `--data-dir`."""
    return click.option(
        "--data-dir",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="PENSTOCK_DATA_DIR",
        show_envvar=True,
        metavar="DIR",
        help="Where the node keeps what outlives it.  [default: .penstock beside the configuration]",
    )(function)


def endpoint_option(function: F) -> F:
    """Add `--endpoint`."""
    return click.option(
        "--endpoint",
        default="http://127.0.0.1:3001",
        envvar="PENSTOCK_ENDPOINT",
        show_default=True,
        show_envvar=True,
        metavar="URL",
        help="The node to ask.",
    )(function)
