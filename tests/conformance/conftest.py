"""Cases recorded on AWS, and a way to hold our documents to them.

The data lies outside the repository: in the folder that `PENSTOCK_CONFORMANCE` names, or beside the project. A folder
that is named and missing is an error; where none is named and none is there, these tests are skipped.
"""

import json
import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

PLACEHOLDER = re.compile(r"<[a-z0-9-]+(?::[^<>]+)?>")
# The recorder wrote these two without brackets.
BARE_PLACEHOLDERS = {"sent-timestamp", "sender-id"}

Recorded = Callable[[str], dict[str, Any]]
Bind = Callable[[Any, Any], dict[str, str]]


@pytest.fixture(scope="session")
def conformance() -> Path:
    named = os.environ.get("PENSTOCK_CONFORMANCE")
    folder = Path(named) if named else Path(__file__).resolve().parents[3] / "shared" / "conformance"
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
    return bind_placeholders


def bind_placeholders(expected: Any, actual: Any) -> dict[str, str]:
    """Compare a document with a recorded one, and return what its placeholders stand for.

    A placeholder stands for any text or number that is not empty, a numbered one for the same everywhere.
    """
    bound: dict[str, str] = {}
    _match(expected, actual, "$", bound)
    return bound


def _match(expected: Any, actual: Any, path: str, bound: dict[str, str]) -> None:
    if isinstance(expected, dict):
        assert isinstance(actual, dict), f"{path}: {actual!r} is not an object"
        assert expected.keys() == actual.keys(), f"{path}: keys differ"
        for key in expected:
            _match(expected[key], actual[key], f"{path}.{key}", bound)
    elif isinstance(expected, list):
        assert isinstance(actual, list), f"{path}: {actual!r} is not a list"
        assert len(expected) == len(actual), f"{path}: {len(actual)} elements, not {len(expected)}"
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            _match(left, right, f"{path}[{index}]", bound)
    elif isinstance(expected, str) and (expected in BARE_PLACEHOLDERS or PLACEHOLDER.search(expected)):
        _match_text(expected, str(actual), path, bound)
    else:
        assert expected == actual, f"{path}: {actual!r} is not {expected!r}"


def _match_text(expected: str, actual: str, path: str, bound: dict[str, str]) -> None:
    names = [expected] if expected in BARE_PLACEHOLDERS else PLACEHOLDER.findall(expected)
    literals = ["", ""] if expected in BARE_PLACEHOLDERS else PLACEHOLDER.split(expected)
    pattern = re.escape(literals[0]) + "".join(f"(.+?){re.escape(literal)}" for literal in literals[1:])
    found = re.fullmatch(pattern, actual, re.DOTALL)
    assert found, f"{path}: {actual!r} does not look like {expected!r}"
    for name, value in zip(names, found.groups(), strict=True):
        if ":" in name or name in {"<region>", "<partition>"}:
            assert bound.setdefault(name, value) == value, f"{path}: {name} is {bound[name]!r} elsewhere, not {value!r}"


def key_order(document: Any) -> Any:
    """Reduce a document to the order of its keys."""
    if isinstance(document, Mapping):
        return [(key, key_order(value)) for key, value in document.items()]
    return [key_order(element) for element in document] if isinstance(document, list) else None


@pytest.fixture(scope="session")
def keys() -> Callable[[Any], Any]:
    return key_order
