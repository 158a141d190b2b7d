"""What a record carries beside its data, as patterns name it: by the names of the event, and nothing that is not asked.

Names and values are those of the event that the function gets (`lambda-semantics.md §8`), except where the event shows
bytes: a Kafka record's `key` is its text, and `headers` is an object of names, each with a list of texts, so that a
pattern may ask of several headers at once; a RabbitMQ message's headers are texts and numbers. Bytes that are not UTF-8
are shown as base64. The fields of a Kinesis record stand at the top (`partitionKey`), where AWS's filters look for
them, and in `kinesis` as well.
"""

from binascii import b2a_base64
from collections.abc import Callable, Collection, Mapping
from hashlib import md5
from types import MappingProxyType
from typing import Any, TypeAlias, TypeVar

from penstock.api import Attribute, Message, Record
from penstock.core.events import Origin
from penstock.core.events.kinesis import partition_key, shard_id
from penstock.core.events.layout import encode_json
from penstock.core.events.rmq import show_properties, was_run_before
from penstock.core.events.sqs import ENCODED_ATTRIBUTES, md5_of_attributes, show_attribute
from penstock.core.patterns.data import decode_json

T = TypeVar("T", Record, Message)
Build: TypeAlias = Callable[[T, Origin], Any]


def text_of(data: bytes | None) -> str | None:
    """Show bytes as text, or as base64 where they are not UTF-8."""
    if data is None:
        return None
    try:
        return data.decode()
    except UnicodeDecodeError:
        return b2a_base64(data, newline=False).decode()


def headers_of(record: Record) -> dict[str, list[str | None]]:
    """Show headers as an object; a name that is repeated has several texts, one without a value null."""
    shown: dict[str, list[str | None]] = {}
    for name, value in record.headers:
        shown.setdefault(name, []).append(text_of(value))
    return shown


def _kinesis_part(record: Record, origin: Origin) -> dict[str, Any]:
    names = ("kinesisSchemaVersion", "partitionKey", "sequenceNumber", "approximateArrivalTimestamp")
    data = b2a_base64(record.value or b"", newline=False).decode()
    return {name: _KINESIS[name](record, origin) for name in names} | {"data": data}


def _attributes_of(message: Message, origin: Origin) -> dict[str, str]:
    arn_parts = origin.source_arn.split(":")
    shown = {
        "ApproximateReceiveCount": str(message.receive_count),
        "SentTimestamp": str(message.sent_ms),
        "SequenceNumber": message.sequence,
        "MessageGroupId": message.group,
        "SenderId": arn_parts[4] if len(arn_parts) > 4 else "",
        "MessageDeduplicationId": message.deduplication_id,
        "ApproximateFirstReceiveTimestamp": str(message.first_received_ms),
    }
    return {name: value for name, value in shown.items() if value is not None}


def _shown_attributes(message: Message) -> Mapping[str, Attribute]:
    try:
        message.body.decode()
    except UnicodeDecodeError:
        return {**message.attributes, **ENCODED_ATTRIBUTES}
    return message.attributes


def _message_attributes_of(message: Message) -> dict[str, Any]:
    shown = {name: show_attribute(attribute) for name, attribute in _shown_attributes(message).items()}
    # As JSON and back: what a filter sees are lists and texts, whatever the event was made of.
    return dict(decode_json(encode_json(shown)))


def _md5_of_attributes(message: Message) -> str | None:
    attributes = _shown_attributes(message)
    return md5_of_attributes(attributes) if attributes else None


def _md5_of_body(message: Message) -> str:
    shown = text_of(message.body) or ""
    return md5(shown.encode(), usedforsecurity=False).hexdigest()


def _basic_properties_of(message: Message) -> dict[str, Any]:
    return dict(with_header_texts(decode_json(encode_json(show_properties(message)))))


def with_header_texts(properties: dict[str, Any]) -> dict[str, Any]:
    """Turn the byte lists of a shown message's headers back into texts. Raises where they are no numbers."""
    headers = properties.get("headers")
    return properties if headers is None else {**properties, "headers": _header_text(headers)}


def _header_text(value: Any) -> Any:
    if isinstance(value, list):
        return [_header_text(each) for each in value]
    if not isinstance(value, dict):
        return value
    if list(value) == ["bytes"] and isinstance(value["bytes"], list):
        return text_of(bytes(number % 256 for number in value["bytes"]))
    return {name: _header_text(each) for name, each in value.items()}


_KAFKA: Mapping[str, Build[Record]] = MappingProxyType(
    {
        "topic": lambda _, origin: origin.topic,
        "partition": lambda _, origin: origin.partition,
        "offset": lambda record, _: record.position,
        "timestamp": lambda record, _: record.timestamp_ms,
        "timestampType": lambda record, _: record.timestamp_type,
        "key": lambda record, _: text_of(record.key),
        "headers": lambda record, _: headers_of(record),
        "eventSource": lambda _, __: "SelfManagedKafka",
        "bootstrapServers": lambda _, origin: origin.bootstrap_servers,
    }
)
_KINESIS: Mapping[str, Build[Record]] = MappingProxyType(
    {
        "kinesis": _kinesis_part,
        "kinesisSchemaVersion": lambda _, __: "1.0",
        "partitionKey": lambda record, _: partition_key(record.key),
        "sequenceNumber": lambda record, _: str(record.position),
        "approximateArrivalTimestamp": lambda record, _: record.timestamp_ms / 1000,
        "eventSource": lambda _, __: "aws:kinesis",
        "eventVersion": lambda _, __: "1.0",
        "eventID": lambda record, origin: f"{shard_id(origin)}:{record.position}",
        "eventName": lambda _, __: "aws:kinesis:record",
        "invokeIdentityArn": lambda _, origin: origin.role_arn,
        "awsRegion": lambda _, origin: origin.region,
        "eventSourceARN": lambda _, origin: origin.source_arn,
    }
)
_SQS: Mapping[str, Build[Message]] = MappingProxyType(
    {
        "messageId": lambda message, _: message.message_id,
        "receiptHandle": lambda message, _: message.receipt,
        "attributes": _attributes_of,
        "messageAttributes": lambda message, _: _message_attributes_of(message),
        "md5OfMessageAttributes": lambda message, _: _md5_of_attributes(message),
        "md5OfBody": lambda message, _: _md5_of_body(message),
        "eventSource": lambda _, __: "aws:sqs",
        "eventSourceARN": lambda _, origin: origin.source_arn,
        "awsRegion": lambda _, origin: origin.region,
    }
)
_RMQ: Mapping[str, Build[Message]] = MappingProxyType(
    {
        "basicProperties": lambda message, _: _basic_properties_of(message),
        "redelivered": lambda message, _: was_run_before(message),
        "eventSource": lambda _, __: "aws:rmq",
        "eventSourceArn": lambda _, origin: origin.source_arn,
    }
)
RECORDS: Mapping[str, Mapping[str, Build[Record]]] = MappingProxyType({"kafka": _KAFKA, "kinesis": _KINESIS})
MESSAGES: Mapping[str, Mapping[str, Build[Message]]] = MappingProxyType({"sqs": _SQS, "rmq": _RMQ})


def builder(
    event_format: str, names: Collection[str], origin: Origin
) -> Callable[[Record | Message], dict[str, Any]] | None:
    """Make what builds the wanted names of a record; None where nothing is wanted."""
    table: Mapping[str, Callable[[Any, Origin], Any]] = RECORDS.get(event_format) or MESSAGES.get(event_format) or {}
    wanted = [(name, table[name]) for name in names if name in table]
    if not wanted:
        return None
    return lambda record: {name: build(record, origin) for name, build in wanted}
