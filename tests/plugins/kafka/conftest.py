"""The Kafka plugin on a broker, for every test of it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from small_engine import Kafka


@pytest.fixture
def on_kafka(kafka: Any, tmp_path: Path) -> Kafka:
    """The plugin on the session's broker, with a group of the test's own."""
    return Kafka(kafka.address, tmp_path)


@pytest.fixture
def on_address(tmp_path: Path) -> Callable[[str], Kafka]:
    """The plugin on a broker of one's choice."""
    return lambda address: Kafka(address, tmp_path)
