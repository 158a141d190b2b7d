"""`numeric`, read: one comparison, or a lower bound and then an upper one."""

import math
from typing import Any

from penstock.core.patterns.numbers import is_number, to_double
from penstock.core.patterns.operators import NumberBetween
from penstock.core.patterns.refusal import PatternRefused, shown

LOWER = (">", ">=")
UPPER = ("<", "<=")
COMPARISONS = ("=", *UPPER, *LOWER)
_ALLOWED = 'one comparison such as ["<", 10], or a lower and then an upper bound such as [">", 0, "<=", 5]'


def finite_double(number: int | float, *, path: str) -> float:  # noqa: PYI041 - both come from a parser
    """Round to the nearest double. Raises PatternRefused where there is none."""
    found = to_double(number)
    if not math.isfinite(found):
        raise PatternRefused("The number is out of range", path=path, found=shown(number), allowed="an IEEE double")
    return found


def number_tests(terms: Any, path: str) -> NumberBetween:
    """Read the argument of `numeric`. Raises PatternRefused."""
    if not isinstance(terms, list):
        raise _refused("Value of numeric must be an array.", terms, path)
    if not terms or not isinstance(terms[0], str):
        found = terms[0] if terms else terms
        raise _refused(f"Invalid member in numeric match: {_java(found) if terms else ']'}", found, path)
    comparison = terms[0]
    if comparison not in COMPARISONS:
        raise _refused(f"Unrecognized numeric range operator: {comparison}", comparison, path)
    number = _operand(terms, 1, "equals" if comparison == "=" else comparison, path)
    rest = terms[2:]
    if comparison == "=":
        _hold_end(rest, path)
        return NumberBetween(low=number, high=number)
    if comparison in UPPER:
        _hold_end(rest, path)
        return NumberBetween(high=number, with_high=comparison == "<=")
    if not rest:
        return NumberBetween(low=number, with_low=comparison == ">=")
    return _between(terms, number, path)


def _between(terms: list[Any], low: float, path: str) -> NumberBetween:
    upper = terms[2]
    if not isinstance(upper, str):
        raise _refused(f"Bad value in numeric range: {_java(upper)}", upper, path)
    if upper not in UPPER:
        raise _refused(f"Bad numeric range operator: {upper}", terms, path)
    high = _operand(terms, 3, upper, path)
    if len(terms) > 4:
        raise _refused("Too many terms in numeric range expression", terms, path)
    if low >= high:
        raise _refused("Bottom must be less than top", terms, path)
    return NumberBetween(low=low, with_low=terms[0] == ">=", high=high, with_high=upper == "<=")


def _operand(terms: list[Any], index: int, name: str, path: str) -> float:
    if len(terms) <= index or not is_number(terms[index]):
        found = terms[index] if len(terms) > index else terms
        raise _refused(f"Value of {name} must be numeric", found, path)
    return finite_double(terms[index], path=path)


def _hold_end(rest: list[Any], path: str) -> None:
    if rest:
        raise _refused("Too many elements in numeric expression", rest, path)


def _refused(reason: str, found: Any, path: str) -> PatternRefused:
    return PatternRefused(reason, path=path, found=shown(found), allowed=_ALLOWED)


def _java(value: Any) -> str:
    """Write a value as it stands in the text, and an array or object by its first sign, as AWS does."""
    if isinstance(value, list):
        return "["
    return "{" if isinstance(value, dict) else shown(value)
