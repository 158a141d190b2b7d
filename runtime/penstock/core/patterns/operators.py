"""What a pattern may ask of one value (`lambda-semantics.md §6.4`): one small class for each operator.

`matches` is asked of scalars alone: texts, numbers, true, false and null. Whether a field is there at all is the
business of `Absent`, which no value satisfies.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from penstock.core.patterns.numbers import is_number, to_double

Scalar: TypeAlias = str | int | float | bool | None
Number: TypeAlias = int | float


@dataclass(frozen=True, slots=True)
class EqualsText:
    """Exactly this text."""

    text: str

    def matches(self, value: Any) -> bool:
        return bool(value == self.text)


@dataclass(frozen=True, slots=True)
class EqualsNumber:
    """A number that is the same double, however it is written."""

    number: float

    def matches(self, value: Any) -> bool:
        return is_number(value) and to_double(value) == self.number


@dataclass(frozen=True, slots=True)
class EqualsConstant:
    """True, false or null, and nothing that Python takes for the same."""

    constant: bool | None

    def matches(self, value: Any) -> bool:
        return value is self.constant


@dataclass(frozen=True, slots=True)
class TextTest:
    """A text of which a comparison holds: `prefix`, `suffix`, `wildcard`, `cidr`, `equals-ignore-case`."""

    compare: Callable[[str], bool]

    def matches(self, value: Any) -> bool:
        return value.__class__ is str and self.compare(value)


@dataclass(frozen=True, slots=True)
class NumberBetween:
    """`numeric`: a number above one bound, below another, or both. Without bounds they are infinite."""

    low: float = -float("inf")
    high: float = float("inf")
    with_low: bool = True
    with_high: bool = True

    def matches(self, value: Any) -> bool:
        if not is_number(value):
            return False
        number = to_double(value)
        above = number >= self.low if self.with_low else number > self.low
        return above and (number <= self.high if self.with_high else number < self.high)


@dataclass(frozen=True, slots=True)
class Present:
    """`exists: true`: any value, null too."""

    def matches(self, value: Any) -> bool:  # noqa: ARG002 - one face for all
        return True


@dataclass(frozen=True, slots=True)
class Absent:
    """`exists: false`: no value at all."""

    def matches(self, value: Any) -> bool:  # noqa: ARG002 - one face for all
        return False


@dataclass(frozen=True, slots=True)
class AnythingBut:
    """Any value of which none of these hold. A field that is missing is no value."""

    tests: tuple[EqualsText | EqualsNumber | TextTest, ...]

    def matches(self, value: Any) -> bool:
        return not any(test.matches(value) for test in self.tests)


Test: TypeAlias = EqualsText | EqualsNumber | EqualsConstant | TextTest | NumberBetween | Present | Absent | AnythingBut
