"""Cases recorded on AWS, and a way to hold our documents to them.

The data lies outside the repository: in the folder that `PENSTOCK_CONFORMANCE` names, or beside the project. A folder
that is named and missing is an error; where none is named and none is there, these tests are skipped.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

_E2E = str(Path(__file__).resolve().parents[1] / "e2e")
if _E2E not in sys.path:
    sys.path.append(_E2E)

from conformance.recordings import queue_scope  # noqa: E402 - the harness that it uses is found only now
from conformance.recordings.case import QUEUES, Case, read_cases  # noqa: E402 - the same
from conformance.recordings.placeholders import Bindings  # noqa: E402 - the same
from conformance.recordings.queue_traces import queue_traces  # noqa: E402 - the same
from conformance.recordings.scope import is_run  # noqa: E402 - the same
from conformance.recordings.traces import traces  # noqa: E402 - the same

Recorded = Callable[[str], dict[str, Any]]
Bind = Callable[[Any, Any], dict[str, str]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with `streamed_case` or `queued_case` each case that is run; without recordings, one that says so."""
    for fixture, find, ours in (("streamed_case", _streamed, traces()), ("queued_case", _queued, queue_traces())):
        if fixture in metafunc.fixturenames:
            found: list[Case | None] = [*find()]
            cases = [*(found or [None]), *ours]
            ids = ["recordings" if case is None else case.id.replace(" ", "-") for case in cases]
            metafunc.parametrize(fixture, cases, ids=ids, indirect=True)


@pytest.fixture
def streamed_case(request: pytest.FixtureRequest) -> Case:
    """One case of a stream that is run: a recording, or a trace of the specification."""
    return _given(request)


@pytest.fixture
def queued_case(request: pytest.FixtureRequest) -> Case:
    """One case of a queue that is run: a recording, or a trace of the specification."""
    return _given(request)


@pytest.fixture(scope="session")
def streamed_cases() -> list[Case]:
    """All of them."""
    return [*_streamed(), *traces()]


@pytest.fixture(scope="session")
def queued_cases() -> list[Case]:
    """All of them."""
    return [*_queued(), *queue_traces()]


@pytest.fixture(scope="session")
def conformance() -> Path:
    named = os.environ.get("PENSTOCK_CONFORMANCE")
    folder = _folder()
    if folder.is_dir():
        return folder
    if named:
        pytest.fail(f"PENSTOCK_CONFORMANCE names {folder}, which is not a folder")
    pytest.skip(f"no recorded cases: PENSTOCK_CONFORMANCE is not set and {folder} is not there")


@pytest.fixture(scope="session")
def recorded(conformance: Path) -> Recorded:
    """Read one recorded case by its file's name without the ending."""
    return lambda name: json.loads((conformance / "recorded" / f"{name}.json").read_text())


@pytest.fixture(scope="session")
def bind() -> Bind:
    """Compare a document with a recorded one, and give what its placeholders stand for."""

    def bind(expected: Any, actual: Any) -> dict[str, str]:
        bindings = Bindings()
        bindings.hold(expected, actual)
        return bindings.values

    return bind


@pytest.fixture(scope="session")
def keys() -> Callable[[Any], Any]:
    """Reduce a document to the order of its keys."""
    return _key_order


def _key_order(document: Any) -> Any:
    if isinstance(document, Mapping):
        return [(key, _key_order(value)) for key, value in document.items()]
    return [_key_order(element) for element in document] if isinstance(document, list) else None


def _folder() -> Path:
    named = os.environ.get("PENSTOCK_CONFORMANCE")
    return Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "conformance"


def _streamed() -> list[Case]:
    return list(filter(is_run, read_cases(_folder() / "recorded")))


def _queued() -> list[Case]:
    return list(filter(queue_scope.is_run, read_cases(_folder() / "recorded", QUEUES)))


def _given(request: pytest.FixtureRequest) -> Case:
    case: Case | None = request.param
    if case is None:
        pytest.fail(f"there is no case of this kind in {request.getfixturevalue('conformance') / 'recorded'}")
    return case
