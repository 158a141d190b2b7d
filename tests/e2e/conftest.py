"""Puts the harness on the path, and offers its nodes to the tests that run real ones."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

_HERE = str(Path(__file__).resolve().parent)
if _HERE not in sys.path:
    sys.path.append(_HERE)

from harness import Nodes  # noqa: E402 - it is found only now


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Starts nodes; those that still run after the test are ended, with everything that they started."""
    with Nodes(tmp_path) as made:
        yield made
