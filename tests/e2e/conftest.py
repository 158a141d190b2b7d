"""Puts the harness on the path, and offers its nodes to the tests that run real ones."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)

from harness import KINDS, Nodes, Queue  # noqa: E402 - they are found only now


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Starts nodes; those that still run after the test are ended, with everything that they started."""
    with Nodes(tmp_path) as made:
        yield made


@pytest.fixture
def queues(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], Queue]]:
    """Makes queues of a kind, `queues("redis-list")`, which are removed after the test."""
    made: list[Queue] = []

    def make(kind: str) -> Queue:
        made.append(KINDS[kind].make(request.getfixturevalue, tmp_path))
        return made[-1]

    yield make
    for queue in made:
        queue.remove()
