"""Comparing documents with recorded ones, in which variable values were replaced by placeholders."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_PLACEHOLDER = re.compile(r"<[a-z0-9-]+(?::[^<>]+)?>")
_BARE = {"sent-timestamp", "sender-id"}
"""The recorder wrote these two without brackets."""
_SAME_EVERYWHERE = {"<region>", "<partition>"}
_TIME = "<timestamp:"


class Bindings:
    """What the placeholders of one case stand for.

    A placeholder stands for any text or number that is not empty, a numbered one for the same in the whole case. One
    that shows a time shows its form, and may stand for another time at each place.
    """

    def __init__(self) -> None:
        self.values: dict[str, str] = {}

    def hold(self, expected: Any, actual: Any, path: str = "$") -> None:
        """Compare a document with a recorded one. Raises AssertionError with the place where they differ."""
        if isinstance(expected, Mapping):
            assert isinstance(actual, Mapping), f"{path}: {actual!r} is not an object"
            assert expected.keys() == actual.keys(), f"{path}: keys {sorted(actual)}, not {sorted(expected)}"
            for key in expected:
                self.hold(expected[key], actual[key], f"{path}.{key}")
        elif isinstance(expected, list):
            assert isinstance(actual, list), f"{path}: {actual!r} is not a list"
            assert len(expected) == len(actual), f"{path}: {len(actual)} elements, not {len(expected)}"
            for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
                self.hold(left, right, f"{path}[{index}]")
        elif isinstance(expected, str) and (expected in _BARE or _PLACEHOLDER.search(expected)):
            self._hold_text(expected, str(actual), path)
        else:
            assert expected == actual, f"{path}: {actual!r} is not {expected!r}"

    def _hold_text(self, expected: str, actual: str, path: str) -> None:
        names = [expected] if expected in _BARE else _PLACEHOLDER.findall(expected)
        literals = ["", ""] if expected in _BARE else _PLACEHOLDER.split(expected)
        pattern = re.escape(literals[0]) + "".join(f"(.+?){re.escape(literal)}" for literal in literals[1:])
        found = re.fullmatch(pattern, actual, re.DOTALL)
        assert found, f"{path}: {actual!r} does not look like {expected!r}"
        for name, value in zip(names, found.groups(), strict=True):
            if name.startswith(_TIME):
                form = name.removeprefix(_TIME).removesuffix(">")
                assert _digits_hidden(value) == _digits_hidden(form), f"{path}: {value!r} is not written as {form!r}"
            elif ":" in name or name in _SAME_EVERYWHERE:
                known = self.values.setdefault(name, value)
                assert known == value, f"{path}: {name} is {known!r} elsewhere, not {value!r}"


def hold_order(expected: Any, actual: Any, path: str = "$", *, is_kept: bool = False) -> None:
    """Compare the order of keys, of documents that are alike, where the recorder kept AWS's.

    It sorted the keys of some documents, though not within texts that it parsed later; so an object in alphabetical
    order says nothing, unless it stands in one that is not.
    """
    if isinstance(expected, Mapping):
        is_kept = is_kept or list(expected) != sorted(expected)
        assert not is_kept or list(actual) == list(expected), (
            f"{path}: the order is {list(actual)}, not {list(expected)}"
        )
        for key in expected:
            hold_order(expected[key], actual[key], f"{path}.{key}", is_kept=is_kept)
    elif isinstance(expected, list):
        for index, (left, right) in enumerate(zip(expected, actual, strict=True)):
            hold_order(left, right, f"{path}[{index}]", is_kept=is_kept)


def _digits_hidden(text: str) -> str:
    return re.sub(r"\d", "9", text)
