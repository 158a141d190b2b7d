"""What is not YAML, or not ours, is one message with its line."""

import pytest

from penstock.configuration.tree import Items, Scalar, Section, YamlError, line_at, parse


@pytest.mark.parametrize(
    ("text", "line", "problem"),
    [
        ("a: [1,\nb: 2\n", 2, "while parsing a flow sequence that begins in line 1"),
        ("a: 1\n b: 2\n", 2, "bad YAML"),
        ("a: 1\nb: 'x\n\n", 2, "bad YAML"),
        ("a: 1\nb: \x07\n", 2, "bad YAML"),
        ("a: *nobody\n", 1, "bad YAML"),
        ("a: !include b.yaml\n", 1, "the tag !include"),
        ("a: 1\n---\nb: 2\n", 2, "a single document in the stream that begins in line 1, but found another document"),
        ("a: !!python/name:os.system\n", 1, "the tag tag:yaml.org,2002:python/name:os.system is not known here"),
        ("\n\n- 1\n", 3, "the file is not an object"),
        ("a: 1\nb: 2\na: 3\n", 3, "the key 'a' is written twice"),
        ("a:\n  b: 1\n  b: 1\n", 3, "the key 'b' is written twice"),
        ("? [1]\n: 2\n", 1, "a key that is not a text"),
        ("a: {<<: 1}\n", 1, "<< takes an object"),
    ],
)
def test_what_can_not_be_read_is_named_with_its_line(text, line, problem):
    with pytest.raises(YamlError) as caught:
        parse(text)
    assert caught.value.line == line
    assert problem in caught.value.problem


def test_a_bomb_of_aliases_is_refused():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    with pytest.raises(YamlError, match="aliases that multiply"):
        parse("\n".join(lines))


def test_a_file_nested_too_deeply_is_refused():
    with pytest.raises(YamlError, match="nested"):
        parse("a: " + "[" * 5000 + "]" * 5000)


def test_an_empty_file_is_an_empty_object():
    assert parse("# nothing\n") == Section({}, 1)


def test_each_value_remembers_its_line_and_how_it_is_written():
    root = parse("a: 0123\nb:\n  - '7'\n  - yes\n")
    assert root.entries["a"].node == Scalar(83, "0123", 1, plain=True)
    items = root.entries["b"].node
    assert isinstance(items, Items)
    assert items.items == (Scalar("7", "7", 3, plain=False), Scalar(True, "yes", 4, plain=True))


def test_merge_keys_give_defaults_that_own_keys_win_over():
    root = parse("x-base: &base {a: 1, b: 2}\nc:\n  <<: *base\n  b: 3\n")
    section = root.entries["c"].node
    assert isinstance(section, Section)
    assert {key: entry.node.value for key, entry in section.entries.items()} == {"a": 1, "b": 3}


@pytest.mark.parametrize(
    ("keys", "line"),
    [(("a",), 1), (("a", "b"), 2), (("a", "b", "x"), 2), (("a", "c", "1"), 5), (("a", "d.e", "f"), 7), (("z",), 99)],
)
def test_the_line_of_a_setting_is_its_own_or_that_of_the_nearest_above(keys, line):
    root = parse("a:\n  b: 1\n  c:\n    - 1\n    - 2\n  d.e:\n    f: 1\n")
    assert line_at(root, keys, 99) == line


def test_the_line_of_a_name_with_dots_is_found_by_a_dotted_path():
    root = parse("a:\n  b.c: 1\n  d: 2\n")
    assert line_at(root, ("a", "b", "c"), 99) == 2
