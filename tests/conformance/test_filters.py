"""Event patterns as AWS was recorded to judge them, and as the implementation that AWS published does."""

import json
from pathlib import Path
from typing import Any

import pytest

from penstock.core.patterns import AWS_WORDS, FilterCriteria, PatternRefused, compile_patterns

SYNTAX = "\n at ["


def read(conformance: Path, name: str) -> Any:
    return json.loads((conformance / "filters" / f"{name}.json").read_text())


def judged(pattern: str, event: Any) -> str:
    """Judge as the data is written down, by all ways that a matcher has to be asked."""
    matcher = compile_patterns([pattern])
    matches = matcher.matches(event)
    assert matcher.matches_bytes(json.dumps(event).encode()) is matches
    assert matcher.matches_bytes(json.dumps(event, ensure_ascii=False).encode()) is matches
    assert matcher.explain(event).matches is matches
    return "match" if matches else "nomatch"


def hold(case: dict[str, Any], pattern: str) -> str | None:
    """Tell what is wrong with our answer to a case; None where nothing is."""
    try:
        event = case["event"] if "event" in case else json.loads(case.get("event_text", "{}"))
        answer = judged(pattern, event)
    except PatternRefused as refused:
        expected = case.get("aws_error", "").removeprefix("Event pattern is not valid. Reason: ").split(SYNTAX)[0]
        right = case["expect"] == "error" and refused.reason == expected and refused.aws_message.startswith(AWS_WORDS)
        return None if right else f"{case['name']}: {refused.reason!r}, not {expected or case['expect']!r}"
    return None if answer == case["expect"] else f"{case['name']}: {answer}, not {case['expect']}"


def test_every_event_pattern_is_judged_as_recorded(conformance):
    cases = read(conformance, "event-patterns")["cases"]
    assert cases
    assert [wrong for case in cases if (wrong := hold(case, json.dumps(case["pattern"])))] == []


def test_every_pattern_given_as_text_is_judged_as_recorded(conformance):
    # The events of two cases are files of their own, which are not among the data.
    cases = [case for case in read(conformance, "event-patterns")["raw_text_cases"] if "event_file" not in case]
    assert cases
    assert [wrong for case in cases if (wrong := hold(case, case["pattern_text"]))] == []


def test_every_case_of_array_consistency_is_judged_alike(conformance):
    cases = read(conformance, "array-consistency")["cases"]
    assert cases
    assert [wrong for case in cases if (wrong := hold(case, json.dumps(case["rule"])))] == []


def customer_like(size: int) -> dict[str, Any]:
    domains = [{"email": f"u{number}@example.com"} for number in range(size)]
    data = {"name": "n", "type": "GROUP", "domains": domains}
    return {"detail": {"data": data, "context": {"companyId": "c", "userId": "u", "email": "e"}}}


def last_valid(size: int) -> dict[str, Any]:
    return {"d": [{"a": number} for number in range(size - 1)] + [{"a": 1, "b": 2}]}


# What the names of the generators say; the data holds the rules, the sizes and the number of matches.
GENERATORS = {
    "primArrayPlusScalar": lambda size: {"d": {"tags": [f"t{number}" for number in range(size)], "type": "x"}},
    "primArrayOnly": lambda size: {"d": {"tags": [f"t{number}" for number in range(size)]}},
    "objArrayBothFields": lambda size: {"d": [{"a": number, "b": number} for number in range(size)]},
    "objArrayLastValid": last_valid,
    "objArrayAllPartial": lambda size: {"d": [{"ab"[number % 2]: number} for number in range(size)]},
    "customerLike": customer_like,
    "primInsideObjArray": lambda size: {
        "detail": {"data": [{"name": "n", "type": "t", "tags": [f"t{n}" for n in range(10)]} for _ in range(size)]}
    },
    "noObjArrayLargePrim": lambda size: {"detail": {"data": {"name": [f"n{n}" for n in range(size)], "type": "t"}}},
    "nested2Level": lambda size: {"a": [{"b": [{"x": n, "y": n} for n in range(10)]} for _ in range(size)]},
    "deepNestedPrim": lambda size: {"a": {"b": {"tags": [f"t{number}" for number in range(size)], "type": "t"}}},
    "wideRulePrimArray": lambda size: {"d": {"a": [f"a{number}" for number in range(size)], "b": 1, "c": 2}},
    "twoPrimArrays": lambda size: {
        "tags": [f"t{n}" for n in range(size)],
        "cats": [f"c{n}" for n in range(size)],
        "v": "1",
    },
    "controlScalar": lambda _: {"a": 1, "b": 2},
}


def test_large_arrays_are_judged_alike_at_every_size(conformance):
    scenarios = read(conformance, "large-array-scenarios")
    assert scenarios
    for case in scenarios:
        for size in (*case["sizes"], 10_000):
            event = GENERATORS[case["generator"]](size)
            assert judged(json.dumps(case["rule"]), event) == ("match" if case["expectedMatches"] else "nomatch"), case


@pytest.mark.parametrize(
    ("name", "event_format"), [("sqs-14-invalid-filters", "sqs"), ("ddb-11-invalid-filters", "dynamodb")]
)
def test_what_a_mapping_was_refused_for_is_refused_with_the_same_words(recorded, name, event_format):
    for case in recorded(name)["cases"]:
        with pytest.raises(PatternRefused) as caught:
            FilterCriteria([case["pattern_text"]], event_format)
        [expected] = {answer["message"] for answer in case["expected"].values()}
        assert caught.value.aws_message.startswith(expected)
        assert len(caught.value.aws_message) > len(expected) + 20


def test_an_empty_list_of_filters_is_taken(recorded):
    filters = recorded("api-07-empty-filters")["setup"]["create"]["FilterCriteria"]["Filters"]
    assert FilterCriteria(filters, "dynamodb").formulas == ()
