"""Which exit code and which words an exception becomes.

0 done; 1 carried out and failed; 2 what was asked is wrong; 3 node or broker could not be reached; 130 interrupted.
"""

import traceback
from collections.abc import Iterable

import click

from penstock.cli.session import Session

FAILED = 1
WRONG = 2
UNREACHABLE = 3
INTERRUPTED = 130


class Failure(click.ClickException):
    """A command that ends with a message (none: it was said already) and a code of its own."""

    def __init__(self, message: str = "", *, code: int = FAILED) -> None:
        """Take the sentence for the user, and the exit code."""
        super().__init__(message)
        self.exit_code = code  # type: ignore[misc] # click reads it from the instance, and declares it on the class


class Wrong(Failure):
    """What was asked is wrong (2)."""

    def __init__(self, message: str = "") -> None:
        """Take the sentence for the user."""
        super().__init__(message, code=WRONG)


class Unreachable(Failure):
    """The node or broker could not be reached (3)."""

    def __init__(self, message: str = "") -> None:
        """Take the sentence for the user."""
        super().__init__(message, code=UNREACHABLE)


def report(error: BaseException, session: Session) -> int:
    """Say what went wrong, in one message and without a traceback unless `--debug` asks for it; gives the exit code."""
    if session.debug and not isinstance(error, click.exceptions.Exit):
        session.say("".join(traceback.format_exception(error)).rstrip())
    match error:
        case click.exceptions.Exit():
            return error.exit_code
        case click.Abort() | KeyboardInterrupt():
            session.say("interrupted")
            return INTERRUPTED
        case Failure():
            if error.message:
                session.say(f"Error: {error.message}")
            return error.exit_code
        case click.ClickException():
            error.show()
            return error.exit_code
        case BaseExceptionGroup():
            return report(_worst(error.exceptions), session)
    return _report_ours(error, session)


def _report_ours(error: BaseException, session: Session) -> int:
    # Imported here: a command that goes well never needs them.
    from penstock.api import PenstockError  # noqa: PLC0415
    from penstock.configuration import ConfigurationError  # noqa: PLC0415

    if isinstance(error, ConfigurationError):
        session.say(str(error))
    elif isinstance(error, PenstockError):
        session.say(f"Error: {error}")
    else:
        session.say(f"Error: {type(error).__name__}: {error}" + ("" if session.debug else " (--debug shows where)"))
    return exit_code(error)


def exit_code(error: BaseException) -> int:
    """Tell which exit code an error of ours stands for."""
    from penstock.api import (  # noqa: PLC0415 - imported when something went wrong
        SettingsError,
        SourceBroken,
        SourceDenied,
        SourceMissing,
        SourceUnavailable,
    )
    from penstock.configuration import ConfigurationError  # noqa: PLC0415
    from penstock.plugins import PluginError  # noqa: PLC0415
    from penstock.shell.data_dir import DataDirError  # noqa: PLC0415

    if isinstance(error, SourceUnavailable):
        return UNREACHABLE
    wrong = (ConfigurationError, SettingsError, PluginError, SourceDenied, SourceMissing, SourceBroken, DataDirError)
    return WRONG if isinstance(error, wrong) else FAILED


def _worst(errors: Iterable[BaseException]) -> BaseException:
    """Of several errors that came together, report the one that says most."""
    leaves = [leaf for error in errors for leaf in _leaves(error)]
    return max(leaves, key=lambda leaf: {WRONG: 3, UNREACHABLE: 2}.get(exit_code(leaf), 1))


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]
