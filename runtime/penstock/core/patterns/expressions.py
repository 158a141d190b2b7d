"""The array at a leaf of a pattern, read: literals and operator objects, any of which may hold.

Where AWS's compiler is known to refuse something with a sentence of its own, that sentence is the reason given.
"""

from collections.abc import Callable, Mapping
from typing import Any

from penstock.core.patterns.casing import caseless_equals, caseless_prefix, caseless_suffix
from penstock.core.patterns.cidr import network_match
from penstock.core.patterns.intervals import finite_double, number_tests
from penstock.core.patterns.numbers import is_number
from penstock.core.patterns.operators import (
    Absent,
    AnythingBut,
    EqualsConstant,
    EqualsNumber,
    EqualsText,
    Present,
    Test,
    TextTest,
)
from penstock.core.patterns.refusal import PatternRefused, shown
from penstock.core.patterns.wildcard import literal_parts, wildcard_match

_LITERALS = "a text, a number, true, false, null, or an object of one operator"
_CASE_WORDS = "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported."


def read_tests(values: list[Any], *, path: str) -> tuple[Test, ...]:
    """Read the array of one field. Raises PatternRefused."""
    if not values:
        raise PatternRefused(
            "Empty arrays are not allowed", path=path, found="[]", allowed=f"at least one value: {_LITERALS}"
        )
    return tuple(_read(value, f"{path}[{index}]") for index, value in enumerate(values))


def _read(value: Any, path: str) -> Test:
    if isinstance(value, str):
        return EqualsText(value)
    if value is None or isinstance(value, bool):
        return EqualsConstant(value)
    if is_number(value):
        return EqualsNumber(finite_double(value, path=path))
    if isinstance(value, Mapping):
        return _read_operator(value, path)
    raise PatternRefused(
        "Match value must be String, number, true, false, or null", path=path, found=shown(value), allowed=_LITERALS
    )


def _read_operator(expression: Mapping[str, Any], path: str) -> Test:
    if not expression:
        raise PatternRefused("Match expression name not found", path=path, found="{}", allowed=_operators())
    name, argument = next(iter(expression.items()))
    if name not in OPERATORS:
        raise PatternRefused(f"Unrecognized match type {name}", path=path, found=shown(name), allowed=_operators())
    test = OPERATORS[name](argument, f"{path}.{name}")
    _hold_single(expression, path)
    return test


def _operators() -> str:
    return f"one of {', '.join(OPERATORS)}"


def _hold_single(expression: Mapping[str, Any], path: str) -> None:
    if len(expression) > 1:
        raise PatternRefused(
            "Only one key allowed in match expression",
            path=path,
            found=shown(list(expression)),
            allowed="put each into an object of its own",
        )


def _text(value: Any, reason: str, path: str) -> str:
    if not isinstance(value, str):
        raise PatternRefused(reason, path=path, found=shown(value), allowed="a text")
    return value


def _exactly(argument: Any, path: str) -> Test:
    return EqualsText(_text(argument, "exact match pattern must be a string", path))


def _equals_ignore_case(argument: Any, path: str) -> Test:
    return TextTest(caseless_equals(_text(argument, "equals-ignore-case match pattern must be a string", path)))


def _prefix(argument: Any, path: str) -> Test:
    if isinstance(argument, Mapping):
        return TextTest(caseless_prefix(_ignoring_case(argument, "prefix", path)))
    return TextTest(starts_with(_text(argument, "prefix match pattern must be a string", path)))


def _suffix(argument: Any, path: str) -> Test:
    if isinstance(argument, Mapping):
        return TextTest(caseless_suffix(_ignoring_case(argument, "suffix", path)))
    return TextTest(ends_with(_text(argument, "suffix match pattern must be a string", path)))


def _ignoring_case(argument: Mapping[str, Any], name: str, path: str) -> str:
    allowed = 'a text, or {"equals-ignore-case": a text}'
    if not argument:
        raise PatternRefused(f"{name.title()} expression name not found", path=path, found="{}", allowed=allowed)
    inner, text = next(iter(argument.items()))
    if inner != "equals-ignore-case":
        raise PatternRefused(f"Unsupported {name} pattern: {inner}", path=path, found=shown(inner), allowed=allowed)
    found = _text(text, "equals-ignore-case match pattern must be a string", f"{path}.{inner}")
    _hold_single(argument, path)
    return found


def starts_with(text: str) -> Callable[[str], bool]:
    """Make the comparison with how a text begins."""
    return lambda value: value.startswith(text)


