"""The brokers of this checkout: which run, how they were started, and on which ports.

What is known about them is kept in `.brokers/state.json`, so that a second start finds them and a stop ends these and
no others.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Literal, TypedDict

from local_brokers import containers
from local_brokers.kinds import HOME, KINDS, Kind, Server, install_missing
from local_brokers.process import pick_ports, say

_STATE = HOME / "state.json"
_EXPORTS = HOME / "env"


class Running(TypedDict):
    """How a broker was started, and its ports in the order of `Kind.ports_preferred`."""

    how: Literal["native", "container"]
    ports: list[int]


def up(kinds: Sequence[Kind] = KINDS) -> list[Kind]:
    """Start those of the brokers that do not answer, and return them; the others are left as they are."""
    with _state() as state:
        missing = [kind for kind in kinds if not _answers(kind, state)]
        for kind in missing:
            _remove(kind, state)
        try:
            _start(missing, state)
        except BaseException:
            for kind in missing:
                _remove(kind, state)
            raise
        return missing


def down(kinds: Sequence[Kind] = KINDS) -> None:
    """Stop the brokers and remove what they wrote."""
    with _state() as state:
        for kind in kinds:
            _remove(kind, state)


def exports(kinds: Sequence[Kind] = KINDS) -> list[tuple[str, str]]:
    """List the variables by which the tests find those of the brokers that were started."""
    with _state() as state:
        return _exports(kinds, state)


def _start(missing: Sequence[Kind], state: dict[str, Running]) -> None:
    if not missing:
        return
    ports = iter(pick_ports(*[port for kind in missing for port in kind.ports_preferred]))
    ports_of = {kind.name: [next(ports) for _ in kind.ports_preferred] for kind in missing}
    if containers.available(missing):
        for kind in missing:
            say(f"starting {kind.name} in a container")
            state[kind.name] = Running(how="container", ports=ports_of[kind.name])
            containers.start(kind, _server(kind, state), ports_of[kind.name])
        return
    install_missing(missing)
    for kind in missing:
        say(f"starting {kind.name}")
        state[kind.name] = Running(how="native", ports=ports_of[kind.name])
        _server(kind, state).start()
    for kind in missing:
        _server(kind, state).wait_ready()


def _server(kind: Kind, state: dict[str, Running]) -> Server:
    return kind.make(HOME / kind.name, state[kind.name]["ports"])


def _answers(kind: Kind, state: dict[str, Running]) -> bool:
    return kind.name in state and _server(kind, state).answers()


def _remove(kind: Kind, state: dict[str, Running]) -> None:
    if kind.name not in state:
        return
    say(f"stopping {kind.name}")
    if state[kind.name]["how"] == "container":
        containers.remove(kind)
        shutil.rmtree(HOME / kind.name, ignore_errors=True)
    else:
        _server(kind, state).remove()
    del state[kind.name]


def _exports(kinds: Sequence[Kind], state: dict[str, Running]) -> list[tuple[str, str]]:
    return [pair for kind in kinds if kind.name in state for pair in _server(kind, state).exports()]


@contextmanager
def _state() -> Iterator[dict[str, Running]]:
    """Hold what is known, for one process at a time, and write it down at the end, a failed one too."""
    HOME.mkdir(exist_ok=True)
    with (HOME / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        state: dict[str, Running] = json.loads(_STATE.read_text()) if _STATE.exists() else {}
        try:
            yield state
        finally:
            if state:
                _STATE.write_text(json.dumps(state, indent=2) + "\n")
                _EXPORTS.write_text("".join(f"export {name}={value}\n" for name, value in _exports(KINDS, state)))
            else:
                _STATE.unlink(missing_ok=True)
                _EXPORTS.unlink(missing_ok=True)
