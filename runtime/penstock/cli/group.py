"""The group of all commands. A command's module is imported when it is called, so that `penstock --help` is quick."""

import difflib
import importlib
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click

from penstock.cli.failures import report
from penstock.cli.options import debug_option
from penstock.cli.session import Session

COMMANDS = {
    "up": "Run a node in the foreground.",
    "demo": "Show the engine at work, on nothing but Python.",
    "status": "Show a node at a glance.",
    "mapping": "Look at a node's mappings; stop, move and start them.",
    "source": "Look at sources, and what is on their brokers.",
    "init": "Write a small working project.",
    "validate": "Check a configuration.",
    "config": "Show the configuration as understood.",
    "schema": "Print the JSON Schema of the configuration.",
    "plugin": "Show the plugins that are installed.",
    "event": "Print an event to invoke a function with.",
    "invoke": "Run a function once.",
    "send": "Put records on a source.",
    "peek": "Show what is on a source, without taking it.",
    "filter": "Tell whether an event pattern matches.",
    "logs": "Show a function's log.",
}
"""Every command and its line in the overview; `validate` is the object `validate` of `penstock.cli.validate`."""


class LazyGroup(click.Group):
    """A group whose commands are named by a table, with our exit codes and messages."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(f"penstock.cli.{cmd_name}"), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean '{near[0]}'?" if near else "`penstock --help` lists them"
            ctx.fail(f"there is no command '{args[0]}'; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - click's signature
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> Any:
        current = Session()
        extra.setdefault("obj", current)

        def run() -> Any:
            return super(LazyGroup, self).main(args, prog_name, complete_var, standalone_mode=False, **extra)

        return _ended(run, current) if standalone_mode else run()


def _ended(run: Callable[[], Any], current: Session) -> None:
    try:
        code = run()
    except Exception as error:  # noqa: BLE001 - the outermost place: everything becomes a message and a code
        code = report(error, current)
    except KeyboardInterrupt as error:
        code = report(error, current)
    sys.exit(code if isinstance(code, int) else 0)


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="""\b
Example:
  penstock init shop && cd shop && penstock validate

\b
Completion in your shell:
  eval "$(_PENSTOCK_COMPLETE=bash_source penstock)"     (or zsh_source, fish_source)
""",
)
@click.version_option(package_name="penstock", message="%(prog)s %(version)s")
@debug_option
def penstock() -> None:
    """Run functions written for AWS Lambda on the brokers you already have."""


def main() -> None:
    """Run the command and end the process with its code."""
    penstock.main(prog_name="penstock")
