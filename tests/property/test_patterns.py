"""The compiled matcher against a slow and obvious reference, and the compiler against anything at all."""

import contextlib
import json

import pytest
from hypothesis import assume, event, example, given, settings
from hypothesis import strategies as st

from penstock.core.patterns import Matcher, PatternRefused, compile_patterns
from penstock.core.patterns.expressions import OPERATORS
from property import pattern_reference
from property.pattern_strategies import KEYS, events, patterns

PLAIN = st.sampled_from(["a", "b", "c"])
DOTTED = st.sampled_from(KEYS)


def hold(pattern: dict, value: dict) -> None:
    """Hold the matcher to the reference: parsed, as bytes, and in what it says of its decision."""
    matcher = compile_patterns([pattern])
    expected = pattern_reference.matches(pattern, value)
    event("matches" if expected else "does not match")
    raw = json.dumps(value, ensure_ascii=False).encode()
    explanation = matcher.explain(value)
    assert (matcher.matches(value), matcher.matches_bytes(raw), explanation.matches) == (expected,) * 3
    assert (explanation.index is not None) is expected
    assert str(explanation)


@settings(max_examples=250, deadline=None)
@given(patterns(PLAIN), events(PLAIN))
@example({"a": {"b": [{"exists": False}], "c": [1]}}, {"a": [{"c": 1}, {"b": 2}]})
@example({"a": {"b": [1], "c": [{"exists": False}]}}, {"a": [{"b": 1}, {"c": 2}]})
def test_the_matcher_decides_as_the_reference_does(pattern, value):
    hold(pattern, value)


@settings(max_examples=250, deadline=None)
@given(patterns(DOTTED), events(DOTTED))
@example({"a": {"b": [1], "c": [2]}}, {"a": [{"b": 1}, {"c": 2}], "a.b": 1})
@example({"a": [""], "$or": [{"a": [None]}, {"a": [{"exists": False}]}]}, {})
@example({"a": [1], "a.b": [2]}, {"a": [1, {"b": 2}]})
@example({"a": [{"exists": False}], "a.b": [1]}, {"a": [5, {"b": 1}]})
def test_keys_with_dots_lead_where_the_steps_do(pattern, value):
    hold(pattern, value)


# Arrays of objects in arrays, and patterns of several fields that go through them.
rows = st.recursive(
    st.dictionaries(PLAIN, st.sampled_from([1, 2, "x", [1, 2], []]), max_size=3),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(PLAIN, st.one_of(inner, st.lists(inner, max_size=3)), max_size=3)
    ),
    max_leaves=12,
)
row_tests = st.lists(st.sampled_from([1, 2, "x", {"exists": True}, {"exists": False}]), min_size=1, max_size=2)
row_patterns = st.recursive(
    st.dictionaries(PLAIN, row_tests, min_size=1, max_size=3),
    lambda inner: st.one_of(
        st.dictionaries(PLAIN, st.one_of(inner, row_tests), min_size=1, max_size=3),
        st.tuples(st.dictionaries(PLAIN, inner, min_size=1, max_size=2), st.lists(inner, min_size=2, max_size=2)).map(
            lambda both: {**both[0], "$or": both[1]}
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=250, deadline=None)
@given(row_patterns, rows)
def test_fields_through_one_array_come_from_one_element(pattern, value):
    hold({"a": pattern}, {"a": value})


@settings(max_examples=250, deadline=None)
@given(st.lists(patterns(PLAIN), min_size=1, max_size=4), events(PLAIN))
def test_any_of_several_patterns_is_enough_and_the_first_is_named(several, value):
    matcher = compile_patterns(several)
    holding = [number for number, pattern in enumerate(several) if pattern_reference.matches(pattern, value)]
    assert matcher.matches(value) is bool(holding)
    assert matcher.explain(value).index == (holding[0] if holding else None)
    assert matcher.matches_bytes(json.dumps(value).encode()) is bool(holding)


@settings(max_examples=250, deadline=None)
@given(patterns(DOTTED))
def test_a_pattern_means_the_same_as_text_and_as_an_object(pattern):
    assert compile_patterns([json.dumps(pattern)]).formulas == compile_patterns([pattern]).formulas or not _comparable(
        pattern
    )


def _comparable(pattern: dict) -> bool:
    # Comparisons of texts are functions, which are equal to themselves alone.
    return not any(name in json.dumps(pattern) for name in ("prefix", "suffix", "case", "wildcard", "cidr"))


odd_scalars = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.sampled_from(["*", "\\", "**"])
)
odd_keys = st.one_of(st.text(max_size=4), st.sampled_from(["$or", "a", "a.b", *OPERATORS]))
json_values = st.recursive(
    odd_scalars,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(odd_keys, inner, max_size=3)),
    max_leaves=20,
)


def hold_clear(refused: PatternRefused) -> None:
    assert refused.index == 0
    assert all((refused.reason, refused.found, refused.allowed))
    assert refused.aws_message.startswith("Invalid filter pattern definition. Filters[0].Pattern: ")
    assert str(refused).encode()


def compiled(pattern: object) -> Matcher | PatternRefused:
    try:
        return compile_patterns([pattern])
    except PatternRefused as refused:
        return refused


@settings(max_examples=250, deadline=None)
@given(json_values)
def test_any_json_is_a_matcher_or_a_clear_refusal(value):
    result = compiled(json.dumps(value))
    event(type(result).__name__)
    if isinstance(result, Matcher):
        assert result.matches({"a": [{"b": "x"}]}) in {True, False}
    else:
        hold_clear(result)


@settings(max_examples=250, deadline=None)
@given(patterns(DOTTED), st.randoms(use_true_random=False))
def test_a_damaged_pattern_is_a_matcher_or_a_clear_refusal(pattern, chance):
    text = json.dumps(pattern)
    place = chance.randrange(len(text))
    damage = chance.choice(['"', "{", "}", "[", "]", ",", ":", "1", "null", " ", "\\", "*", ""])
    compiled(text[:place] + damage + text[place + chance.randrange(3) :])


@settings(max_examples=250, deadline=None)
@given(st.one_of(st.text(), st.dictionaries(st.one_of(st.text(), st.integers()), st.dates() | st.text())))
def test_what_is_no_json_is_refused(value):
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            assume(not isinstance(json.loads(value), dict))
    else:
        assume(any(not isinstance(each, list) for each in value.values()))
    result = compiled(value)
    assert isinstance(result, PatternRefused)
    hold_clear(result)


@settings(max_examples=250, deadline=None)
@given(patterns(PLAIN), st.binary(max_size=60))
def test_no_bytes_at_all_make_the_matcher_raise(pattern, raw):
    assert compile_patterns([pattern]).matches_bytes(raw) in {True, False, None}


@pytest.mark.parametrize("width", [2, 3])
def test_the_reference_can_say_no(width):
    pattern = {"d": {"a": [1], "b": [2]}}
    assert not pattern_reference.matches(pattern, {"d": [{"a": 1}, {"b": 2}] * width})
    assert pattern_reference.matches(pattern, {"d": [{"a": 1}] * width + [{"a": 1, "b": 2}]})
