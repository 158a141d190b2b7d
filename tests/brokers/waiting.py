from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

Value = TypeVar("Value")


def until(get: Callable[[], Value], *, what: str, timeout_seconds: float = 30, every_seconds: float = 0.05) -> Value:
    """Ask again and again until the answer is true, and return it.

    Raises:
        AssertionError: it was not by the deadline; with what was awaited and the last answer.
    """
    deadline = time.monotonic() + timeout_seconds
    while not (value := get()):
        assert time.monotonic() < deadline, f"not within {timeout_seconds:g} s: {what}; the last answer was {value!r}"
        time.sleep(every_seconds)
    return value
