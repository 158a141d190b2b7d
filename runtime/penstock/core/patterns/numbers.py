"""Numbers as patterns see them: IEEE doubles, whatever way they were written (`lambda-semantics.md §6.4`)."""

import math
from typing import TypeGuard

NUMBER_TYPES = frozenset({int, float})
"""The classes of a parsed JSON number; not that of true and false, which Python counts among the integers."""


_INT_DIGITS_MAX = 400
"""Python refuses to read integers of thousands of digits; beyond so many, all doubles are infinite anyway."""


def read_integer(digits: str) -> int | float:
    """Read an integer of JSON, of any length."""
    return int(digits) if len(digits) <= _INT_DIGITS_MAX else float(digits)


def is_number(value: object) -> TypeGuard[int | float]:
    """Tell a JSON number from everything else."""
    return value.__class__ in NUMBER_TYPES


def to_double(number: int | float) -> float:  # noqa: PYI041 - both come from a parser, and they differ here
    """Round to the nearest double; an integer beyond all doubles is infinite.

    Python compares an integer with a float exactly, which would tell 2**53 + 1 from 2.0**53.
    """
    try:
        return float(number)
    except OverflowError:
        return math.inf if number > 0 else -math.inf
