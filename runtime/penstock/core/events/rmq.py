"""The `rmq` layout: what AWS sends for a queue of a RabbitMQ broker (`lambda-semantics.md §8.6`).

Where AWS's documentation is silent:

- every property is there, and null where the message has none; so are headers;
- bytes of a header are signed, -128 to 127, as the JVM that AWS uses writes them;
- a header that is a time is written as the property `timestamp` is, tables and lists hold values of the same forms.

What differs: `messageId` is the name that a partial response has for the message, so it is ours where the producer set
none (D15), and `redelivered` also says that we ran the message before, since a retry here needs no broker (D26).
"""

from calendar import timegm
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec

from penstock.api import Message
from penstock.core.events.instants import english
from penstock.core.events.layout import Origin, encode_json

# A control character becomes six, a byte of a header at most five; `raw_bytes` adds for a header's frame.
RAW_BYTE_FACTOR = 6
WHOLE_NUMBER_MOST = 2**64 - 1
TIME_DIGITS = len("31 12")
"""By so much the English of one time may be longer than that of another in the same year."""

NO_PROPERTIES: Mapping[str, Any] = {}
SIGNED = tuple(str(byte - 256 if byte > 127 else byte) for byte in range(256))


class BasicProperties(msgspec.Struct, gc=False, rename="camel"):
    """A message's `basicProperties`. The order of the fields is the order in the event."""

    content_type: str | None
    content_encoding: str | None
    headers: dict[str, Any] | None
    delivery_mode: int | None
    priority: int | None
    correlation_id: str | None
    reply_to: str | None
    expiration: str | None
    message_id: str
    timestamp: str | None
    type: str | None
    user_id: str | None
    app_id: str | None
    cluster_id: str | None
    body_size: int


class RmqMessage(msgspec.Struct, gc=False, rename="camel"):
    """One element of a queue's list."""

    basic_properties: BasicProperties
    redelivered: bool
    data: bytes


class RmqEvent(msgspec.Struct, gc=False, rename="camel"):
    """The whole event; `rmq_messages_by_queue` has the one key `<queue>::<virtual host>`."""

    event_source: str
    event_source_arn: str
    rmq_messages_by_queue: dict[str, list[RmqMessage]]


class RmqLayout:
    """Builds the events of one queue. A queue without a name of its own is called as its ARN ends."""

    def __init__(self, origin: Origin) -> None:
        self._source_arn = origin.source_arn
        self._queue = f"{origin.queue or origin.source_arn.rpartition(':')[2]}::{origin.virtual_host}"
        self._frame_bytes = len(self.encode([]))
        # The longest message without raw bytes: null is longer than an empty text, and False than True.
        numbers = dict.fromkeys(("delivery_mode", "priority", "timestamp"), WHOLE_NUMBER_MOST)
        longest = self.record_bytes(Message("", "", b"", 1, 0, 0, properties={**numbers, "headers": {}}))
        self._record_bytes_most = longest + len(str(WHOLE_NUMBER_MOST)) + len("null") + TIME_DIGITS

    def encode(self, records: Sequence[Message]) -> bytes:
        elements = [show_message(message) for message in records]
        return encode_json(RmqEvent("aws:rmq", self._source_arn, {self._queue: elements}))

    def frame_bytes(self) -> int:
        return self._frame_bytes

    def record_bytes(self, record: Message) -> int:
        return len(encode_json(show_message(record))) + len(",")

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        return count * self._record_bytes_most + RAW_BYTE_FACTOR * bytes_count


def show_message(message: Message) -> RmqMessage:
    """Write a message as events have it."""
    return RmqMessage(show_properties(message), was_run_before(message), message.body)


def show_properties(message: Message) -> BasicProperties:
    """Write a message's properties as events have them."""
    get = (message.properties or NO_PROPERTIES).get
    headers, timestamp_s = get("headers"), get("timestamp")
    return BasicProperties(
        get("content_type"),
        get("content_encoding"),
        None if headers is None else {name: show_value(value) for name, value in headers.items()},
        get("delivery_mode"),
        get("priority"),
        get("correlation_id"),
        get("reply_to"),
        get("expiration"),
        message.message_id,
        None if timestamp_s is None else english(timestamp_s),
        get("type"),
        get("user_id"),
        get("app_id"),
        get("cluster_id"),
        len(message.body),
    )


def was_run_before(message: Message) -> bool:
    """Tell whether anybody had the message before: the broker says so, or we ran it."""
    return message.redelivered or message.receive_count > 1


def show_value(value: Any) -> Any:
    """Write a header's value as events have it: texts and bytes as a list of bytes, numbers plain."""
    shown: Any
    match value:
        case str():
            shown = {"bytes": signed_bytes(value.encode())}
        case bytes():
            shown = {"bytes": signed_bytes(value)}
        case Mapping():
            shown = {name: show_value(each) for name, each in value.items()}
        case list():
            shown = [show_value(each) for each in value]
        case Decimal():
            shown = msgspec.Raw(str(value).encode())
        # A `datetime`, without the module that has a clock; one without a zone is in UTC.
        case _ if hasattr(value, "utctimetuple"):
            shown = english(timegm(value.utctimetuple()))
        case _:
            shown = value
    return shown


def signed_bytes(data: bytes) -> msgspec.Raw:
    """Build the JSON list of bytes, as signed numbers."""
    return msgspec.Raw(b"[%b]" % ",".join([SIGNED[byte] for byte in data]).encode())
