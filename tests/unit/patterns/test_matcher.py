"""The matcher as a whole: paths, arrays, bytes, explanations, and the time it takes."""

import json
import sys

import pytest

from penstock.core.patterns import compile_patterns
from penstock.core.patterns.needles import lacks_needles
from penstock.core.patterns.parse import parse_pattern


def says(pattern: dict, event: object) -> bool:
    matcher = compile_patterns([pattern])
    decided = matcher.matches(event)
    assert matcher.matches_bytes(json.dumps(event).encode()) is decided
    assert matcher.explain(event).matches is decided
    return decided


@pytest.mark.parametrize(
    "event",
    [{"a": {"b": {"c": 1}}}, {"a.b": {"c": 1}}, {"a": {"b.c": 1}}, {"a.b.c": 1}, {"a": 5, "a.b": {"c": 1}}],
    ids=str,
)
@pytest.mark.parametrize(
    "pattern", [{"a": {"b": {"c": [1]}}}, {"a.b": {"c": [1]}}, {"a": {"b.c": [1]}}, {"a.b.c": [1]}]
)
def test_names_join_with_dots_on_either_side(pattern, event):
    assert says(pattern, event)


def test_one_field_may_be_reached_by_keys_with_dots_and_without():
    pattern = {"a": {"b": [1], "c": [2]}}
    assert says(pattern, {"a": {"b": 1}, "a.c": 2})
    assert not says(pattern, {"a": {"b": 1}, "a.c": 3})
    assert says(pattern, {"a": [{"b": 1}, {"c": 3}], "a.c": 2})
    assert not says(pattern, {"a": [{"b": 1}, {"c": 2}], "a.x": 2})


def test_many_fields_below_one_key_are_found_behind_dots_too():
    pattern = {"a": {f"k{number}": [number] for number in range(30)}}
    assert says(pattern, {f"a.k{number}": number for number in range(30)})
    assert not says(pattern, {f"a.k{number}": number for number in range(29)})
    assert says(pattern, {"a": {f"k{number}": number for number in range(30)}, "a.other": 5, "b.c": 1})


def test_empty_names_are_names():
    assert says({"": [1]}, {"": 1})
    assert says({"a": {"": {"b": [1]}}}, {"a..b": 1})
    assert not says({"a": {"": [1]}}, {"a": 1})


@pytest.mark.parametrize("event", [None, 1, "a", [], [{"a": 1}], True])
def test_only_an_object_is_an_event(event):
    assert not says({"a": [1, {"exists": False}]}, event)


def test_without_patterns_nothing_matches():
    assert not compile_patterns([]).matches({})
    assert str(compile_patterns([]).explain({})) == "no filter could match"


def test_fields_of_an_array_come_from_one_element_and_those_beside_it_do_not():
    pattern = {"d": {"a": [1], "b": [2], "e": {"f": [3]}}, "x": [4]}
    whole = {"a": 1, "b": 2, "e": {"f": 3}}
    assert says(pattern, {"d": [{}, whole], "x": [5, 4]})
    assert says(pattern, {"d": [[], [[whole]]], "x": 4})
    assert says(pattern, {"d": [{**whole, "e": [{"f": 1}, {"f": 3}]}], "x": 4})
    assert not says(pattern, {"d": [{"a": 1, "b": 2}, {"e": {"f": 3}}], "x": 4})
    assert not says(pattern, {"d": [[{"a": 1, "b": 2}], [{"e": {"f": 3}}]], "x": 4})
    assert not says(pattern, {"d": [whole], "x": [5]})


def test_or_inside_and_outside_an_array_is_about_one_element():
    inside = {"d": {"a": [1], "$or": [{"b": [2]}, {"c": [3]}]}}
    outside = {"d": {"a": [1]}, "$or": [{"d": {"b": [2]}}, {"d": {"c": [3]}}, {"x": [1]}]}
    for pattern in (inside, outside):
        assert says(pattern, {"d": [{"a": 1, "c": 3}]})
        assert not says(pattern, {"d": [{"a": 1}, {"b": 2}, {"c": 3}]})
    assert says(outside, {"d": [{"a": 1}, {"b": 2}], "x": 1})


