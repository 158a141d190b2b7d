"""Bytes without which no filter can match: what a record lacks of them need not be parsed.

A key or a text stands in JSON as it is unless something in it is written with a backslash. So a record with any
backslash is always read.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from typing import TypeAlias

from penstock.core.patterns.formula import And, Condition, Formula, Or, conditions
from penstock.core.patterns.operators import EqualsText

ALTERNATIVES_MAX = 4
"""Looking for more than that costs as much as reading the record."""

Needles: TypeAlias = tuple[bytes, ...]


def lacks_needles(formulas: Iterable[Formula], relevant: Callable[[Condition], bool]) -> Callable[[bytes], bool] | None:
    """Make a check that is true only of JSON for which no formula can hold; None where there is no such check.

    `relevant` tells the conditions that are about this JSON. A false answer says nothing.
    """
    wanted: dict[bytes, None] = {}
    for formula in formulas:
        names = [each.name for each in conditions(formula)]
        found = _needles(formula, relevant) if len(set(names)) == len(names) else None
        if not found:
            return None
        wanted.update(dict.fromkeys(found))
    if not 0 < len(wanted) <= ALTERNATIVES_MAX:
        return None
    needles = tuple(wanted)
    if len(needles) == 1:
        needle = needles[0]
        return lambda raw: needle not in raw and b"\\" not in raw
    return lambda raw: not any(each in raw for each in needles) and b"\\" not in raw


def _needles(formula: Formula, relevant: Callable[[Condition], bool]) -> Needles | None:
    match formula:
        case Condition():
            return _needles_of_one(formula) if relevant(formula) and not formula.accepts_absence else None
        case And(parts):
            found = [each for part in parts if (each := _needles(part, relevant))]
            return min(found, key=_commonness, default=None)
        case Or(branches):
            return _joined([_needles(branch, relevant) for branch in branches])


def _commonness(needles: Needles) -> tuple[bool, int, int]:
    """Guess which needles most records lack: texts rather than keys, then the fewest, then the longest."""
    return not needles[0].startswith(b'"'), len(needles), -min(map(len, needles))


def _joined(found: Sequence[Needles | None]) -> Needles | None:
    joined: list[bytes] = []
    for each in found:
        if each is None:
            return None
        joined += each
    return tuple(joined) if len(joined) <= ALTERNATIVES_MAX else None


def _needles_of_one(condition: Condition) -> Needles | None:
    texts = [test.text for test in condition.tests if isinstance(test, EqualsText)]
    if len(texts) == len(condition.tests) <= ALTERNATIVES_MAX:
        quoted = [_plain(text) for text in texts]
        if all(quoted):
            return tuple(b'"%b"' % each for each in quoted if each is not None)
    # The key itself may hold dots and begin with other steps, but it ends with the last one.
    key = _plain(condition.path[-1])
    return (b'%b"' % key,) if key else None


def _plain(text: str) -> bytes | None:
    """Give a text as JSON without backslashes holds it; None where it holds it in no such way, or says nothing."""
    if not text or json.dumps(text, ensure_ascii=False) != f'"{text}"':
        return None
    try:
        return text.encode()
    except UnicodeEncodeError:
        return None
