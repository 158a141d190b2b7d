"""A formula, made into functions: one for each object on the way to its fields, each asked at most once per value.

An object of the event is asked for the keys that the pattern names and for no other. In an array one element has to
satisfy everything that goes through it, so the same functions are asked of each element in turn: an event is read in
time linear in its size, however its arrays are nested.

A `$or` is decided where it stands, without writing out all ways to choose its branches, wherever its fields share no
object with other conditions. Where they do, the ways are written out, up to a bound.
"""

from collections.abc import Iterable
from typing import Any

from penstock.core.patterns.elements import ElementChoice
from penstock.core.patterns.formula import (
    And,
    Condition,
    Formula,
    Or,
    conditions,
    first_or,
    holds_without_fields,
    last_wins,
    simplify,
    terms,
    terms_count,
)
from penstock.core.patterns.predicates import Check, leaf_check
from penstock.core.patterns.refusal import TOO_COMPLEX, PatternRefused
from penstock.core.patterns.steps import Step, all_of, any_of, take_steps

WORK_MAX = 100_000
"""How many conditions may be laid out while one pattern is compiled, counted again at each step of their paths."""
DOTTED_KEYS_MAX = 8
"""Up to so many keys with dots are asked for by name; beyond it an object's keys are searched for dots."""


def compile_formula(formula: Formula) -> Check:
    """Make the check of a whole event, which is an object. Raises PatternRefused for what is too complex.

    The check raises Tangled for events that only `consistency.decide` can decide.
    """
    compiler = _Compiler()
    return compiler.on_object(simplify(formula), 0)


class _Compiler:
    """`depth` is how many steps of the conditions' paths have been taken."""

    def __init__(self) -> None:
        self._work_left = WORK_MAX

    def on_value(self, formula: Formula, depth: int) -> Check:
        """Make the check of whatever stands at the place that all conditions have reached."""
        found = tuple(conditions(formula))
        self._spend(len(found), formula)
        own = [each for each in found if len(each.path) == depth]
        if first_or(formula) is None:
            return self._on_conjunction(last_wins(found), depth)
        if own or any(each.accepts_absence for each in found):
            self._spend(terms_count(formula), formula)
            return any_of(tuple(self._on_conjunction(term, depth) for term in terms(formula)))
        return self._on_elements(formula, depth)

    def on_object(self, formula: Formula, depth: int) -> Check:
        """Make the check of an object, taking the conditions apart by the key that each begins with."""
        parts = formula.parts if isinstance(formula, And) else (formula,)
        self._spend(1 + sum(1 for _ in conditions(formula)), formula)
        steps: list[Step] = []
        checks: list[Check] = []
        for heads, group in _groups(parts, depth):
            if len(heads) == 1:
                steps.append(self._step(And(tuple(group)), depth, next(iter(heads))))
            else:
                checks.append(self._any_branch(group, depth))
        if steps:
            checks.insert(0, take_steps(tuple(steps)))
        return all_of(tuple(checks))

    def _any_branch(self, group: list[Formula], depth: int) -> Check:
        choice = next(part for part in group if isinstance(part, Or))
        rest = [part for part in group if part is not choice]
        branches = [simplify(And((branch, *rest))) for branch in choice.branches]
        return any_of(tuple(self.on_object(branch, depth) for branch in branches))

    def _step(self, formula: Formula, depth: int, head: str) -> Step:
        formula = simplify(formula)
        found = tuple(conditions(formula))
        dotted = _dotted_keys(found, depth)
        return Step(
            head,
            self.on_value(formula, depth + 1),
            accepts_absence=self._accepts_absence(formula, found),
            dotted=dotted if len(dotted) <= DOTTED_KEYS_MAX else (),
            may_be_dotted=bool(dotted),
            has_own=any(len(each.path) == depth + 1 for each in found),
        )

    def _accepts_absence(self, formula: Formula, found: tuple[Condition, ...]) -> bool:
        if len({each.name for each in found}) == len(found):
            return holds_without_fields(formula)
        # One condition may take another's place, depending on the branch.
        self._spend(terms_count(formula), formula)
        return any(all(each.accepts_absence for each in term) for term in terms(formula))

    def _on_conjunction(self, term: tuple[Condition, ...], depth: int) -> Check:
        self._spend(len(term), And(term))
        own = [each for each in term if len(each.path) == depth]
        below = tuple(each for each in term if len(each.path) > depth)
        if not below:
            return leaf_check(own[0])
        if not own and not any(each.accepts_absence for each in below):
            return self._on_elements(And(below), depth)
        inside = self.on_object(And(below), depth)
        return ElementChoice(own[0] if own else None, below, depth, inside).check

    def _on_elements(self, formula: Formula, depth: int) -> Check:
        """Make the check of an object, or of an array with an object for which it all holds."""
        inside = self.on_object(formula, depth)

        def check(value: Any) -> bool:
            kind = value.__class__
            if kind is dict:
                return inside(value)
            return kind is list and _in_any(value, inside)

        return check

    def _spend(self, work: int, formula: Formula) -> None:
        self._work_left -= work
        if self._work_left < 0:
            choice = first_or(formula)
            place = choice.where if choice else next((each.where for each in conditions(formula)), "")
            raise PatternRefused(
                TOO_COMPLEX,
                path=place,
                found=f"{terms_count(formula):,} ways to choose a branch of each $or" if choice else "too many fields",
                allowed="fewer branches, or a filter for each",
            )


def _in_any(array: list[Any], inside: Check) -> bool:
    waiting = [array]
    while waiting:
        for value in waiting.pop():
            kind = value.__class__
            if kind is dict:
                if inside(value):
                    return True
            elif kind is list:
                waiting.append(value)
    return False


def _groups(parts: Iterable[Formula], depth: int) -> list[tuple[set[str], list[Formula]]]:
    """Put together what shares a key, directly or through others."""
    groups: list[tuple[set[str], list[Formula]]] = []
    for part in parts:
        heads = {each.path[depth] for each in conditions(part)}
        members = [part]
        apart = []
        for other_heads, other in groups:
            if other_heads.isdisjoint(heads):
                apart.append((other_heads, other))
            else:
                heads |= other_heads
                members = other + members
        groups = [*apart, (heads, members)]
    return groups


def _dotted_keys(found: Iterable[Condition], depth: int) -> tuple[str, ...]:
    """List the keys with dots that would lead along the paths: from two steps on."""
    keys: dict[str, None] = {}
    for each in found:
        for end in range(depth + 2, len(each.path) + 1):
            keys[".".join(each.path[depth:end])] = None
            if len(keys) > DOTTED_KEYS_MAX:
                return tuple(keys)
    return tuple(keys)
