"""The exact way to decide, for events in which keys with dots and keys without lead to the same field.

Everything else is decided by `tree`, in one pass. Here the fields of each condition are listed with the array elements
that lead to them, and a choice of one field for each condition is looked for in which no array is passed through by
two different elements (array consistency, `lambda-semantics.md §6.5`). Conditions are tried in the order of their
paths, as AWS's machine does, which decides one thing: `exists: false` looks only into the elements that the conditions
before it have chosen.

Such a search can be long, so its steps are bounded. An event so tangled that the bound is reached counts as a match:
what is wrongly kept can still be refused by the function, what is wrongly dropped is gone.
"""

from collections.abc import Iterable
from typing import Any, TypeAlias

from penstock.core.patterns.formula import And, Condition, Formula, Or, conditions, terms
from penstock.core.patterns.paths import fields

STEPS_MAX = 100_000

_Elements: TypeAlias = dict[int, int]


class _StepsUsedUp(Exception):
    pass


def decide(formulas: Iterable[Formula], event: Any) -> bool:
    """Tell whether any of the formulas holds for an event."""
    search = _Search(event)
    try:
        return any(map(search.decide, formulas))
    except _StepsUsedUp:
        return True


class _Search:
    def __init__(self, event: Any) -> None:
        self._event = event
        self._steps_left = STEPS_MAX
        self._known: dict[tuple[str, ...], list[tuple[Any, _Elements]]] = {}

    def decide(self, formula: Formula) -> bool:
        found = tuple(conditions(formula))
        # A condition that another one replaces need not hold, so nothing can be said of it by itself.
        if len({each.name for each in found}) == len(found):
            if not self._may_hold(formula):
                return False
            if not any(elements for each in found for _, elements in self._fields(each.path)):
                return True
        return any(map(self._holds, terms(formula)))

    def _may_hold(self, formula: Formula) -> bool:
        """Tell whether it would hold if each condition could choose its elements for itself."""
        match formula:
            case And(parts):
                return all(map(self._may_hold, parts))
            case Or(branches):
                return any(map(self._may_hold, branches))
            case Condition():
                found = self._fields(formula.path)
                if formula.accepts_absence and (not found or any(elements for _, elements in found)):
                    return True
                return any(test.matches(value) for value, _ in found for test in formula.tests)

    def _holds(self, term: tuple[Condition, ...]) -> bool:
        lists = [self._fields(each.path) for each in term]
        self._step(len(term) + sum(map(len, lists)))
        matching = [
            [elements for value, elements in found if any(test.matches(value) for test in each.tests)]
            for each, found in zip(term, lists, strict=True)
        ]
        if any(not each.accepts_absence and not found for each, found in zip(term, matching, strict=True)):
            return False
        return self._choose(term, lists, matching, 0, {})

    def _choose(
        self,
        term: tuple[Condition, ...],
        lists: list[list[tuple[Any, _Elements]]],
        matching: list[list[_Elements]],
        number: int,
        chosen: _Elements,
    ) -> bool:
        if number == len(term):
            return True
        for elements in matching[number]:
            self._step()
            if _agree(elements, chosen) and self._choose(term, lists, matching, number + 1, chosen | elements):
                return True
        if not term[number].accepts_absence:
            return False
        for _, elements in lists[number]:
            self._step()
            if _agree(elements, chosen):
                return False
        return self._choose(term, lists, matching, number + 1, chosen)

    def _fields(self, path: tuple[str, ...]) -> list[tuple[Any, _Elements]]:
        if path not in self._known:
            found = []
            for value, membership in fields(self._event, path):
                self._step()
                found.append((value, dict(membership)))
            self._known[path] = found
        return self._known[path]

    def _step(self, count: int = 1) -> None:
        self._steps_left -= count
        if self._steps_left < 0:
            raise _StepsUsedUp


def _agree(elements: _Elements, chosen: _Elements) -> bool:
    return all(chosen.get(array, place) == place for array, place in elements.items())
