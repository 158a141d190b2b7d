"""Taking a step from an object to what its keys hold, for several keys at once."""

from collections.abc import Callable
from dataclasses import KW_ONLY, dataclass
from typing import Any

from penstock.core.patterns.paths import MISSING, untangle
from penstock.core.patterns.predicates import Check


@dataclass(frozen=True, slots=True)
class Step:
    """One key of an object, and what is asked of its value.

    `accepts_absence` tells whether all is well without it. The value may also stand under keys with dots (`a.b` for `a`
    and then `b`): under one of `dotted`, or, where that is empty and `may_be_dotted`, any that begins with the key.
    `has_own` tells that a field is asked of the key itself, besides those further down.
    """

    key: str
    check: Check
    _: KW_ONLY
    accepts_absence: bool
    may_be_dotted: bool
    dotted: tuple[str, ...]
    has_own: bool


def take_steps(steps: tuple[Step, ...]) -> Check:
    """Make the check of an object: all steps must go well. Those that end at once are taken first."""
    plain = tuple(step for step in steps if not step.may_be_dotted)
    dotted = tuple(step for step in steps if step.may_be_dotted)
    checks = [*map(_dotted_step, dotted)]
    if plain:
        checks.insert(0, _plain_steps(plain))
    return all_of(tuple(checks))


def _plain_steps(steps: tuple[Step, ...]) -> Check:
    table = tuple((step.key, step.check, step.accepts_absence) for step in steps)
    if len(table) == 1:
        return _plain_step(*table[0])

    def each(value: dict[str, Any]) -> bool:
        for key, check, accepts_absence in table:
            found = value.get(key, MISSING)
            if found is MISSING:
                if not accepts_absence:
                    return False
            elif not check(found):
                return False
        return True

    return each


def _plain_step(key: str, check: Check, accepts_absence: bool) -> Check:  # noqa: FBT001 - a row of the table above
    def one(value: dict[str, Any]) -> bool:
        found = value.get(key, MISSING)
        return accepts_absence if found is MISSING else check(found)

    return one


def _dotted_step(step: Step) -> Check:
    key, check, accepts_absence, has_own = step.key, step.check, step.accepts_absence, step.has_own
    prefix = f"{key}."
    has_dotted = _finder(step.dotted)

    def dotted(value: dict[str, Any]) -> bool:
        found = value.get(key, MISSING)
        if has_dotted(value):
            found = untangle(value, prefix, found, has_own=has_own)
        return accepts_absence if found is MISSING else check(found)

    if len(step.dotted) != 1:
        return dotted
    only = step.dotted[0]

    def once_dotted(value: dict[str, Any]) -> bool:
        found = value.get(key, MISSING)
        if only in value:
            found = untangle(value, prefix, found, has_own=has_own)
        return accepts_absence if found is MISSING else check(found)

    return once_dotted


def _finder(dotted: tuple[str, ...]) -> Callable[[dict[str, Any]], bool]:
    if not dotted:
        # The keys joined hold a dot where one of them does: much quicker than asking each.
        return lambda value: "." in "\0".join(value)
    names = frozenset(dotted)
    return lambda value: not names.isdisjoint(value) if len(value) < 4 else any(name in value for name in dotted)


def all_of(checks: tuple[Check, ...]) -> Check:
    """Make one check of several that all must hold."""
    if not checks:
        return lambda _: True
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) and second(value)

    def check(value: Any) -> bool:
        for each in checks:  # noqa: SIM110 - a generator would cost more than what it asks
            if not each(value):
                return False
        return True

    return check


def any_of(checks: tuple[Check, ...]) -> Check:
    """Make one check of several of which one must hold."""
    if not checks:
        return lambda _: False
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return lambda value: first(value) or second(value)

    def check(value: Any) -> bool:
        for each in checks:  # noqa: SIM110 - a generator would cost more than what it asks
            if each(value):
                return True
        return False

    return check
