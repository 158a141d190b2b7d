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

from conformance.recordings.case import Case, read_cases  # noqa: E402 - the harness that it uses is found only now
from conformance.recordings.placeholders import Bindings  # noqa: E402 - the same
from conformance.recordings.scope import is_run  # noqa: E402 - the same
from conformance.recordings.traces import traces  # noqa: E402 - the same

Recorded = Callable[[str], dict[str, Any]]
Bind = Callable[[Any, Any], dict[str, str]]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test with `streamed_case` each case that is run; where there are no recordings, one that says so."""
    if "streamed_case" not in metafunc.fixturenames:
        return
    recorded: list[Case | None] = [case for case in _cases() if is_run(case)]
    cases = [*(recorded or [None]), *traces()]
    ids = ["recordings" if case is None else case.id.replace(" ", "-") for case in cases]
    metafunc.parametrize("streamed_case", cases, ids=ids, indirect=True)


@pytest.fixture
def streamed_case(request: pytest.FixtureRequest) -> Case:
    """One case that is run: a recording, or a trace of the specification."""
    case: Case | None = request.param
    if case is None:
        pytest.fail(f"there is no case of a stream in {request.getfixturevalue('conformance') / 'recorded'}")
    return case


@pytest.fixture(scope="session")
def streamed_cases() -> list[Case]:
    """All of them."""
    return [*filter(is_run, _cases()), *traces()]


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


def _cases() -> list[Case]:
    return read_cases(_folder() / "recorded")
