"""A record's data, read: JSON where it is JSON, else text, else only bytes (`lambda-semantics.md §6.2`)."""

import json
import re
from enum import Enum
from typing import Any, NoReturn

import msgspec

from penstock.core.patterns.numbers import read_integer

decode_json = msgspec.json.Decoder().decode
"""Reads nearly all JSON, quickly; what it can not hold raises a ValueError, and `read_json` can."""
CAN_NOT_READ = (ValueError, RecursionError)

_BEGINS_LIKE_JSON = re.compile(rb"[ \t\n\r]*[{\[]")


class DataKind(Enum):
    """What a record's data is, as far as filters tell.

    A single number, text or `true` is TEXT, although it is JSON too: a filter on plain text can say something of it,
    and a filter on fields can not.
    """

    JSON = "JSON"
    TEXT = "plain text"
    BINARY = "not UTF-8"
    NONE = "no value"


def read_json(raw: bytes) -> Any:
    """Read JSON of any kind. Raises ValueError for what is none, and for what is nested beyond all reading."""
    try:
        return decode_json(raw)
    except CAN_NOT_READ:
        pass
    # Numbers beyond the range of doubles, integers of hundreds of digits and lone surrogates are JSON all the same.
    try:
        return json.loads(raw.decode(), parse_int=read_integer, parse_constant=_no_constant)
    except RecursionError:
        raise ValueError("nested too deep to be read") from None


def classify(raw: bytes | None) -> tuple[DataKind, Any]:
    """Tell what data is, and give it as a filter sees it; bytes that are no text are given as they are."""
    if raw is None:
        return DataKind.NONE, None
    if _BEGINS_LIKE_JSON.match(raw):
        try:
            return DataKind.JSON, read_json(raw)
        except ValueError:
            pass
    try:
        return DataKind.TEXT, raw.decode()
    except UnicodeDecodeError:
        return DataKind.BINARY, raw


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
