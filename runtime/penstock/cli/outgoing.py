"""What `penstock send` was given, as records: arguments, lines, or JSON objects."""

import base64
import binascii
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from penstock.api import Attribute, Outgoing
from penstock.cli.failures import Wrong

_FIELDS = ("data", "key", "headers", "group", "attributes")


@dataclass(frozen=True, slots=True, kw_only=True)
class Defaults:
    """What the options say for every record; an object's own fields win."""

    key: str | None
    group: str | None
    headers: tuple[tuple[str, bytes | None], ...]


def from_texts(texts: Iterable[str], defaults: Defaults) -> Iterator[Outgoing]:
    """Make a record of each text."""
    key = None if defaults.key is None else defaults.key.encode()
    for text in texts:
        yield Outgoing(value=text.encode(), key=key, headers=defaults.headers, group=defaults.group)


def from_json_lines(lines: Iterable[str], defaults: Defaults, *, name: str) -> Iterator[Outgoing]:
    """Make a record of each JSON object. Raises Wrong with the name of the input and the line."""
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            yield _record(json.loads(line), defaults)
        except json.JSONDecodeError as error:
            raise Wrong(f"{name}:{number}: is not JSON: {error.msg}") from None
        except ValueError as error:
            raise Wrong(f"{name}:{number}: {error}") from None


def header(text: str) -> tuple[str, bytes | None]:
    """Read `NAME=VALUE`."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise Wrong(f"--header is '{text}'; NAME=VALUE is wanted")
    return name, value.encode()


def _record(value: Any, defaults: Defaults) -> Outgoing:
    if not isinstance(value, dict):
        raise ValueError(f"is no object; an object with {', '.join(_FIELDS)} is wanted")  # noqa: TRY004 - one kind of error
    unknown = [name for name in value if name not in _FIELDS]
    if unknown:
        raise ValueError(f"'{unknown[0]}' is not known; known are {', '.join(_FIELDS)}")
    if "data" not in value:
        raise ValueError("'data' is missing; null stands for a record without a value")
    key = _text(value.get("key", defaults.key), "key")
    return Outgoing(
        value=_data(value["data"]),
        key=None if key is None else key.encode(),
        headers=(*defaults.headers, *_headers(value.get("headers", {}))),
        attributes=_attributes(value.get("attributes", {})),
        group=_text(value.get("group", defaults.group), "group"),
    )


def _data(value: Any) -> bytes | None:
    """A text is sent as it is, anything else as JSON."""
    if value is None:
        return None
    return value.encode() if isinstance(value, str) else json.dumps(value, separators=(",", ":")).encode()


def _text(value: Any, name: str) -> str | None:
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"'{name}' is {json.dumps(value)}; a text is wanted")


def _headers(value: Any) -> Iterator[tuple[str, bytes | None]]:
    """An object of texts; a list gives a name several values."""
    if not isinstance(value, dict):
        raise ValueError("'headers' is no object; names and texts are wanted")  # noqa: TRY004 - one kind of error
    for name, each in value.items():
        for one in each if isinstance(each, list) else [each]:
            text = _text(one, f"headers.{name}")
            yield name, None if text is None else text.encode()


def _attributes(value: Any) -> dict[str, Attribute]:
    if not isinstance(value, dict):
        raise ValueError("'attributes' is no object; names and texts are wanted")  # noqa: TRY004 - one kind of error
    return {name: _attribute(name, each) for name, each in value.items()}


def _attribute(name: str, value: Any) -> Attribute:
    """A text, a number, or `{"DataType": …, "StringValue" or "BinaryValue": …}` as the AWS CLI has it."""
    if isinstance(value, str):
        return Attribute("String", value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return Attribute("Number", json.dumps(value))
    match value:
        case {"DataType": str() as data_type, "StringValue": str() as text}:
            return Attribute(data_type, text)
        case {"DataType": str() as data_type, "BinaryValue": str() as text}:
            try:
                return Attribute(data_type, base64.b64decode(text, validate=True))
            except binascii.Error:
                raise ValueError(f"'attributes.{name}.BinaryValue' is not base64") from None
    raise ValueError(f"'attributes.{name}' is no text, number, or object with DataType and StringValue or BinaryValue")