def ends_with(text: str) -> Callable[[str], bool]:
    """Make the comparison with how a text ends."""
    return lambda value: value.endswith(text)


def _wildcard(argument: Any, path: str) -> TextTest:
    text = _text(argument, "wildcard match pattern must be a string", path)
    return TextTest(wildcard_match(literal_parts(text, path=path)))


def _cidr(argument: Any, path: str) -> Test:
    # AWS's sentence speaks of a prefix here.
    return TextTest(network_match(_text(argument, "prefix match pattern must be a string", path), path=path))


def _exists(argument: Any, path: str) -> Test:
    if argument is True:
        return Present()
    if argument is False:
        return Absent()
    raise PatternRefused(
        "exists match pattern must be either true or false.", path=path, found=shown(argument), allowed="true or false"
    )


def _anything_but(argument: Any, path: str) -> Test:
    if isinstance(argument, Mapping):
        return _anything_but_nested(argument, path)
    if isinstance(argument, list):
        return _anything_but_list(argument, path)
    if isinstance(argument, str):
        return AnythingBut((EqualsText(argument),))
    if is_number(argument):
        return AnythingBut((EqualsNumber(finite_double(argument, path=path)),))
    raise _no_anything_but(argument, path)


def _no_anything_but(argument: Any, path: str) -> PatternRefused:
    return PatternRefused(
        "Value of anything-but must be an array or single string/number value.",
        path=path,
        found=shown(argument),
        allowed=f"a text, a number, an array of either, or an object of one of {', '.join(_NESTED)}",
    )


def _anything_but_list(values: list[Any], path: str) -> Test:
    for index, value in enumerate(values):
        if not isinstance(value, str) and not is_number(value):
            raise PatternRefused(
                "Inside anything but list, start|null|boolean is not supported.",
                path=f"{path}[{index}]",
                found=shown(value),
                allowed="texts, or numbers",
            )
    texts = [value for value in values if isinstance(value, str)]
    numbers = [finite_double(value, path=path) for value in values if is_number(value)]
    if bool(texts) == bool(numbers):
        raise PatternRefused(
            "Inside anything but list, either all values are number or string, mixed type is not supported",
            path=path,
            found=shown(values),
            allowed="only texts, or only numbers, and at least one",
        )
    return AnythingBut((*map(EqualsText, texts), *map(EqualsNumber, numbers)))


def _anything_but_nested(argument: Mapping[str, Any], path: str) -> Test:
    allowed = f"one of {', '.join(_NESTED)}"
    if not argument:
        raise PatternRefused("Anything-But expression name not found", path=path, found="{}", allowed=allowed)
    name, values = next(iter(argument.items()))
    if name not in _NESTED:
        raise PatternRefused(f"Unsupported anything-but pattern: {name}", path=path, found=shown(name), allowed=allowed)
    inner = f"{path}.{name}"
    if not isinstance(values, list | str) and not is_number(values):
        raise _no_anything_but(values, inner)
    if values == []:
        raise PatternRefused("Empty arrays are not allowed", path=inner, found="[]", allowed="at least one text")
    several = values if isinstance(values, list) else [values]
    tests = tuple(_NESTED[name](value, inner) for value in several)
    _hold_single(argument, path)
    return AnythingBut(tests)


def _but_affix(make: Callable[[str], Callable[[str], bool]]) -> Callable[[Any, str], TextTest]:
    def read(value: Any, path: str) -> TextTest:
        text = _text(value, "prefix/suffix match pattern must be a string", path)
        if not text:
            raise PatternRefused("Null prefix/suffix not allowed", path=path, found='""', allowed="a text, not empty")
        return TextTest(make(text))

    return read


def _but_ignoring_case(value: Any, path: str) -> TextTest:
    return TextTest(caseless_equals(_text(value, _CASE_WORDS, path)))


_NESTED: dict[str, Callable[[Any, str], TextTest]] = {
    "prefix": _but_affix(starts_with),
    "suffix": _but_affix(ends_with),
    "equals-ignore-case": _but_ignoring_case,
    "wildcard": _wildcard,
}

OPERATORS: dict[str, Callable[[Any, str], Test]] = {
    "exactly": _exactly,
    "equals-ignore-case": _equals_ignore_case,
    "prefix": _prefix,
    "suffix": _suffix,
    "anything-but": _anything_but,
    "numeric": number_tests,
    "exists": _exists,
    "cidr": _cidr,
    "wildcard": _wildcard,
}
"""Every operator, and what reads its argument."""
