"""Why an event matches or does not: which field decided, what was wanted of it and what it held."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from penstock.core.patterns.formula import Condition, Formula, terms
from penstock.core.patterns.paths import fields
from penstock.core.patterns.refusal import shown

TERMS_MAX = 200
"""Of a pattern with more ways than that to choose its branches, so many are looked at."""
_VALUES_SHOWN_MAX = 3


@dataclass(frozen=True, slots=True)
class Reason:
    """Why the filter of this index does not match: the field that decided, the pattern's words, and what was there."""

    index: int
    field: str
    wanted: str
    found: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"Filters[{self.index}].Pattern: {self.field}: wanted {self.wanted}; found {self.found}"


@dataclass(frozen=True, slots=True)
class Explanation:
    """`index` is the filter that matches, the first of them; without one, `reasons` holds one entry for each filter."""

    matches: bool
    index: int | None
    reasons: tuple[Reason, ...]

    def __str__(self) -> str:
        """Say it in a line for each filter."""
        if self.matches:
            return "matches" if self.index is None else f"Filters[{self.index}].Pattern: matches"
        return "\n".join(map(str, self.reasons)) or "no filter could match"


def reason_against(formula: Formula, event: Any, *, index: int) -> Reason:
    """Say why a formula that does not hold does not: of the way that comes closest, the first field that fails."""
    closest: tuple[int, tuple[Condition, ...], list[Condition]] | None = None
    for term in islice(terms(formula), TERMS_MAX):
        failing = [each for each in term if not _holds_alone(each, event)]
        if closest is None or len(failing) < closest[0]:
            closest = (len(failing), term, failing)
    if closest is None:
        return Reason(index, "", "nothing that could be there", "this event")
    _, term, failing = closest
    if failing:
        first = min(failing, key=lambda each: each.order)
        return Reason(index, first.name, first.wanted, _found(first, event))
    return _inconsistent(term, index)


def _holds_alone(condition: Condition, event: Any) -> bool:
    is_there = False
    for value, _ in fields(event, condition.path):
        is_there = True
        if any(test.matches(value) for test in condition.tests):
            return True
    return condition.accepts_absence and not is_there


def _found(condition: Condition, event: Any) -> str:
    values = [value for value, _ in islice(fields(event, condition.path), _VALUES_SHOWN_MAX + 1)]
    if not values:
        return "no such field"
    more = ", …" if len(values) > _VALUES_SHOWN_MAX else ""
    return ", ".join(map(shown, values[:_VALUES_SHOWN_MAX])) + more


def _inconsistent(term: Sequence[Condition], index: int) -> Reason:
    names = ", ".join(each.name for each in term)
    return Reason(
        index,
        names,
        "all of them in one element of the array they go through",
        "each of them, but in different elements",
    )
