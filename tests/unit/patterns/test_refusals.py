"""Patterns that are refused: AWS's own reason where one is known, and where, what was found and what is allowed."""

import json

import pytest

from penstock.core.patterns import PatternRefused, compile_patterns


def refusal(pattern: object, **options: int) -> PatternRefused:
    with pytest.raises(PatternRefused) as caught:
        compile_patterns([pattern], **options)
    return caught.value


def test_a_refusal_says_which_filter_and_where_what_was_found_and_what_is_allowed():
    with pytest.raises(PatternRefused) as caught:
        compile_patterns(['{"a": [1]}', '{"body": {"price": [5, {"numeric": [">", "x"]}]}}'])
    refused = caught.value
    assert (refused.index, refused.path) == (1, "body.price[1].numeric")
    assert (refused.reason, refused.found) == ("Value of > must be numeric", '"x"')
    assert str(refused) == (
        'Filters[1].Pattern: body.price[1].numeric: Value of > must be numeric; found "x"; allowed: one comparison '
        'such as ["<", 10], or a lower and then an upper bound such as [">", 0, "<=", 5]'
    )
    assert refused.aws_message == f"Invalid filter pattern definition. {refused}"


VALUE_WORDS = "(JSON String, Number, Array, Object or token 'null', 'true' or 'false')"
COLON_WORDS = "was expecting a colon to separate field name and value"

TESTS = [
    ([], "Empty arrays are not allowed"),
    ([[1]], "Match value must be String, number, true, false, or null"),
    ([{}], "Match expression name not found"),
    ([{"EXISTS": True}], "Unrecognized match type EXISTS"),
    ([{"prefix": "a", "suffix": "b"}], "Only one key allowed in match expression"),
    ([{"exactly": 1}], "exact match pattern must be a string"),
    ([{"prefix": 1}], "prefix match pattern must be a string"),
    ([{"suffix": ["a"]}], "suffix match pattern must be a string"),
    ([{"prefix": {}}], "Prefix expression name not found"),
    ([{"suffix": {}}], "Suffix expression name not found"),
    ([{"prefix": {"wildcard": "a"}}], "Unsupported prefix pattern: wildcard"),
    ([{"suffix": {"prefix": "a"}}], "Unsupported suffix pattern: prefix"),
    ([{"prefix": {"equals-ignore-case": 1}}], "equals-ignore-case match pattern must be a string"),
    ([{"suffix": {"equals-ignore-case": "a", "b": 1}}], "Only one key allowed in match expression"),
    ([{"equals-ignore-case": None}], "equals-ignore-case match pattern must be a string"),
    ([{"exists": "true"}], "exists match pattern must be either true or false."),
    ([{"exists": 1}], "exists match pattern must be either true or false."),
    ([{"cidr": 1}], "prefix match pattern must be a string"),
    ([{"cidr": "10.0.0.0"}], "Malformed CIDR, one '/' required"),
    ([{"cidr": "10.0.0.0/8/8"}], "Malformed CIDR, one '/' required"),
    ([{"cidr": "10.0.0.0/"}], "Malformed CIDR, one '/' required"),
    ([{"cidr": "10.0.0.0/x"}], "Malformed CIDR, mask bits must be an integer"),
    ([{"cidr": "10.0.0.0/-1"}], "Malformed CIDR, mask bits must not be negative"),
    ([{"cidr": "10.0.0.0/33"}], "IPv4 mask bits must be < 32"),
    ([{"cidr": "::/129"}], "IPv6 mask bits must be < 128"),
    ([{"cidr": "10.0.0.256/8"}], "Nonstandard IP address: 10.0.0.256"),
    ([{"cidr": "localhost/8"}], "Nonstandard IP address: localhost"),
    ([{"cidr": "fe80::1%eth0/8"}], "Nonstandard IP address: fe80::1%eth0"),
    ([{"wildcard": 1}], "wildcard match pattern must be a string"),
    ([{"wildcard": "a**"}], "Consecutive wildcard characters at pos 2"),
    ([{"wildcard": "é**"}], "Consecutive wildcard characters at pos 3"),
    ([{"wildcard": "a\\b"}], "Invalid escape character at pos 2"),
    ([{"wildcard": "a\\"}], "Invalid escape character at pos 2"),
    ([{"numeric": 1}], "Value of numeric must be an array."),
    ([{"numeric": []}], "Invalid member in numeric match: ]"),
    ([{"numeric": [5]}], "Invalid member in numeric match: 5"),
    ([{"numeric": ["~", 5]}], "Unrecognized numeric range operator: ~"),
    ([{"numeric": ["=", "a"]}], "Value of equals must be numeric"),
    ([{"numeric": ["="]}], "Value of equals must be numeric"),
    ([{"numeric": ["<", True]}], "Value of < must be numeric"),
    ([{"numeric": ["=", 1, "<", 2]}], "Too many elements in numeric expression"),
    ([{"numeric": ["<", 2, ">", 1]}], "Too many elements in numeric expression"),
    ([{"numeric": [">", 0, 5]}], "Bad value in numeric range: 5"),
    ([{"numeric": [">", 0, ">", 5]}], "Bad numeric range operator: >"),
    ([{"numeric": [">", 0, "<"]}], "Value of < must be numeric"),
    ([{"numeric": [">", 0, "<", 1, 2]}], "Too many terms in numeric range expression"),
    ([{"numeric": [">", 5, "<", 5]}], "Bottom must be less than top"),
    ([{"numeric": [">", 5, "<", 1]}], "Bottom must be less than top"),
    ([{"anything-but": None}], "Value of anything-but must be an array or single string/number value."),
    ([{"anything-but": True}], "Value of anything-but must be an array or single string/number value."),
    ([{"anything-but": [None]}], "Inside anything but list, start|null|boolean is not supported."),
    ([{"anything-but": [False]}], "Inside anything but list, start|null|boolean is not supported."),
    ([{"anything-but": [[1]]}], "Inside anything but list, start|null|boolean is not supported."),
    (
        [{"anything-but": [1, "a"]}],
        "Inside anything but list, either all values are number or string, mixed type is not supported",
    ),
    (
        [{"anything-but": []}],
        "Inside anything but list, either all values are number or string, mixed type is not supported",
    ),
    ([{"anything-but": {}}], "Anything-But expression name not found"),
    ([{"anything-but": {"numeric": ["=", 1]}}], "Unsupported anything-but pattern: numeric"),
    ([{"anything-but": {"prefix": 1}}], "prefix/suffix match pattern must be a string"),
    ([{"anything-but": {"suffix": ["a", None]}}], "prefix/suffix match pattern must be a string"),
    ([{"anything-but": {"prefix": ""}}], "Null prefix/suffix not allowed"),
    ([{"anything-but": {"suffix": ["a", ""]}}], "Null prefix/suffix not allowed"),
    ([{"anything-but": {"prefix": []}}], "Empty arrays are not allowed"),
    ([{"anything-but": {"wildcard": ["a**"]}}], "Consecutive wildcard characters at pos 2"),
    (
        [{"anything-but": {"equals-ignore-case": 1}}],
        "Inside anything-but/equals-ignore-case list, number|start|null|boolean is not supported.",
    ),
    ([{"anything-but": {"prefix": "a", "suffix": "b"}}], "Only one key allowed in match expression"),
]


