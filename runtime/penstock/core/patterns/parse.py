"""A pattern, read: from its JSON to the formula that it stands for (`lambda-semantics.md §6.4, §6.5`)."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.core.patterns.document import NESTING_MAX, Members, read_pattern, too_deep
from penstock.core.patterns.expressions import OPERATORS, read_tests
from penstock.core.patterns.formula import And, Condition, Formula, Or, conditions
from penstock.core.patterns.intervals import COMPARISONS
from penstock.core.patterns.refusal import PatternRefused, shown

CHARACTERS_MAX = 4096
OR = "$or"
RESERVED = frozenset({*OPERATORS, *COMPARISONS})
"""No field of a `$or` is called so; where one is, `$or` is the name of a field itself."""
_WANTED_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class PatternWarning:
    """Something in a pattern that is allowed and probably not meant."""

    index: int
    path: str
    text: str

    def __str__(self) -> str:
        """Say it in one sentence."""
        return f"Filters[{self.index}].Pattern: {self.path}: {self.text}"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A pattern's formula, and what should be said about it."""

    formula: Formula
    warnings: tuple[PatternWarning, ...]


def parse_pattern(pattern: str | Mapping[Any, Any], *, index: int = 0, characters_max: int = CHARACTERS_MAX) -> Parsed:
    """Read one pattern. Raises PatternRefused, with the index of the filter."""
    try:
        reader = _Reader(index)
        formula = reader.members(read_pattern(pattern, characters_max=characters_max), (), "", within_or=False)
        return Parsed(formula, (*reader.warnings, *_overridden(formula, index)))
    except PatternRefused as refused:
        raise refused.of_filter(index) from None


class _Reader:
    def __init__(self, index: int) -> None:
        self.warnings: list[PatternWarning] = []
        self._index = index
        self._order = 0

    def members(self, members: Members, path: tuple[str, ...], where: str, *, within_or: bool) -> Formula:
        if not members:
            raise PatternRefused("Empty objects are not allowed", path=where, found="{}", allowed="at least one field")
        self._warn_of_repeated(members, where)
        parts = []
        for key, value in members.items():
            place = f"{where}.{key}" if where else key
            if key == OR and _is_choice(value):
                parts.append(self._choice(value, path, place))
                continue
            if within_or and key in RESERVED:
                raise PatternRefused(
                    f"{key} is Ruler reserved fieldName which cannot be used inside {OR}.",
                    path=place,
                    found=shown(key),
                    allowed="any other name",
                )
            parts.append(self._field(key, value, (*path, *key.split(".")), place, within_or=within_or))
        return And(tuple(parts))

    def _field(self, key: str, value: Any, path: tuple[str, ...], place: str, *, within_or: bool) -> Formula:
        # A `$or` inside another adds no step to the path, but to the place.
        if len(path) > NESTING_MAX or place.count(f"{OR}[") > NESTING_MAX:
            raise too_deep(place)
        if isinstance(value, Members):
            return self.members(value, path, place, within_or=within_or)
        if not isinstance(value, list):
            raise PatternRefused(
                f'"{key}" must be an object or an array',
                path=place,
                found=shown(value),
                allowed="an array of values, or an object of further fields",
            )
        self._order += 1
        return Condition(path, read_tests(value, path=place), self._order, _wanted(value), place)

    def _choice(self, branches: list[Any], path: tuple[str, ...], place: str) -> Formula:
        found = []
        for number, branch in enumerate(branches):
            at = f"{place}[{number}]"
            if at.count(f"{OR}[") > NESTING_MAX:
                raise too_deep(at)
            found.append(self.members(branch, path, at, within_or=True))
        return Or(tuple(found), place)

    def _warn_of_repeated(self, members: Members, where: str) -> None:
        for key in members.repeated:
            place = f"{where}.{key}" if where else key
            self.warnings.append(
                PatternWarning(self._index, place, "is given more than once; only the last one counts")
            )


def _is_choice(value: Any) -> bool:
    """Tell the operator from a field of that name: an array of two or more objects, none with an operator as a key."""
    return (
        isinstance(value, list)
        and len(value) >= 2
        and all(isinstance(branch, Members) and RESERVED.isdisjoint(branch) for branch in value)
    )


def _wanted(values: list[Any]) -> str:
    text = json.dumps(values, ensure_ascii=False)
    return text if len(text) <= _WANTED_CHARACTERS_MAX else f"{text[:_WANTED_CHARACTERS_MAX]}…"


def _overridden(formula: Formula, index: int) -> list[PatternWarning]:
    """Find the paths that are given twice in ways that JSON does not see: `a.b` beside `a: {b}`, or in a `$or`."""
    found: dict[str, PatternWarning] = {}

    def walk(part: Formula, above: dict[str, str]) -> dict[str, str]:
        match part:
            case Condition():
                if part.name in above and part.where not in found:
                    text = f"is the same field as {above[part.name]}; the last one counts"
                    found[part.where] = PatternWarning(index, part.where, text)
                return {part.name: part.where}
            case And(parts):
                seen = dict(above)
                own: dict[str, str] = {}
                for each in parts:
                    own |= walk(each, seen)
                    seen |= own
                return own
            case Or(branches):
                together: dict[str, str] = {}
                for branch in branches:
                    together |= walk(branch, above)
                return together

    # Only where a path occurs twice at all is there anything to look for.
    names = [each.name for each in conditions(formula)]
    if len(set(names)) < len(names):
        walk(formula, {})
    return list(found.values())
