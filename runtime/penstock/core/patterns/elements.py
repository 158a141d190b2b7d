"""Choosing an element of an array where `exists: false` is asked, or a field of the array itself besides its elements'.

What is asked of an array's elements must hold in one of them. Which element `exists: false` looks into follows AWS's
machine, which takes the conditions in the order of their paths: before any condition has chosen an element, all of them
are looked into; afterwards the chosen one alone. So the first condition of which the array holds any field at all must
be satisfied by a field, and the others by a field or its absence in the same element.
"""

from typing import Any

from penstock.core.patterns.formula import Condition, last_wins
from penstock.core.patterns.paths import CONTAINERS, present
from penstock.core.patterns.predicates import Check, scalar_check


class ElementChoice:
    """Decides over a value at which a field may be asked (`own`), and fields further down (`below`).

    `inside` decides over an object with regard to all of `below`; `depth` steps of their paths are taken.
    """

    def __init__(self, own: Condition | None, below: tuple[Condition, ...], depth: int, inside: Check) -> None:
        ordered = last_wins(below)
        leading: list[tuple[str, ...]] = []
        for each in ordered:
            if not each.accepts_absence:
                break
            leading.append(each.path[depth:])
        self._leading = tuple(leading)
        self._all_accept_absence = len(leading) == len(ordered)
        self._below_accepts_absence = all(each.accepts_absence for each in below)
        self._has_own = own is not None
        self._own_accepts_absence = own is None or own.accepts_absence
        self._own_check = scalar_check(own.tests) if own else None
        self._inside = inside

    def check(self, value: Any) -> bool:
        """Decide over an object, an array or a scalar."""
        kind = value.__class__
        if kind is dict:
            return self._own_accepts_absence and self._inside(value)
        if kind is list:
            return self._in_array_with_own(value) if self._has_own else self._in_array(value)
        if self._own_check is not None and not self._own_check(value):
            return False
        return self._below_accepts_absence

    def _in_array(self, array: list[Any]) -> bool:
        """Decide over the elements, with regard to `below` alone.

        An array inside the array that holds the first field at all holds it as its own first, so that one look over
        everything is enough.
        """
        first = next((path for path in self._leading if present(array, path)), None)
        if first is None and self._all_accept_absence:
            return True
        waiting = [array]
        while waiting:
            for value in waiting.pop():
                kind = value.__class__
                if kind is list:
                    waiting.append(value)
                elif kind is dict and (first is None or present(value, first)) and self._inside(value):
                    return True
        return False

    def _in_array_with_own(self, array: list[Any]) -> bool:
        """Decide where a field is asked of the array itself too. Its own scalars belong to no element."""
        assert self._own_check is not None
        if self._own_accepts_absence and not present(array, ()) and self._in_array(array):
            return True
        waiting = [array]
        while waiting:
            elements = waiting.pop()
            scalars = (value for value in elements if value.__class__ not in CONTAINERS)
            if any(map(self._own_check, scalars)) and self._in_array(elements):
                return True
            waiting += [value for value in elements if value.__class__ is list]
        return False
