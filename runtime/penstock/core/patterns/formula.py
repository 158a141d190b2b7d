"""What a pattern says, as a formula: conditions on fields, joined by "and" and "or"."""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import TypeAlias

from penstock.core.patterns.operators import Absent, Test


@dataclass(frozen=True, slots=True)
class Condition:
    """What is asked of one field. `path` are the steps from the top of the event; `order` counts along the pattern.

    `wanted` is the pattern's own text of it, and `where` its place in the pattern.
    """

    path: tuple[str, ...]
    tests: tuple[Test, ...]
    order: int = 0
    wanted: str = ""
    where: str = ""
    name: str = field(init=False)
    accepts_absence: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "name", ".".join(self.path))
        object.__setattr__(self, "accepts_absence", any(isinstance(test, Absent) for test in self.tests))


@dataclass(frozen=True, slots=True)
class And:
    """All of the parts; without parts it always holds."""

    parts: tuple["Formula", ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of the branches of the `$or` at `where`; without branches it never holds."""

    branches: tuple["Formula", ...]
    where: str = ""


Formula: TypeAlias = Condition | And | Or

ALWAYS = And(())
NEVER = Or(())


def conditions(formula: Formula) -> Iterator[Condition]:
    """Walk over all conditions, in the order of the pattern."""
    match formula:
        case Condition():
            yield formula
        case And(parts):
            for part in parts:
                yield from conditions(part)
        case Or(branches):
            for branch in branches:
                yield from conditions(branch)


def first_or(formula: Formula) -> Or | None:
    """Find the first `$or`."""
    match formula:
        case Condition():
            return None
        case And(parts):
            return next((found for part in parts if (found := first_or(part)) is not None), None)
        case Or():
            return formula


def holds_without_fields(formula: Formula) -> bool:
    """Tell whether it holds where none of its fields is there, if no two of its conditions are on one field."""
    match formula:
        case Condition():
            return formula.accepts_absence
        case And(parts):
            return all(map(holds_without_fields, parts))
        case Or(branches):
            return any(map(holds_without_fields, branches))


def simplify(formula: Formula) -> Formula:
    """Take out what always or never holds, and the brackets that are not needed."""
    match formula:
        case Condition():
            return formula
        case And(parts):
            kept: list[Formula] = []
            for part in map(simplify, parts):
                if part == NEVER:
                    return NEVER
                kept += part.parts if isinstance(part, And) else (part,)
            return kept[0] if len(kept) == 1 else And(tuple(kept))
        case Or(branches, where):
            left = [branch for branch in map(simplify, branches) if branch != NEVER]
            if ALWAYS in left:
                return ALWAYS
            return left[0] if len(left) == 1 else Or(tuple(left), where) if left else NEVER


def terms_count(formula: Formula) -> int:
    """Count the ways to choose one branch of each `$or`."""
    match formula:
        case Condition():
            return 1
        case And(parts):
            return math.prod(map(terms_count, parts))
        case Or(branches):
            return sum(map(terms_count, branches))


def terms(formula: Formula) -> Iterator[tuple[Condition, ...]]:
    """Walk over the ways to choose one branch of each `$or`: each is a list of conditions that all must hold."""
    for chosen in _choices(formula):
        yield last_wins(chosen)


def last_wins(chosen: Iterable[Condition]) -> tuple[Condition, ...]:
    """Keep of conditions on one path the one that comes last in the pattern (`§6.5`), in the order of the paths."""
    by_name = {each.name: each for each in sorted(chosen, key=lambda each: each.order)}
    return tuple(by_name[name] for name in sorted(by_name, key=path_order))


def path_order(name: str) -> bytes:
    """Order paths as AWS's machine does: by UTF-16 units."""
    return name.encode("utf-16-be", "surrogatepass")


def _choices(formula: Formula) -> Iterator[tuple[Condition, ...]]:
    match formula:
        case Condition():
            yield (formula,)
        case Or(branches):
            for branch in branches:
                yield from _choices(branch)
        case And(parts):
            fixed = tuple(part for part in parts if isinstance(part, Condition))
            for chosen in _joined(tuple(part for part in parts if not isinstance(part, Condition))):
                yield fixed + chosen


def _joined(parts: tuple[Formula, ...]) -> Iterator[tuple[Condition, ...]]:
    if not parts:
        yield ()
        return
    for chosen in _choices(parts[0]):
        for rest in _joined(parts[1:]):
            yield chosen + rest
