"""Fields of an event by their path: through objects, arrays, and keys that hold dots themselves.

A path is what the names on the way to a value give when they are joined with dots (`lambda-semantics.md §6.5`): the key
`a.b` leads where `a` and then `b` do. Arrays add nothing to a path; what they hold is told apart by the elements that
one passes through.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

MISSING: Any = type("Missing", (), {"__repr__": lambda _: "MISSING"})()
CONTAINERS: frozenset[object] = frozenset({dict, list})

Membership: TypeAlias = tuple[tuple[int, int], ...]
"""The elements that one has passed through: which array, and which place in it."""


class Tangled(Exception):
    """An object has both the key `a` and the key `a.b`, and either may lead to one field."""


def fields(event: Any, path: tuple[str, ...]) -> Iterator[tuple[Any, Membership]]:
    """Find all fields of a path: each scalar, with the elements that lead to it."""
    waiting: list[tuple[Any, int, Membership]] = [(event, 0, ())]
    steps = len(path)
    while waiting:
        value, taken, membership = waiting.pop()
        if value.__class__ is dict:
            waiting += [(each, done, membership) for each, done in _ways(value, path, taken)]
        elif value.__class__ is list:
            for place, each in enumerate(value):
                if each.__class__ in CONTAINERS:
                    waiting.append((each, taken, (*membership, (id(value), place))))
                elif taken == steps:
                    yield each, membership
        elif taken == steps:
            yield value, membership


def present(event: Any, path: tuple[str, ...]) -> bool:
    """Tell whether a path leads to any scalar at all."""
    waiting: list[tuple[Any, int]] = [(event, 0)]
    steps = len(path)
    while waiting:
        value, taken = waiting.pop()
        if value.__class__ is dict:
            waiting += _ways(value, path, taken)
        elif value.__class__ is list:
            if taken == steps and any(each.__class__ not in CONTAINERS for each in value):
                return True
            waiting += [(each, taken) for each in value if each.__class__ in CONTAINERS]
        elif taken == steps:
            return True
    return False


def _ways(value: dict[str, Any], path: tuple[str, ...], taken: int) -> list[tuple[Any, int]]:
    """Find the keys of an object that lead on along a path, and how many steps are done with each."""
    found = []
    key = ""
    for done in range(taken + 1, len(path) + 1):
        key = f"{key}.{path[done - 1]}" if done > taken + 1 else path[taken]
        if key in value:
            found.append((value[key], done))
    return found


def untangle(value: dict[str, Any], prefix: str, found: Any, *, has_own: bool) -> Any:
    """Give what the step of a path leads to where an object may also have keys that begin with the step and a dot.

    `prefix` is the step with a dot behind it, `found` what the key without dots holds, `has_own` whether a field is
    asked of that key itself. Raises Tangled where both lead on.
    """
    dotted = [key for key in value if key.startswith(prefix)]
    if not dotted:
        return found
    if found.__class__ in CONTAINERS or (has_own and found is not MISSING):
        raise Tangled
    return {key[len(prefix) :]: value[key] for key in dotted}
