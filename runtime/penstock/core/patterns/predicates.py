"""The tests of one field, made into one quick function.

Each function here is asked once or more for every record, so those for what patterns mostly say are spelled out.
"""

from collections.abc import Callable
from typing import Any, TypeAlias

from penstock.core.patterns.formula import Condition
from penstock.core.patterns.numbers import to_double
from penstock.core.patterns.operators import (
    Absent,
    AnythingBut,
    EqualsConstant,
    EqualsNumber,
    EqualsText,
    NumberBetween,
    Present,
    Test,
    TextTest,
)

Check: TypeAlias = Callable[[Any], bool]


def scalar_check(tests: tuple[Test, ...]) -> Check:
    """Make the check of a scalar: true where any of the tests holds."""
    asked = tuple(test for test in tests if not isinstance(test, Absent))
    if any(isinstance(test, Present) for test in asked):
        return _always
    texts = frozenset(test.text for test in asked if isinstance(test, EqualsText))
    checks = [_quick(test) for test in asked if not isinstance(test, EqualsText)]
    if texts:
        # A text is never equal to a value of another kind, and every scalar can be looked up.
        checks.insert(0, texts.__contains__)
    if not checks:
        return _never
    return checks[0] if len(checks) == 1 else _any_of(tuple(checks))


def leaf_check(condition: Condition) -> Check:
    """Make the check of whatever stands at a condition's path: a scalar, or an array with one that passes."""
    check = scalar_check(condition.tests)
    accepts_absence = condition.accepts_absence

    def leaf(value: Any) -> bool:
        kind = value.__class__
        if kind is list:
            return _in_array(value, check, accepts_absence=accepts_absence)
        if kind is dict:
            return accepts_absence
        return check(value)

    if len(condition.tests) != 1 or not isinstance(condition.tests[0], EqualsText):
        return leaf
    text = condition.tests[0].text

    def equal_leaf(value: Any) -> bool:
        return value == text or (value.__class__ is list and _in_array(value, check, accepts_absence=False))

    return equal_leaf


def _in_array(array: list[Any], check: Check, *, accepts_absence: bool) -> bool:
    is_empty = True
    waiting = [array]
    while waiting:
        for value in waiting.pop():
            kind = value.__class__
            if kind is list:
                waiting.append(value)
            elif kind is not dict:
                if check(value):
                    return True
                is_empty = False
    return accepts_absence and is_empty


def _quick(test: Test) -> Check:
    match test:
        case TextTest(compare):
            return lambda value: value.__class__ is str and compare(value)
        case EqualsConstant(constant):
            return lambda value: value is constant
        case EqualsNumber(number):
            return _equal_number(number)
        case NumberBetween():
            return _between(test)
        case AnythingBut(tests):
            return _anything_but(tests)
        case _:
            return test.matches


def _equal_number(number: float) -> Check:
    def check(value: Any) -> bool:
        kind = value.__class__
        if kind is float:
            return bool(value == number)
        return kind is int and to_double(value) == number

    return check


def _between(test: NumberBetween) -> Check:
    low, high = test.low, test.high
    if not (test.with_low and test.with_high):
        with_low, with_high = test.with_low, test.with_high

        def check(value: Any) -> bool:
            if value.__class__ is not float:
                if value.__class__ is not int:
                    return False
                value = to_double(value)
            return low <= value <= high and (with_low or value != low) and (with_high or value != high)

        return check

    def closed(value: Any) -> bool:
        if value.__class__ is not float:
            if value.__class__ is not int:
                return False
            value = to_double(value)
        return bool(low <= value <= high)

    return closed


def _anything_but(tests: tuple[EqualsText | EqualsNumber | TextTest, ...]) -> Check:
    texts = frozenset(test.text for test in tests if isinstance(test, EqualsText))
    if texts and all(isinstance(test, EqualsText) for test in tests):
        return lambda value: value not in texts
    but = scalar_check(tests)
    return lambda value: not but(value)


def _any_of(checks: tuple[Check, ...]) -> Check:
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) or second(value)

    def check(value: Any) -> bool:
        for each in checks:  # noqa: SIM110 - a generator would cost more than what it asks
            if each(value):
                return True
        return False

    return check


def _always(_: Any) -> bool:
    return True


def _never(_: Any) -> bool:
    return False