@pytest.mark.parametrize(("values", "reason"), TESTS, ids=lambda each: json.dumps(each)[:60])
def test_a_wrong_value_is_refused_in_awss_words(values, reason):
    refused = refusal({"a": {"b": values}})
    assert refused.reason == reason
    assert refused.path.startswith("a.b")
    assert refusal(json.dumps({"a": {"b": values}})).args == refused.args


@pytest.mark.parametrize(
    ("pattern", "path", "reason"),
    [
        ("null", "", "Filter is not an object"),
        ('"text"', "", "Filter is not an object"),
        ("{}", "", "Empty objects are not allowed"),
        ('{"a": {}}', "a", "Empty objects are not allowed"),
        ('{"a": "b"}', "a", '"a" must be an object or an array'),
        ('{"a": {"b": null}}', "a.b", '"b" must be an object or an array'),
        ('{"a": [1]', "", "Unexpected end-of-input: the pattern is not complete"),
        ("", "", "Unexpected end-of-input: the pattern is not complete"),
        ('{"a": [NaN]}', "", f"Unrecognized token 'NaN': was expecting {VALUE_WORDS}"),
        ('{"a" [1]}', "", f"Unexpected character ('[' (code 91)): {COLON_WORDS}"),
        ('{"a": [1 2]}', "", "Unexpected character ('2' (code 50)): was expecting comma to separate entries"),
        ('{"a": [1]} x', "", "The pattern is no JSON: Extra data"),
        ('{"a": [1e400]}', "a[0]", "The number is out of range"),
        ('{"a": [{"numeric": ["<", 1%s]}]}' % ("0" * 400), "a[0].numeric", "The number is out of range"),
    ],
)  # fmt: skip
def test_what_is_no_pattern_is_refused(pattern, path, reason):
    refused = refusal(pattern)
    assert (refused.path, refused.reason) == (path, reason)


@pytest.mark.parametrize(
    ("pattern", "path"),
    [
        ({1: ["a"]}, ""),
        ({"a": {True: ["a"]}}, "a"),
        ({"a": [{"prefix": b"a"}]}, "a[0].prefix"),
        ({"a": [float("nan")]}, "a[0]"),
        ({"a": ["a", {1, 2}]}, "a[1]"),
        ([], ""),
        (7, ""),
        (None, ""),
    ],
)
def test_an_object_that_json_could_not_hold_is_refused(pattern, path):
    assert refusal(pattern).path == path


def test_a_pattern_longer_than_allowed_is_refused_as_text_and_as_an_object():
    fits = '{"a":["%s"]}' % ("x" * (4096 - 10))
    assert len(fits) == 4096
    compile_patterns([fits])
    compile_patterns([json.loads(fits)])
    for pattern in (f"{fits} ", json.loads(fits.replace("x", "xx", 1))):
        refused = refusal(pattern)
        assert (refused.reason, refused.found) == ("The pattern is too long", "4097 characters")
    compile_patterns([f"{fits} "], characters_max=5000)


