"""The brokers of this checkout: which run, how they were started, and on which ports.

What is known about them is kept in `.brokers/state.json`, so that a second start finds them and a stop ends these and
no others.
"""

from __future__ import annotations

import fcntl
import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Literal, NotRequired, TextIO, TypedDict

from local_brokers import containers
from local_brokers.kinds import HOME, KINDS, USUAL, Kind, Server, install_missing, kind_named
from local_brokers.process import pick_ports, say

_STATE = HOME / "state.json"
_EXPORTS = HOME / "env"


class Running(TypedDict):
    """How a broker was started, its ports in the order of `Kind.ports_preferred`, and whose place it has taken.

    One that is only `borrowed` is stopped by whoever uses it last.
    """

    how: Literal["native", "container"]
    ports: list[int]
    stands_for: NotRequired[str]
    borrowed: NotRequired[bool]


@contextmanager
def borrowed(kinds: Sequence[Kind]) -> Iterator[None]:
    """Have these brokers up meanwhile; those that were started for this are stopped by the last who uses them."""
    with ExitStack() as stack:
        HOME.mkdir(exist_ok=True)
        users = [stack.enter_context((HOME / f"{kind.name}.users").open("w")) for kind in kinds]
        for each in users:
            fcntl.flock(each, fcntl.LOCK_SH)
        up(kinds, borrows=True)
        try:
            yield
        finally:
            down([kind for kind, each in zip(kinds, users, strict=True) if _is_last(each)], only_borrowed=True)


def up(kinds: Sequence[Kind] = USUAL, *, choices: Mapping[str, str] | None = None, borrows: bool = False) -> list[Kind]:
    """Start those of the brokers that do not answer, and return them; the others are left as they are.

    `choices` names the kind that is to take another's place from now on, or the same kind to take its own again.
    """
    with _state() as state:
        for name, choice in (choices or {}).items():
            _make_place(name, choice, state)
        wanted = dict.fromkeys(_in_place_of(kind, state, choices or {}) for kind in kinds)
        missing = [kind for kind in wanted if not _answers(kind, state)]
        for kind in missing:
            _remove(kind, state)
        try:
            _start(missing, state)
        except BaseException:
            for kind in missing:
                _remove(kind, state)
            raise
        for name, choice in (choices or {}).items():
            if choice != name:
                state[choice]["stands_for"] = name
        for kind in missing if borrows else wanted:
            state[kind.name]["borrowed"] = borrows
        return missing


def down(kinds: Sequence[Kind] = KINDS, *, only_borrowed: bool = False) -> None:
    """Stop the brokers and remove what they wrote."""
    with _state() as state:
        for kind in kinds:
            if not only_borrowed or (kind.name in state and state[kind.name].get("borrowed")):
                _remove(kind, state)


def exports(kinds: Sequence[Kind] = KINDS) -> list[tuple[str, str]]:
    """List the variables by which the tests find those of the brokers that were started."""
    with _state() as state:
        return _exports(kinds, state)


def _is_last(users: TextIO) -> bool:
    """Say whether nobody else uses a broker, and keep those who want to waiting until the file is closed."""
    try:
        fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _make_place(name: str, choice: str, state: dict[str, Running]) -> None:
    """Stop whoever has the place that another is to take."""
    for other in [kind for kind in KINDS if kind.name in state and kind.name != choice]:
        if name in {other.name, state[other.name].get("stands_for")}:
            _remove(other, state)


def _in_place_of(kind: Kind, state: Mapping[str, Running], choices: Mapping[str, str]) -> Kind:
    standing = {running["stands_for"]: name for name, running in state.items() if "stands_for" in running}
    return kind_named({**standing, **choices}.get(kind.name, kind.name))


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
    ports = state[kind.name]["ports"]
    if state[kind.name]["how"] == "container":
        ports = ports[: containers.ports_published(kind)]
    return kind.make(HOME / kind.name, [*ports, *[0] * (len(kind.ports_preferred) - len(ports))])


def _answers(kind: Kind, state: dict[str, Running]) -> bool:
    # One with fewer ports was started by an earlier checkout, which did not open all that the tests want.
    complete = kind.name in state and len(state[kind.name]["ports"]) == len(kind.ports_preferred)
    return complete and _server(kind, state).answers()


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
    found: list[tuple[str, str]] = []
    for kind in kinds:
        broker = _in_place_of(kind, state, {})
        if broker.name in state:
            found += _server(broker, state).exports(kind.variable)
    return found


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
