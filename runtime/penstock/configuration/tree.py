"""YAML as a tree that remembers where each value stands, since every message names its line."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import yaml

DEPTH_MAX = 100
NODES_MAX = 200_000


@dataclass(frozen=True, slots=True)
class Scalar:
    """A single value: as YAML reads it, and as it is written. `plain` tells that it is not quoted."""

    value: Any
    text: str
    line: int
    plain: bool


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple["Node", ...]
    line: int


@dataclass(frozen=True, slots=True)
class Entry:
    """A key's value; `line` is the key's."""

    line: int
    node: "Node"


@dataclass(frozen=True, slots=True)
class Section:
    """An object, in the order it is written."""

    entries: dict[str, Entry]
    line: int


Node = Scalar | Items | Section


class YamlError(Exception):
    """What is not YAML, or not ours: a line (0: none), a problem and what would be right."""

    def __init__(self, line: int, problem: str, allowed: str = "") -> None:
        """Say where and what."""
        super().__init__(problem)
        self.line = line
        self.problem = problem
        self.allowed = allowed


def parse(text: str) -> Section:
    """Read one YAML document whose top is an object.

    Raises YamlError for bad YAML, a key written twice, a key that is no text, a tag, and more than one document.
    Anchors, aliases and `<<` work as YAML says.
    """
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.MarkedYAMLError as error:
        raise _bad_yaml(text, error) from None
    except yaml.YAMLError as error:
        raise YamlError(_line_of_reader_error(text, error), f"bad YAML: {_first_line(error)}") from None
    except RecursionError:
        raise YamlError(1, f"bad YAML: nested deeper than {DEPTH_MAX} levels") from None
    if root is None:
        return Section({}, 1)
    converted = _Converter().convert(root, 0)
    if not isinstance(converted, Section):
        raise YamlError(converted.line, "the file is not an object", "write sections such as Sources: and Functions:")
    return converted


def line_at(node: Node, keys: tuple[str, ...], default: int) -> int:
    """Find the line of a setting below a node, or of the nearest thing above it that is there."""
    line = default
    while keys:
        found = _child(node, keys)
        if found is None:
            return line
        line, node, taken = found
        keys = keys[taken:]
    return line


def _child(node: Node, keys: tuple[str, ...]) -> tuple[int, Node, int] | None:
    """Find what the first of some keys stand for: a name may have dots in it, and so be several of them."""
    if isinstance(node, Items) and keys[0].isdecimal() and int(keys[0]) < len(node.items):
        item = node.items[int(keys[0])]
        return item.line, item, 1
    if not isinstance(node, Section):
        return None
    for count in range(1, len(keys) + 1):
        entry = node.entries.get(".".join(keys[:count]))
        if entry is not None:
            return entry.line, entry.node, count
    return None


class _Converter:
    """Turns PyYAML's nodes into ours. Aliased nodes are converted each time, within a bound."""

    def __init__(self) -> None:
        self._constructor = yaml.constructor.SafeConstructor()
        self._count = 0

    def convert(self, node: yaml.Node, depth: int) -> Node:
        line = node.start_mark.line + 1
        self._count += 1
        if depth > DEPTH_MAX or self._count > NODES_MAX:
            raise YamlError(line, "bad YAML: nested too deeply, or aliases that multiply")
        if isinstance(node, yaml.MappingNode):
            return Section(dict(self._entries(node, depth)), line)
        if isinstance(node, yaml.SequenceNode):
            return Items(tuple(self.convert(item, depth + 1) for item in node.value), line)
        return self._scalar(node, line)

    def _scalar(self, node: yaml.Node, line: int) -> Scalar:
        if node.tag not in self._constructor.yaml_constructors:
            raise YamlError(line, f"bad YAML: the tag {node.tag} is not known here", "write the value without a tag")
        try:
            value = self._constructor.construct_object(node)
        except (yaml.YAMLError, ValueError) as error:
            raise YamlError(line, f"bad YAML: {_first_line(error)}") from None
        return Scalar(value, str(node.value), line, plain=not getattr(node, "style", None))

    def _entries(self, node: yaml.MappingNode, depth: int) -> Iterator[tuple[str, Entry]]:
        own: dict[str, Entry] = {}
        merged: dict[str, Entry] = {}
        for key_node, value_node in node.value:
            line = key_node.start_mark.line + 1
            if key_node.tag == "tag:yaml.org,2002:merge":
                merged = self._merged(value_node, depth) | merged
                continue
            if not isinstance(key_node, yaml.ScalarNode):
                raise YamlError(line, "bad YAML: a key that is not a text")
            key = str(key_node.value)
            if key in own:
                raise YamlError(line, f"the key '{key}' is written twice", f"it stands in line {own[key].line} already")
            own[key] = Entry(line, self.convert(value_node, depth + 1))
        yield from (merged | own).items()

    def _merged(self, node: yaml.Node, depth: int) -> dict[str, Entry]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Entry] = {}
        for part in parts:
            section = self.convert(part, depth + 1)
            if not isinstance(section, Section):
                raise YamlError(section.line, "bad YAML: << takes an object, or a list of them")
            merged = section.entries | merged
        return merged


def _bad_yaml(text: str, error: yaml.MarkedYAMLError) -> YamlError:
    last_line = text.rstrip().count("\n") + 1
    marks = [mark.line + 1 for mark in (error.problem_mark, error.context_mark) if mark is not None]
    # What is never closed is found out at the end of the file, or behind it.
    line = min(marks[0], last_line) if marks else 1
    begun = f" that begins in line {marks[1]}" if error.context and len(marks) > 1 and marks[1] != line else ""
    problem, context = error.problem or "", f"{error.context or ''}{begun}"
    if problem.startswith("but "):
        return YamlError(line, f"bad YAML: {context}, {problem}")
    return YamlError(line, f"bad YAML: {problem} {context}".rstrip())


def _line_of_reader_error(text: str, error: yaml.YAMLError) -> int:
    position = getattr(error, "position", None)
    return text.count("\n", 0, position) + 1 if isinstance(position, int) else 1


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0]
