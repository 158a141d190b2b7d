"""Why a pattern is refused: which filter, where in it, what was found, what is allowed, and AWS's own words."""

import json
from typing import Any

from penstock.api import PenstockError

AWS_WORDS = "Invalid filter pattern definition."
"""All that Lambda itself says of any mistake in a pattern (`lambda-semantics.md §1.5`)."""

TOO_COMPLEX = "Rule is too complex"
_FOUND_CHARACTERS_MAX = 80


class PatternRefused(PenstockError):
    """A pattern that can not be used (`D41`).

    `reason` is the sentence that AWS's own compiler is known to give, where it has one for this mistake. `path` is the
    place in the pattern, such as `body.price[0].numeric` ("" for the pattern as a whole), `found` what stands there and
    `allowed` what may. `index` is the number of the filter among those that were given, from 0.
    """

    def __init__(self, reason: str, *, path: str = "", found: str, allowed: str, index: int | None = None) -> None:
        super().__init__()
        self.reason = reason
        self.path = path
        self.found = found
        self.allowed = allowed
        self.index = index

    def __str__(self) -> str:
        """Say all of it in one sentence."""
        place = "" if self.index is None else f"Filters[{self.index}].Pattern: "
        path = f"{self.path}: " if self.path else ""
        return f"{place}{path}{self.reason.rstrip('.')}; found {self.found}; allowed: {self.allowed}"

    @property
    def aws_message(self) -> str:
        """What the AWS-shaped API answers: Lambda's own words, and then the reason that Lambda keeps to itself."""
        return f"{AWS_WORDS} {self}"

    def of_filter(self, index: int | None) -> "PatternRefused":
        """Say which filter it was."""
        return PatternRefused(self.reason, path=self.path, found=self.found, allowed=self.allowed, index=index)


def shown(value: Any) -> str:
    """Write what was found as JSON, cut short where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False, default=repr)
    except (ValueError, RecursionError, TypeError):
        text = f"a {type(value).__name__}"
    # A lone surrogate, which JSON allows, can not be printed.
    text = text.encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _FOUND_CHARACTERS_MAX else f"{text[:_FOUND_CHARACTERS_MAX]}…"