def test_exists_false_looks_into_the_element_that_was_chosen_before_it():
    assert says({"d": {"a": [1], "b": [{"exists": False}]}}, {"d": [{"a": 1}, {"b": 2}]})
    assert not says({"d": {"b": [1], "a": [{"exists": False}]}}, {"d": [{"b": 1}, {"a": 2}]})
    assert not says({"d": {"a": [{"exists": False}]}}, {"d": [{"a": 1}, {}]})


def test_bytes_that_are_no_json_are_told_apart():
    matcher = compile_patterns([{"a": [1]}])
    assert matcher.matches_bytes(b'{"a": 1}') is True
    assert matcher.matches_bytes(b'{"a": 2}') is False
    assert matcher.matches_bytes(b'{"a": 1') is None
    assert matcher.matches_bytes(b'{"a": "\xff"}') is None
    assert matcher.matches_bytes(b'{"a":' + b"[" * 100_000) is None


def can_skip(*patterns: dict):
    found = lacks_needles([parse_pattern(each).formula for each in patterns], lambda _: True)
    return found or (lambda _: False)


def test_bytes_that_lack_a_wanted_key_or_text_need_not_be_read():
    by_key = can_skip({"a": {"status": [{"prefix": "x"}]}})
    assert by_key(b'{"a": {"state": "x"}}')
    assert not by_key(b'{"a": {"status": "y"}}')
    assert not by_key(b'{"a.status": "y"}')
    by_text = can_skip({"a": {"status": ["x", "y"]}, "b": [1]})
    assert by_text(b'{"a": {"status": "z"}, "b": 1}')
    assert not by_text(b'{"a": {"status": "y"}}')


@pytest.mark.parametrize(
    "pattern",
    [
        {"a": [{"exists": False}]},
        {"a": [1, {"exists": False}]},
        {"": [1]},
        {'a"b': [1]},
        {"$or": [{"a": [1]}, {"b": [{"exists": False}]}]},
        {"a": ["x"], "$or": [{"a": [{"exists": False}]}, {"b": ["y"]}]},
        {"a": ["\ud800"], '"': [1]},
    ],
    ids=str,
)
def test_bytes_are_always_read_where_nothing_is_surely_wanted(pattern):
    assert not can_skip(pattern)(b"{}") or pattern.keys() == {"a", '"'}


def test_bytes_with_a_backslash_are_always_read():
    assert not can_skip({"status": ["x"]})(b'{"other": "\\u0041"}')
    assert compile_patterns([{"status": ["x"]}]).matches_bytes(b'{"\\u0073tatus": "\\u0078"}')


def test_every_pattern_must_lack_something_before_bytes_are_passed_over():
    assert not can_skip({"a": ["x"]}, {"b": [{"exists": False}]})(b"{}")
    assert can_skip({"a": ["x"]}, {"b": ["y"]})(b"{}")
    assert not can_skip({"a": ["x"]}, {"b": ["y"]})(b'{"b": "y"}')


def test_an_explanation_says_what_came_closest():
    matcher = compile_patterns([{"a": [1], "b": {"c": [{"prefix": "x"}]}}, {"$or": [{"a": [3]}, {"a": [2], "z": [5]}]}])
    assert str(matcher.explain({"a": 2, "b": {"c": "y"}})).splitlines() == [
        "Filters[0].Pattern: a: wanted [1]; found 2",
        "Filters[1].Pattern: a: wanted [3]; found 2",
    ]
    assert str(matcher.explain({"a": 1, "b": [{"c": "y"}, {"c": 5}]})).splitlines()[0] == (
        'Filters[0].Pattern: b.c: wanted [{"prefix": "x"}]; found 5, "y"'
    )
    assert matcher.explain({"a": 2, "z": 5}).index == 1
    assert str(matcher.explain({"a": 3})) == "Filters[1].Pattern: matches"
    split = compile_patterns([{"d": {"a": [1], "b": [2]}}]).explain({"d": [{"a": 1}, {"b": 2}]})
    assert str(split) == (
        "Filters[0].Pattern: d.a, d.b: wanted all of them in one element of the array they go through; found each of "
        "them, but in different elements"
    )


class Steps:
    """Counts the lines that run, which no other process can slow down."""

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self):
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _on_call(self, *_: object):
        return self._on_line

    def _on_line(self, *_: object):
        self.count += 1
        return self._on_line


