"""`${env:NAME}`, `${env:NAME:-default}`, `${file:PATH}` and `$${` in the texts of a configuration."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.configuration.masking import MASK

_PLACEHOLDER = re.compile(r"\$\$\{|\$\{(?P<inside>[^}]*)(?P<end>\}?)")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_FORMS = "the forms are ${env:NAME}, ${env:NAME:-default} and ${file:PATH}; $${ stands for ${ itself"
FILE_BYTES_MAX = 1_048_576


@dataclass(frozen=True, slots=True)
class Interpolated:
    """A text with everything put in: itself, as it may be shown, and what of it is secret."""

    text: str
    shown: str
    secrets: frozenset[str]
    changed: bool


class InterpolationError(Exception):
    """A placeholder that stands for nothing: a problem and what would be right."""

    def __init__(self, problem: str, allowed: str = "") -> None:
        """Say what and how to mend it."""
        super().__init__(problem)
        self.problem = problem
        self.allowed = allowed


def interpolate(text: str, *, environ: Mapping[str, str], folder: Path) -> Interpolated:
    """Put variables and files into a text, once: what is put in is not looked at again.

    An empty variable takes the default too, as in a shell. One trailing newline of a file is dropped. Raises
    InterpolationError.
    """
    parts: list[str] = []
    shown: list[str] = []
    secrets: set[str] = set()
    end = 0
    for match in _PLACEHOLDER.finditer(text):
        before = text[end : match.start()]
        value, is_secret = _value(match, environ, folder)
        parts += [before, value]
        shown += [before, MASK if is_secret else value]
        if is_secret and value:
            secrets.add(value)
        end = match.end()
    return Interpolated(
        text="".join([*parts, text[end:]]),
        shown="".join([*shown, text[end:]]),
        secrets=frozenset(secrets),
        changed=end > 0,
    )


def _value(match: re.Match[str], environ: Mapping[str, str], folder: Path) -> tuple[str, bool]:
    if match[0] == "$${":
        return "${", False
    if not match["end"]:
        raise InterpolationError("a ${ without its }", _FORMS)
    kind, _, rest = match["inside"].partition(":")
    if kind == "env":
        return _variable(rest, environ), False
    if kind == "file" and rest:
        return _file(rest, folder), True
    raise InterpolationError(f"{match[0]} is not known", _FORMS)


def _variable(rest: str, environ: Mapping[str, str]) -> str:
    name, has_default, default = rest.partition(":-")
    if not _NAME.match(name):
        raise InterpolationError(f"${{env:{rest}}} does not name a variable", _FORMS)
    value = environ.get(name)
    if has_default:
        return value or default
    if value is None:
        raise InterpolationError(f"the variable {name} is not set", f"set it, or write ${{env:{name}:-default}}")
    return value


def _file(name: str, folder: Path) -> str:
    path = folder / name
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        text = content.decode()
    except OSError as error:
        raise InterpolationError(f"the file {path} can not be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InterpolationError(f"the file {path} is not text in UTF-8") from None
    if len(content) > FILE_BYTES_MAX:
        raise InterpolationError(f"the file {path} is larger than {FILE_BYTES_MAX} bytes")
    return text[:-2] if text.endswith("\r\n") else text.removesuffix("\n")
