"""Records as events show them, taken apart again into what a filter asks of: data, and the rest.

Records come from a source as `Record` and `Message`; this is for those that somebody wrote down, or copied from an
event, in any of the layouts of `lambda-semantics.md §8`.
"""

from base64 import b64decode
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

from penstock.api import PenstockError
from penstock.core.patterns.data import DataKind, classify
from penstock.core.patterns.metadata import text_of, with_header_texts

Shown: TypeAlias = dict[str, Any]
TakenApart: TypeAlias = tuple[DataKind, Any, Shown]


class RecordNotShown(PenstockError):
    """What was given is no record of the event format. Its text says what is wanted."""


def take_apart(event_format: str, shown: Any) -> TakenApart:
    """Tell what the data of a shown record is, its data, and what else it carries. Raises RecordNotShown.

    An event that holds exactly one record will do as well.
    """
    record = _single(shown)
    return _FORMATS[event_format](record)


def _single(shown: Any) -> Shown:
    if not isinstance(shown, dict):
        raise RecordNotShown("is no JSON object; a record as the event shows it is wanted")
    for key in ("Records", "records", "rmqMessagesByQueue"):
        held = shown.get(key)
        if held is None:
            continue
        lists = list(held.values()) if isinstance(held, dict) else [held]
        records = [each for some in lists if isinstance(some, list) for each in some]
        if len(records) != 1 or not isinstance(records[0], dict):
            raise RecordNotShown(f"is an event of {len(records)} records; one record is wanted")
        # What the event says of all its records counts as said of each.
        return {name: value for name, value in shown.items() if name != key} | records[0]
    return shown


def _sqs(record: Shown) -> TakenApart:
    body = record.get("body")
    if not isinstance(body, str):
        raise RecordNotShown("has no text 'body', as an sqs record has")
    return *classify(body.encode("utf-8", "replace")), _without(record, "body")


def _kinesis(record: Shown) -> TakenApart:
    part = record.get("kinesis")
    if not isinstance(part, dict):
        raise RecordNotShown("has no object 'kinesis', as a kinesis record has")
    return *classify(_bytes_of(part, "data") or b""), {**_without(part, "data"), **record}


def _dynamodb(record: Shown) -> TakenApart:
    if not isinstance(record.get("dynamodb"), dict):
        raise RecordNotShown("has no object 'dynamodb', as a dynamodb record has")
    return DataKind.JSON, record["dynamodb"], _without(record, "dynamodb")


def _kafka(record: Shown) -> TakenApart:
    if "value" not in record:
        raise RecordNotShown("has no 'value', as a kafka record has")
    rest = _without(record, "value") | {"headers": _headers_of(record.get("headers", []))}
    if "key" in record:
        rest["key"] = text_of(_bytes_of(record, "key"))
    return *classify(_bytes_of(record, "value")), rest


def _rmq(record: Shown) -> TakenApart:
    if "data" not in record:
        raise RecordNotShown("has no 'data', as an rmq record has")
    rest = _without(record, "data")
    if isinstance(rest.get("basicProperties"), dict):
        try:
            rest["basicProperties"] = with_header_texts(rest["basicProperties"])
        except TypeError:
            raise RecordNotShown("has headers whose 'bytes' are no list of numbers") from None
    return *classify(_bytes_of(record, "data")), rest


_FORMATS: Mapping[str, Callable[[Shown], TakenApart]] = MappingProxyType(
    {"sqs": _sqs, "kinesis": _kinesis, "dynamodb": _dynamodb, "kafka": _kafka, "rmq": _rmq}
)


def _without(record: Shown, key: str) -> Shown:
    return {name: value for name, value in record.items() if name != key}


def _bytes_of(record: Shown, key: str) -> bytes | None:
    value = record.get(key)
    if value is None:
        return None
    try:
        return b64decode(value, validate=True)
    except (ValueError, TypeError):
        raise RecordNotShown(f"has a '{key}' that is not base64, which is how the event shows it") from None


def _headers_of(headers: Any) -> Shown:
    """Read `[{"name": [104, -1]}, …]`, signed bytes, into what a filter sees."""
    found: Shown = {}
    try:
        for header in headers:
            for name, value in header.items():
                found.setdefault(name, []).append(text_of(bytes(number % 256 for number in value)))
    except (AttributeError, TypeError):
        raise RecordNotShown("has 'headers' that are no list of names with lists of bytes") from None
    return found