def steps(pattern: dict, event: dict) -> int:
    matcher = compile_patterns([pattern])
    with Steps() as counted:
        matcher.matches(event)
    return counted.count


def lists_in_lists(depth: int, last: object) -> object:
    for _ in range(depth):
        last = [last]
    return last


BOTH = {"d": {"a": [1], "b": [2]}}
ABSENT = {"d": {"a": [{"exists": False}], "b": [{"exists": False}], "c": [1]}}
OWN = {"d": [1, {"exists": False}], "d.a": [{"exists": False}], "d.b": [1]}


@pytest.mark.parametrize(
    ("pattern", "make"),
    [
        (BOTH, lambda size: {"d": [{"a": 1} if number % 2 else {"b": 2} for number in range(size)]}),
        (BOTH, lambda size: {"d": lists_in_lists(size, {"a": 1})}),
        ({"d": [1]}, lambda size: {"d": lists_in_lists(size, 2)}),
        ({"d": [1]}, lambda size: {"d": list(range(2, size))}),
        (ABSENT, lambda size: {"d": [{"b": 1}] * size + [{"c": 2}] * size}),
        (ABSENT, lambda size: {"d": lists_in_lists(size, {"b": 2})}),
        (OWN, lambda size: {"d": [2] * size + [{"b": 2}] * size}),
        (OWN, lambda size: {"d": lists_in_lists(size, {"b": 2})}),
        ({"a": {"b": {"x": [1], "y": [2]}}}, lambda size: {"a": [{"b": [{"x": 1}] * 10}] * size}),
        ({"d": [{"wildcard": "*ab*cd*"}]}, lambda size: {"d": "abc" * size}),
    ],
    ids=lambda each: json.dumps(each) if isinstance(each, dict) else "",
)
def test_work_grows_no_faster_than_the_event(pattern, make):
    small, large = steps(pattern, make(500)), steps(pattern, make(2000))
    assert large <= 4.5 * small


def test_a_tangled_event_is_decided_in_bounded_work_and_rather_kept():
    rows = [{"x": 1, "y": 1}] * 3000
    pattern = {"a": {"b": {"x": [1], "y": [2]}}}
    assert says(pattern, {"a": {"b": rows}, "a.b": [{"y": 2}]})
    assert not says(pattern, {"a": {"b": rows}, "a.b": [{"y": 3}]})
    assert steps(pattern, {"a": {"b": rows}, "a.b": [{"y": 2, "x": 0}] * 3000}) < 2_000_000


def test_a_tangled_event_without_arrays_is_decided_however_many_ways_there_are():
    pattern = {f"k{n}": {"$or": [{"a.x": [n]}, {"b": [n]}, {"c": [n]}]} for n in range(40)}
    matcher = compile_patterns([pattern])
    assert not matcher.matches({f"k{n}": {"a": {"x": -1}, "a.x": -2} for n in range(40)})
    assert matcher.matches({f"k{n}": {"a": {"x": -1}, "a.x": n} for n in range(40)})


def test_in_a_tangled_event_exists_false_looks_into_the_element_that_was_chosen():
    pattern = {"a": {"b": {"x": [1], "y": [{"exists": False}]}}}
    rows = [{"x": 1}, {"y": 2}]
    assert says(pattern, {"a": {"b": rows}, "a.b": [{"z": 1}]})
    assert not says(pattern, {"a": {"b": rows}, "a.b": [{"y": 1}]})
    assert not says(pattern, {"a": {"b": [{"x": 1, "y": 2}]}, "a.b": [{"z": 1}]})


def test_a_field_of_an_array_itself_belongs_to_no_element_unless_it_is_in_an_array_inside():
    pattern = {"d": [1], "d.b": [2]}
    assert says(pattern, {"d": [1, {"b": 2}]})
    assert says(pattern, {"d": [[1, {"b": 2}]]})
    assert says(pattern, {"d": [1, [{"b": 2}]]})
    assert not says(pattern, {"d": [[1], {"b": 2}]})
    assert not says(pattern, {"d": [[1], [{"b": 2}]]})
    absent = {"d": [{"exists": False}], "d.b": [2]}
    assert says(absent, {"d": [{"b": 2}]})
    assert not says(absent, {"d": [[1], {"b": 2}]})
