"""Checks a tree against tables of `Setting`: the one validator for our own vocabulary and every plugin's.

What it gives has each setting's value (converted, interpolated, paths resolved), the same as it may be shown, and
where it came from. It never stops at the first mistake.
"""

import difflib
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from penstock.api import Setting
from penstock.configuration.findings import Findings
from penstock.configuration.interpolation import Interpolated, InterpolationError, interpolate
from penstock.configuration.masking import MASK, mask_urls, url_passwords
from penstock.configuration.secret_names import is_secret_name
from penstock.configuration.tree import Items, Node, Scalar, Section, line_at

_NOTHING = object()
"""Stands for a value that could not be made; the reason is among the findings."""

_WORDS = {"true": True, "false": False}


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a setting stands: its path, the line of its key, and its tree."""

    path: str
    line: int
    node: Node


@dataclass(frozen=True, slots=True)
class Part:
    """Settings that were checked: values, the same to be shown, and where each came from."""

    path: str
    line: int
    values: dict[str, Any] = field(default_factory=dict)
    shown: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)

    def place(self, *keys: str) -> tuple[int, str]:
        """Find line and path of a setting below this part, or of what stands nearest above it."""
        if not keys or keys[0] not in self.origins:
            return self.line, ".".join((self.path, *keys))
        origin = self.origins[keys[0]]
        return line_at(origin.node, keys[1:], origin.line), ".".join((origin.path, *keys[1:]))

    def over(self, below: "Part") -> "Part":
        """Put this part's settings over those of another one, which holds defaults for it."""
        return Part(
            self.path, self.line, below.values | self.values, below.shown | self.shown, below.origins | self.origins
        )


@dataclass(frozen=True, slots=True)
class _Value:
    """A value and how it may be shown."""

    value: Any
    shown: Any


