"""Each operator on values of every kind (`lambda-semantics.md §6.4`)."""

import pytest

from penstock.core.patterns import compile_patterns

VALUES = [
    "",
    "a",
    "A",
    "ab",
    "abc",
    "1",
    1,
    1.0,
    0,
    2.5,
    -3,
    True,
    False,
    None,
    2**53,
    2**53 + 1,
    "null",
    "true",
    "ß",
    "SS",
]


def matching(*tests: object) -> list:
    matcher = compile_patterns([{"f": list(tests)}])
    for value in VALUES:
        assert matcher.matches({"f": [{"x": 1}, value]}) is matcher.matches({"f": value})
    return [value for value in VALUES if matcher.matches({"f": value})]


def is_same(found: list, expected: list) -> bool:
    return [(type(each), each) for each in found] == [(type(each), each) for each in expected]


@pytest.mark.parametrize(
    ("test", "expected"),
    [
        ("a", ["a"]),
        ("", [""]),
        ("1", ["1"]),
        (1, [1, 1.0]),
        (300.0, []),
        (0, [0]),
        (-0.0, [0]),
        (True, [True]),
        (False, [False]),
        (None, [None]),
        (2**53, [2**53, 2**53 + 1]),
        ({"exactly": "a"}, ["a"]),
        ({"prefix": "a"}, ["a", "ab", "abc"]),
        ({"prefix": ""}, ["", "a", "A", "ab", "abc", "1", "null", "true", "ß", "SS"]),
        ({"prefix": {"equals-ignore-case": "A"}}, ["a", "A", "ab", "abc"]),
        ({"suffix": "b"}, ["ab"]),
        ({"suffix": ""}, ["", "a", "A", "ab", "abc", "1", "null", "true", "ß", "SS"]),
        ({"suffix": {"equals-ignore-case": "BC"}}, ["abc"]),
        ({"suffix": {"equals-ignore-case": ""}}, ["", "a", "A", "ab", "abc", "1", "null", "true", "ß", "SS"]),
        ({"equals-ignore-case": "a"}, ["a", "A"]),
        ({"equals-ignore-case": ""}, [""]),
        ({"equals-ignore-case": "NULL"}, ["null"]),
        ({"equals-ignore-case": "ß"}, ["ß", "SS"]),
        ({"wildcard": "a*"}, ["a", "ab", "abc"]),
        ({"wildcard": "*b*"}, ["ab", "abc"]),
        ({"wildcard": ""}, [""]),
        ({"wildcard": "a"}, ["a"]),
        ({"numeric": ["=", 1]}, [1, 1.0]),
        ({"numeric": ["<", 1]}, [0, -3]),
        ({"numeric": ["<=", 1]}, [1, 1.0, 0, -3]),
        ({"numeric": [">", 2.5]}, [2**53, 2**53 + 1]),
        ({"numeric": [">=", 2.5]}, [2.5, 2**53, 2**53 + 1]),
        ({"numeric": [">", 0, "<=", 2.5]}, [1, 1.0, 2.5]),
        ({"numeric": [">=", 0, "<", 2.5]}, [1, 1.0, 0]),
        ({"numeric": ["<=", 2**53]}, [1, 1.0, 0, 2.5, -3, 2**53, 2**53 + 1]),
        ({"exists": True}, VALUES),
        ({"exists": False}, []),
        ({"anything-but": "a"}, [each for each in VALUES if each != "a"]),
        ({"anything-but": ["a", "ab"]}, [each for each in VALUES if each not in {"a", "ab"}]),
        ({"anything-but": {"prefix": "a"}}, [each for each in VALUES if each not in {"a", "ab", "abc"}]),
        ({"anything-but": {"suffix": ["b", "c"]}}, [each for each in VALUES if each not in {"ab", "abc"}]),
        ({"anything-but": {"equals-ignore-case": "a"}}, [each for each in VALUES if each not in {"a", "A"}]),
        ({"anything-but": {"wildcard": "*b*"}}, [each for each in VALUES if each not in {"ab", "abc"}]),
    ],
    ids=str,
)
def test_an_operator_takes_exactly_these_values(test, expected):
    assert is_same(matching(test), expected)


def test_anything_but_a_number_takes_texts_and_constants_of_the_same_look():
    assert is_same(
        matching({"anything-but": 1}),
        [each for each in VALUES if each is True or each != 1],
    )
    assert is_same(
        matching({"anything-but": [1, 0]}),
        [each for each in VALUES if isinstance(each, bool) or each not in {1, 0}],
    )


