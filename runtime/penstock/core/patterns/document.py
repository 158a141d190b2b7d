"""A pattern's text, read: objects that remember which keys were given twice, and AWS's words for what is no JSON."""

import json
import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NoReturn

from penstock.core.patterns.numbers import read_integer
from penstock.core.patterns.refusal import TOO_COMPLEX, PatternRefused, shown

NESTING_MAX = 100
"""Objects and arrays inside one another, steps of a path included."""
_VALUE_WORDS = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
_SYNTAX = {
    "Expecting value": f"expected a valid value {_VALUE_WORDS}",
    "property name": "was expecting double-quote to start field name",
    "trailing comma": "was expecting double-quote to start field name",
    "':'": "was expecting a colon to separate field name and value",
    "','": "was expecting comma to separate entries",
}


class Members(dict[str, Any]):
    """An object of a pattern. `repeated` are the keys that stood in it more than once; the last one counts."""

    repeated: tuple[str, ...] = ()


def read_pattern(pattern: str | Mapping[Any, Any], *, characters_max: int) -> Members:
    """Read a pattern, given as JSON text or as the object that it stands for. Raises PatternRefused."""
    if isinstance(pattern, str):
        _hold_length(len(pattern), characters_max)
        value = _parse(pattern)
    elif isinstance(pattern, Mapping):
        value = _Copy(characters_max).value(pattern, path="", depth=0)
        _hold_length(len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))), characters_max)
    else:
        # A caller without types, such as a configuration file, may give anything.
        value = pattern  # type: ignore[unreachable] # it is reached all the same
    if not isinstance(value, Members):
        raise PatternRefused("Filter is not an object", found=shown(value), allowed="a JSON object")
    return value


def too_deep(path: str) -> PatternRefused:
    """Refuse what is nested too deep."""
    shortened = path if len(path) <= NESTING_MAX else f"{path[:NESTING_MAX]}…"
    return PatternRefused(
        TOO_COMPLEX, path=shortened, found="more nesting", allowed=f"at most {NESTING_MAX} steps into one another"
    )


def _hold_length(characters: int, characters_max: int) -> None:
    if characters > characters_max:
        raise PatternRefused(
            "The pattern is too long", found=f"{characters} characters", allowed=f"at most {characters_max}"
        )


def _parse(text: str) -> Any:
    try:
        return json.loads(
            text,
            object_pairs_hook=_members,
            parse_int=read_integer,
            parse_constant=lambda name: _no_constant(name, text),
        )
    except json.JSONDecodeError as error:
        raise PatternRefused(_reason(error), found=_excerpt(error), allowed="a JSON object") from None
    except RecursionError:
        raise too_deep("") from None


def _members(pairs: list[tuple[str, Any]]) -> Members:
    members = Members(pairs)
    if len(members) < len(pairs):
        counts = Counter(key for key, _ in pairs)
        members.repeated = tuple(key for key, count in counts.items() if count > 1)
    return members


def _no_constant(name: str, text: str) -> NoReturn:
    raise json.JSONDecodeError("Expecting value", text, max(text.find(name), 0))


def _reason(error: json.JSONDecodeError) -> str:
    """Word a syntax error as the parser does that AWS uses."""
    if error.pos >= len(error.doc):
        return "Unexpected end-of-input: the pattern is not complete"
    token = re.match(r"[^\W\d][\w$]*", error.doc[error.pos :])
    if token and error.msg.startswith("Expecting value"):
        return f"Unrecognized token '{token[0]}': was expecting {_VALUE_WORDS}"
    character = error.doc[error.pos]
    for python_words, words in _SYNTAX.items():
        if python_words in error.msg:
            return f"Unexpected character ('{character}' (code {ord(character)})): {words}"
    return f"The pattern is no JSON: {error.msg}"


def _excerpt(error: json.JSONDecodeError) -> str:
    near = shown(error.doc[error.pos : error.pos + 20])
    return f"{near} at line {error.lineno}, column {error.colno}"


class _Copy:
    """Copies an object that did not come from JSON, such as YAML's, and refuses what JSON could not hold."""

    def __init__(self, values_max: int) -> None:
        self._values_left = values_max

    def value(self, value: Any, *, path: str, depth: int) -> Any:
        self._values_left -= 1
        # An object that holds itself has no end, and one that is shared may be wide beyond measure.
        if depth > NESTING_MAX or self._values_left < 0:
            raise too_deep(path)
        if isinstance(value, Mapping):
            return Members(
                (key, self.value(each, path=f"{path}.{key}" if path else key, depth=depth + 1))
                for key, each in self._items(value, path)
            )
        if isinstance(value, list | tuple):
            return [self.value(each, path=f"{path}[{index}]", depth=depth + 1) for index, each in enumerate(value)]
        if value is None or isinstance(value, str | bool | int):
            return value
        if isinstance(value, float) and math.isfinite(value):
            return value
        raise PatternRefused(
            "Match value must be String, number, true, false, or null",
            path=path,
            found=f"{value!r:.80}",
            allowed="what JSON can hold",
        )

    @staticmethod
    def _items(value: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
        for key, each in value.items():
            if not isinstance(key, str):
                raise PatternRefused(
                    "A field name must be a string", path=path, found=f"{key!r:.80}", allowed="put it in quotes"
                )
            yield key, each
