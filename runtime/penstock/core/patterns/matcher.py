"""A set of patterns, compiled once into one matcher.

```python
matcher = compile_patterns(['{"order": {"total": [{"numeric": [">", 100]}]}}'])
matcher.matches({"order": {"total": 250}})        # True
matcher.matches_bytes(b'{"order": {"total": 7}}')  # False
str(matcher.explain({"order": {"total": 7}}))
# 'Filters[0].Pattern: order.total: wanted [{"numeric": [">", 100]}]; found 7'
```
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from penstock.core.patterns.consistency import decide
from penstock.core.patterns.data import CAN_NOT_READ, decode_json, read_json
from penstock.core.patterns.explain import Explanation, reason_against
from penstock.core.patterns.formula import ALWAYS, NEVER, Formula, simplify
from penstock.core.patterns.needles import lacks_needles
from penstock.core.patterns.parse import CHARACTERS_MAX, PatternWarning, parse_pattern
from penstock.core.patterns.paths import Tangled
from penstock.core.patterns.predicates import Check
from penstock.core.patterns.refusal import PatternRefused
from penstock.core.patterns.steps import any_of
from penstock.core.patterns.tree import compile_formula


class Matcher:
    """Tells whether an event matches any of a set of patterns. Make one with `compile_patterns`.

    It may be used from several threads. An event is a JSON object, as `json.loads` gives it; anything else matches
    nothing. Without patterns nothing matches.
    """

    matches: Callable[[object], bool]
    """Tell whether a parsed event matches."""

    def __init__(self, formulas: Sequence[Formula], warnings: Sequence[PatternWarning] = ()) -> None:
        """Take the patterns' formulas. Raises PatternRefused for those that are too complex."""
        self.formulas = tuple(map(simplify, formulas))
        self.warnings = tuple(warnings)
        """What is allowed in the patterns and probably not meant."""
        self._checks = tuple(_compiled(formula, index) for index, formula in enumerate(self.formulas))
        self.matches = _matches(any_of(self._checks), self.formulas)
        self._can_not_match = lacks_needles(self.formulas, lambda _: True)

    def matches_bytes(self, raw: bytes) -> bool | None:
        """Tell whether JSON text matches; None where it is no JSON.

        It is parsed once, and not at all where it lacks what every pattern wants; such a text is not found out to be no
        JSON, it just does not match.
        """
        if self._can_not_match is not None and self._can_not_match(raw):
            return False
        try:
            event = decode_json(raw)
        except CAN_NOT_READ:
            try:
                event = read_json(raw)
            except ValueError:
                return None
        return self.matches(event)

    def explain(self, event: object) -> Explanation:
        """Say which pattern matches, or for each of them which field decided that it does not."""
        for index, formula in enumerate(self.formulas):
            if _matches(self._checks[index], (formula,))(event):
                return Explanation(matches=True, index=index, reasons=())
        reasons = [reason_against(each, event, index=index) for index, each in enumerate(self.formulas)]
        return Explanation(matches=False, index=None, reasons=tuple(reasons))


def compile_patterns(patterns: Sequence[str | Mapping[Any, Any]], *, characters_max: int = CHARACTERS_MAX) -> Matcher:
    """Compile patterns, any of which may match. Each is JSON text, or the object that it stands for.

    Raises PatternRefused (`D41`). `characters_max` bounds the text of one pattern (`lambda-semantics.md §1.5`).
    """
    parsed = [
        parse_pattern(pattern, index=index, characters_max=characters_max) for index, pattern in enumerate(patterns)
    ]
    return Matcher([each.formula for each in parsed], [warning for each in parsed for warning in each.warnings])


def _compiled(formula: Formula, index: int) -> Check:
    try:
        return compile_formula(formula)
    except PatternRefused as refused:
        raise refused.of_filter(index) from None


def _matches(check: Check, formulas: tuple[Formula, ...]) -> Callable[[object], bool]:
    if ALWAYS in formulas:
        return lambda _: True
    if all(formula == NEVER for formula in formulas):
        return lambda _: False

    def matches(event: object) -> bool:
        if event.__class__ is not dict:
            return False
        try:
            return check(event)
        except Tangled:
            return decide(formulas, event)

    return matches