def nested(depth: int) -> str:
    return '{"a":' * depth + "[1]" + "}" * depth


def test_nesting_is_bounded():
    compile_patterns([nested(100)])
    assert refusal(nested(101)).reason == "Rule is too complex"
    assert refusal({".".join("a" * 101): [1]}).reason == "Rule is too complex"
    assert refusal("[" * 4096).reason == "Rule is too complex"
    assert refusal('{"$or":[{"a":[1]},' * 200 + '{"a":[1]}' + "]}" * 200).reason == "Rule is too complex"


def test_an_object_that_holds_itself_is_refused():
    pattern: dict = {}
    pattern["a"] = pattern
    assert refusal(pattern).reason == "Rule is too complex"
    wide: object = [1]
    for _ in range(40):
        wide = {"a": wide, "b": wide}
    assert refusal(wide).reason == "Rule is too complex"


def test_ways_to_choose_branches_are_bounded_where_they_must_be_written_out():
    def choices(count: int) -> dict:
        return {"d": {f"k{n}": {"$or": [{"a": [{"exists": False}]}, {"b": [n]}, {"c": [n]}]} for n in range(count)}}

    compile_patterns([choices(5)])
    refused = refusal(choices(30))
    assert (refused.reason, refused.path) == ("Rule is too complex", "d.k0.$or")
    assert refused.found == "205,891,132,094,649 ways to choose a branch of each $or"


def test_parallel_choices_that_share_nothing_cost_nothing():
    pattern = {f"k{n}": {"$or": [{"a": [n]}, {"b": [n]}, {"c": [n]}]} for n in range(40)}
    matcher = compile_patterns([pattern])
    assert matcher.matches({f"k{n}": {"abc"[n % 3]: n} for n in range(40)})
    assert not matcher.matches({f"k{n}": {"abc"[n % 3]: n} for n in range(39)})


@pytest.mark.parametrize("text", ["*a*b*c*d*e", "/Users/*/dir/dir/dir/dir/dir/doc.txt", "*", "a*", "no star at all"])
def test_a_wildcard_of_common_size_is_taken(text):
    compile_patterns([{"a": [{"wildcard": text}]}])


@pytest.mark.parametrize("text", ["*:*:*:*:*:event-bus/*", "*" + "a" * 11, "*a*b*c*d*e*"])
def test_a_wildcard_that_awss_machine_would_find_too_complex_is_refused(text):
    for pattern in ({"a": [{"wildcard": text}]}, {"a": [{"anything-but": {"wildcard": [text]}}]}):
        assert refusal(pattern).reason.startswith("Rule is too complex - try using fewer wildcard characters")


def test_or_needs_two_objects_without_operators_to_be_the_operator():
    def says(pattern: dict, event: dict) -> bool:
        return compile_patterns([pattern]).matches(event)

    assert says({"$or": [{"a": [1]}, {"b": [2]}]}, {"b": 2})
    assert says({"$or": {"a": [1]}}, {"$or": {"a": 1}})
    assert says({"$or": ["x"]}, {"$or": "x"})
    assert says({"$or": [{"prefix": "x"}, {"suffix": "y"}]}, {"$or": "ay"})
    assert refusal({"$or": [{"a": [1]}]}).reason == "Unrecognized match type a"
    assert refusal({"$or": [{"a": [1]}, 5]}).reason == "Unrecognized match type a"
    nested_keyword = refusal({"$or": [{"a": {"prefix": ["x"]}}, {"b": [1]}]})
    assert nested_keyword.reason == "prefix is Ruler reserved fieldName which cannot be used inside $or."
    assert nested_keyword.path == "$or[0].a.prefix"


def test_a_field_given_twice_counts_by_its_last_place_and_is_warned_of():
    twice = compile_patterns(['{"a": [1], "a": [2]}'])
    assert [str(each) for each in twice.warnings] == [
        "Filters[0].Pattern: a: is given more than once; only the last one counts"
    ]
    assert (twice.matches({"a": 1}), twice.matches({"a": 2})) == (False, True)
    dotted = compile_patterns([{"x": [0]}, {"a.b": [1], "a": {"b": [2]}}])
    assert [str(each) for each in dotted.warnings] == [
        "Filters[1].Pattern: a.b: is the same field as a.b; the last one counts"
    ]
    assert (dotted.matches({"a": {"b": 1}}), dotted.matches({"a": {"b": 2}})) == (False, True)
    within_or = compile_patterns([{"a": [1], "$or": [{"a": [2]}, {"b": [3]}]}])
    assert [each.path for each in within_or.warnings] == ["$or[0].a"]
    assert within_or.matches({"a": 2})
    assert not within_or.matches({"a": 1})
    assert within_or.matches({"a": 1, "b": 3})


def test_branches_that_ask_of_the_same_field_are_nothing_to_warn_of():
    assert compile_patterns([{"$or": [{"a": [1]}, {"a": [2], "b": [3]}]}]).warnings == ()