def test_any_of_several_tests_is_enough():
    assert matching("a", {"numeric": [">", 2]}, None) == ["a", 2.5, None, 2**53, 2**53 + 1]
    assert matching("a", "ab", {"prefix": "S"}) == ["a", "ab", "SS"]


@pytest.mark.parametrize(
    ("test", "is_taken"),
    [
        ({"exists": False}, True),
        ({"exists": True}, False),
        ({"anything-but": "a"}, False),
        ({"anything-but": {"prefix": "a"}}, False),
        (None, False),
        ("", False),
        ({"prefix": ""}, False),
    ],
)
@pytest.mark.parametrize(
    "event",
    [
        *({}, {"p": {}}, {"p": 5}, {"p": None}, {"p": []}, {"p": {"f": []}}, {"p": {"f": {}}}),
        *({"p": {"f": {"x": 1}}}, {"p": {"f": [[], [{}]]}}, {"p": [{"g": 1}]}),
    ],
    ids=str,
)
def test_a_field_that_is_not_there_satisfies_exists_false_alone(event, test, is_taken):
    assert compile_patterns([{"p": {"f": [test]}}]).matches(event) is is_taken


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        (r"a\*b", "a*b", True),
        (r"a\*b", "axb", False),
        (r"a\\*", "a\\x", True),
        (r"\\", "\\", True),
        ("a*a", "a", False),
        ("a*a", "aa", True),
        ("ab*ba", "aba", False),
        ("*ab*ab*", "xabyab", True),
        ("*ab*ab*", "xaby", False),
        ("a*b*c", "a\nb\nc", True),
        ("*", "", True),
        ("a*b*b", "ab", False),
        ("x*é*", "xyé", True),
    ],
)
def test_wildcards(pattern, value, expected):
    assert compile_patterns([{"f": [{"wildcard": pattern}]}]).matches({"f": value}) is expected


@pytest.mark.parametrize(
    ("network", "value", "expected"),
    [
        ("10.0.0.0/24", "10.0.0.255", True),
        ("10.0.0.0/24", "10.0.1.0", False),
        ("10.0.0.77/24", "10.0.0.1", True),
        ("0.0.0.0/0", "255.255.255.255", True),
        ("10.0.0.1/32", "10.0.0.1", True),
        ("10.0.0.1/32", "10.0.0.2", False),
        ("10.0.0.0/8", "10.0.0.1.", False),
        ("10.0.0.0/8", "10.0.0", False),
        ("10.0.0.0/8", "10.0.0.0/8", False),
        ("10.0.0.0/8", "::a00:1", False),
        ("2001:db8::/32", "2001:0DB8:ffff:0:0:0:0:1", True),
        ("2001:db8::/32", "2001:db9::", False),
        ("2001:db8::/32", "2001:db8::1%eth0", False),
        ("::/0", "10.0.0.1", False),
        ("::1/128", "::1", True),
        ("::/0", ":::", False),
        ("10.0.0.0/8", 10, False),
    ],
)
def test_networks(network, value, expected):
    assert compile_patterns([{"f": [{"cidr": network}]}]).matches({"f": value}) is expected


@pytest.mark.parametrize(
    ("pattern", "value", "expected"),
    [
        ("straße", "STRASSE", True),
        ("k", "\N{KELVIN SIGN}", False),
        ("ΣΔΣ", "σδς", False),
        ("ΣΔΣ", "σδσ", True),
        ("a.b", "aXb", False),
        ("[a-z]", "[A-Z]", True),
        ("a\nb", "A\nB", True),
    ],
)
def test_case_is_ignored_character_by_character(pattern, value, expected):
    for test in ({"equals-ignore-case": pattern}, {"prefix": {"equals-ignore-case": pattern}}):
        assert compile_patterns([{"f": [test]}]).matches({"f": value}) is expected
    suffix = compile_patterns([{"f": [{"suffix": {"equals-ignore-case": pattern}}]}])
    assert suffix.matches({"f": f"before{value}"}) is expected


def test_numbers_beyond_all_doubles_are_compared_as_infinite():
    matcher = compile_patterns([{"f": [{"numeric": [">", 1e308]}]}])
    assert matcher.matches_bytes(b'{"f": 1e400}')
    assert matcher.matches_bytes(b'{"f": 1%s}' % (b"0" * 4000))
    assert matcher.matches({"f": 10**4000})
    assert not matcher.matches_bytes(b'{"f": -1%s}' % (b"0" * 4000))