class Validator:
    """Checks sections of one file. `secrets` are all secret texts met so far."""

    def __init__(self, findings: Findings, *, environ: Mapping[str, str], folder: Path) -> None:
        """Take where to report, the variables, and the folder that paths are relative to."""
        self.findings = findings
        self.environ = environ
        self.folder = folder
        self.secrets: set[str] = set()

    def section(self, node: Node, settings: Iterable[Setting], *, path: str, line: int, free: bool = False) -> Part:
        """Check the keys that are there; `free` lets unknown ones pass as they are.

        What is missing is the affair of `complete`, so that defaults from elsewhere can be put in before.
        """
        part = Part(path, line)
        if not isinstance(node, Section):
            if not (isinstance(node, Scalar) and node.value is None):
                self.findings.error(line, path, f"is {_kind_of(node)}", "an object with settings")
            return part
        known = {setting.name: setting for setting in settings}
        for name, entry in node.entries.items():
            where = f"{path}.{name}" if path else name
            setting = known.get(name) or (Setting(name, "any") if free else None)
            if setting is None:
                self.findings.error(entry.line, where, "is not known", nearest(name, known))
                continue
            if setting.refusal:
                self._refuse(setting, entry.node, where, entry.line)
                continue
            found = self._value(setting, entry.node, where, entry.line)
            if found is not None:
                part.values[name] = found.value
                part.shown[name] = found.shown
            part.origins[name] = Origin(where, entry.line, entry.node)
        return part

    def complete(self, part: Part, settings: Iterable[Setting]) -> Part:
        """Fill in defaults, and say what is missing. Every setting has a value afterwards, None where there is none.

        One that is wrong or missing has its default too: the rest can be checked all the same.
        """
        for setting in settings:
            if setting.refusal or setting.name in part.values:
                continue
            if setting.required or setting.name in part.origins:
                part.values[setting.name] = self._default(setting)
            if setting.name in part.origins:
                continue
            if setting.required:
                where = f"{part.path}.{setting.name}"
                self.findings.error(part.line, where, "is missing", f"{setting.doc or setting.kind} has to be given")
                continue
            value = self._default(setting)
            part.values[setting.name] = value
            if value is not None:
                part.shown[setting.name] = MASK if setting.secret else _plain(value)
        return part

    def text(self, node: Scalar, path: str, line: int) -> Interpolated | None:
        """Put variables and files into one text, and remember what is secret of it."""
        try:
            made = interpolate(node.text, environ=self.environ, folder=self.folder)
        except InterpolationError as error:
            self.findings.error(line, path, error.problem, error.allowed)
            return None
        self.secrets |= made.secrets | url_passwords(made.text)
        return Interpolated(made.text, mask_urls(made.shown), made.secrets, made.changed)

    def _default(self, setting: Setting) -> Any:
        if setting.kind == "path" and isinstance(setting.default, str):
            return self._path(setting.default)
        return setting.default

    def _path(self, text: str) -> Path:
        return Path(os.path.normpath(self.folder / text))

    def _refuse(self, setting: Setting, node: Node, path: str, line: int) -> None:
        value = self._any(node, path, line)
        if value is None or value.value == setting.default:
            return
        leave_out = "" if setting.default is None else f"; leave it out or write {_show(setting.default)}"
        self.findings.error(line, path, setting.refusal + leave_out)

    def _value(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        if isinstance(node, Scalar) and node.value is None and setting.kind != "any":
            self.findings.error(line, path, "has no value", expected(setting))
            return None
        match setting.kind:
            case "section":
                made = self._section(setting, node, path, line)
            case "map":
                made = self._map(setting, node, path, line)
            case "texts":
                made = self._texts(setting, node, path, line)
            case "any":
                made = self._any(node, path, line)
            case _:
                made = self._scalar(setting, node, path, line)
        if made is not None and setting.required and setting.kind == "texts" and not made.value:
            self.findings.error(line, path, "is empty", expected(setting))
            return None
        if made is None or not setting.secret:
            return made
        self.secrets |= set(_leaves(made.value))
        return _Value(made.value, MASK)

    def _section(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        if not isinstance(node, Section):
            return self._wrong(setting, node, path, line)
        part = self.complete(self.section(node, setting.fields, path=path, line=line), setting.fields)
        return _Value(part.values, part.shown)

    def _map(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        if not isinstance(node, Section):
            return self._wrong(setting, node, path, line)
        values: dict[str, str] = {}
        shown: dict[str, str] = {}
        for name, entry in node.entries.items():
            where = f"{path}.{name}"
            if not isinstance(entry.node, Scalar) or entry.node.value is None:
                self.findings.error(entry.line, where, f"is {_kind_of(entry.node)}", "a text")
                continue
            made = self.text(entry.node, where, entry.line)
            if made is None:
                continue
            values[name] = made.text
            shown[name] = made.shown
            if is_secret_name(name) and made.text:
                self.secrets.add(made.text)
                shown[name] = MASK
        return _Value(values, shown)

    def _texts(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        if isinstance(node, Scalar):
            made = self.text(node, path, line)
            return None if made is None else self._chosen(setting, _split(made.text), _split(made.shown), path, line)
        if not isinstance(node, Items):
            return self._wrong(setting, node, path, line)
        texts: list[Interpolated] = []
        for number, item in enumerate(node.items):
            where = f"{path}.{number}"
            if not isinstance(item, Scalar) or item.value is None:
                self.findings.error(item.line, where, f"is {_kind_of(item)}", "a text")
            elif (text := self.text(item, where, item.line)) is not None:
                texts.append(text)
        return self._chosen(setting, [text.text for text in texts], [text.shown for text in texts], path, line)

    def _chosen(
        self, setting: Setting, texts: Sequence[str], shown: Sequence[str], path: str, line: int
    ) -> _Value | None:
        if setting.choices and not set(texts) <= set(setting.choices):
            self.findings.error(line, path, f"is {', '.join(map(repr, shown))}", expected(setting))
            return None
        return _Value(tuple(texts), tuple(shown))

    def _any(self, node: Node, path: str, line: int) -> _Value | None:
        if isinstance(node, Items):
            items = [self._any(item, f"{path}.{number}", item.line) for number, item in enumerate(node.items)]
            return _Value([each and each.value for each in items], [each and each.shown for each in items])
        if isinstance(node, Section):
            fields = {name: self._any(each.node, f"{path}.{name}", each.line) for name, each in node.entries.items()}
            return _Value(
                {name: each and each.value for name, each in fields.items()},
                {name: each and each.shown for name, each in fields.items()},
            )
        if not isinstance(node.value, str):
            return _Value(node.value, node.value)
        made = self.text(node, path, line)
        return None if made is None else _Value(made.text, made.shown)

    def _scalar(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        if not isinstance(node, Scalar):
            return self._wrong(setting, node, path, line)
        made = self.text(node, path, line)
        if made is None:
            return None
        value = self._converted(setting, node, made)
        if value is _NOTHING:
            shown = MASK if setting.secret else made.shown
            quoted = isinstance(node.value, str) and not made.changed
            self.findings.error(line, path, f"is {shown!r}" if quoted else f"is {shown}", expected(setting))
            return None
        if isinstance(value, str):
            return _Value(value, made.shown)
        return _Value(value, MASK if made.secrets else _plain(value))

    def _converted(self, setting: Setting, node: Scalar, made: Interpolated) -> Any:
        match setting.kind:
            case "integer" | "number":
                return _number(setting, node, made)
            case "boolean":
                found = _WORDS.get(made.text.strip().lower()) if made.changed else node.value
                return found if isinstance(found, bool) else _NOTHING
            case "choice":
                return made.text if made.text in setting.choices else _NOTHING
            case "path":
                return self._path(made.text) if made.text and not isinstance(node.value, bool) else _NOTHING
            case _:
                empty = setting.required and not made.text
                return _NOTHING if empty or isinstance(node.value, bool) else made.text

    def _wrong(self, setting: Setting, node: Node, path: str, line: int) -> _Value | None:
        self.findings.error(line, path, f"is {_kind_of(node)}", expected(setting))
        return None


def _number(setting: Setting, node: Scalar, made: Interpolated) -> Any:
    value: Any = node.value
    if made.changed or (isinstance(value, str) and node.plain):
        value = _parsed(made.text.strip())
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return _NOTHING
    if setting.kind == "integer" and not isinstance(value, int):
        return _NOTHING
    below = setting.least is not None and value < setting.least
    above = setting.most is not None and value > setting.most
    return _NOTHING if below or above else value


def _parsed(text: str) -> int | float | None:
    for convert in (int, float):
        try:
            return convert(text)
        except ValueError:
            continue
    return None


def expected(setting: Setting) -> str:
    """Say in words what a setting takes."""
    match setting.kind:
        case "integer" | "number":
            return _expected_number(setting)
        case "choice":
            return f"one of {', '.join(setting.choices)}"
        case "texts" if setting.choices:
            return f"a list of {', '.join(setting.choices)}, or of nothing"
        case kind:
            return {
                "boolean": "true or false",
                "path": "a path, relative to this file's folder",
                "texts": "a list of texts, or one text with commas",
                "map": "an object of names and texts",
                "section": f"an object with {', '.join(item.name for item in setting.fields)}",
            }.get(kind, "a text")


def _expected_number(setting: Setting) -> str:
    words = "a whole number" if setting.kind == "integer" else "a number"
    if setting.unit:
        words += f" of {setting.unit}"
    match setting.least, setting.most:
        case None, None:
            return words
        case least, None:
            return f"{words}, at least {least:g}"
        case None, most:
            return f"{words}, at most {most:.0f}"
        case least, most:
            return f"{words} from {least:g} to {most:.0f}"


def nearest(name: str, known: Iterable[str]) -> str:
    """Say which known name was probably meant, or which there are."""
    by_folded = {each.lower(): each for each in known}
    found = difflib.get_close_matches(name.lower(), by_folded, n=1, cutoff=0.6)
    if found:
        return f"did you mean {by_folded[found[0]]}?"
    return f"known are {', '.join(by_folded.values())}" if by_folded else "nothing is known here"


def _split(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())


def _leaves(value: Any) -> list[str]:
    if isinstance(value, Mapping):
        return [leaf for each in value.values() for leaf in _leaves(each)]
    if isinstance(value, list | tuple):
        return [leaf for each in value for leaf in _leaves(each)]
    return [] if value is None or isinstance(value, bool) or value == "" else [str(value)]


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def _show(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _kind_of(node: Node) -> str:
    if isinstance(node, Items):
        return "a list"
    if isinstance(node, Section):
        return "an object"
    return "empty" if node.value is None else "a single value"
