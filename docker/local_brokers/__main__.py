"""Start and stop the brokers: `up`, `down`, and `run COMMAND…`, which has them up while a command runs."""

# ruff: noqa: S603, T201 - it runs the command it was given, and prints addresses to be evaluated by a shell

from __future__ import annotations

import argparse
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from types import FrameType

from local_brokers import fleet
from local_brokers.kinds import KINDS, kinds_instead_of
from local_brokers.process import BrokerError, say


def main() -> int:
    parser = argparse.ArgumentParser(prog="local_brokers", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    up = verbs.add_parser("up", help="start the brokers that do not run; print their addresses as `export` lines")
    for name in ("redis", "rabbitmq"):
        up.add_argument(
            f"--{name}",
            default="",
            metavar="WHICH",
            help="which to start: system (this machine's packages), or a newer one",
        )
    verbs.add_parser("down", help="stop the brokers that were started here and remove their data")
    run = verbs.add_parser("run", help="run a command beside brokers; those given by PENSTOCK_TEST_… are not started")
    run.add_argument("--only", choices=[kind.name for kind in KINDS], help="start this broker alone")
    run.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args()
    try:
        match arguments.verb:
            case "up":
                _up({"redis": arguments.redis, "rabbitmq": arguments.rabbitmq})
            case "down":
                fleet.down()
            case _:
                return _run(arguments.command, only=arguments.only)
    except BrokerError as error:
        say(str(error))
        return 1
    return 0


def _up(wishes: Mapping[str, str]) -> None:
    fleet.up(choices={name: _choice(name, wish) for name, wish in wishes.items() if wish})
    for name, value in fleet.exports():
        print(f"export {name}={shlex.quote(value)}")


def _choice(name: str, wish: str) -> str:
    """Return the name of the kind that was asked for in the place of this one."""
    allowed = kinds_instead_of(name)
    if wish not in allowed:
        raise BrokerError(f"{name.upper()}={wish} is none that can be started; allowed are {', '.join(allowed)}")
    return allowed[wish]


def _run(command: Sequence[str], *, only: str | None) -> int:
    """Run the command beside the brokers, and stop afterwards those that were started for it and no others."""
    signal.signal(signal.SIGTERM, _leave)
    kinds = [kind for kind in KINDS if only in {None, kind.name} and kind.variable not in os.environ]
    with fleet.borrowed(kinds):
        ours = dict(fleet.exports(kinds))
        try:
            return _wait(subprocess.Popen(command, env={**os.environ, **ours}))
        except FileNotFoundError:
            raise BrokerError(f"there is no program {command[0]!r}") from None


def _wait(process: subprocess.Popen[bytes]) -> int:
    while True:
        try:
            return process.wait()
        except KeyboardInterrupt:
            # The terminal interrupted the command too; its end is awaited, so that it finds its brokers until then.
            continue
        except SystemExit:
            process.terminate()
            process.wait()
            raise


def _leave(_number: int, _frame: FrameType | None) -> None:
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
