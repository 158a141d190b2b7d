"""AMQP messages and ours: what is a message's id, its group, its attributes, its time, its count.

A header is an attribute: text a String, a number a Number, bytes a Binary; a table or a list is none. What AMQP's types
do not say, `Number` of a text or `Binary.png`, stands beside them in the header `penstock.types`.
"""

import decimal
import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

from penstock.api import Attribute, Message, Outgoing
from penstock_rabbitmq.pika_types import BasicProperties
from penstock_rabbitmq.settings import ROUTING_KEY, Settings

GROUP = "MessageGroupId"
DEDUPLICATION = "MessageDeduplicationId"
TYPES = "penstock.types"
SENT = "timestamp_in_ms"
"""As RabbitMQ's own interceptor calls it."""
DELIVERIES = "x-delivery-count"
ACQUIRED = "x-acquired-count"
MOVED = "penstock.moved"
"""What a message that went through a delay queue was before (see `delayed.py`)."""
HIDDEN = frozenset({TYPES, SENT, DELIVERIES, ACQUIRED, MOVED})
"""Headers that say how a message came here, and not what it is."""
_INT64 = range(-(1 << 63), 1 << 63)
_PERSISTENT = 2
_TAG_BITS = 48

NAMES = (
    "content_type",
    "content_encoding",
    "delivery_mode",
    "priority",
    "correlation_id",
    "reply_to",
    "expiration",
    "message_id",
    "timestamp",
    "type",
    "user_id",
    "app_id",
    "cluster_id",
)


class Delivery(msgspec.Struct, gc=False):
    """A message as it came, until it is settled. `runs` are those that we know of beyond what the broker counts.

    `turns` says how often it was given out and taken back here; a handle is its tag and that, so that an old handle
    stands for nothing. `was_moved`: it came back by a delay queue;
    `was_run`: before it was taken back the last time.
    """

    tag: int
    redelivered: bool
    routing_key: str
    properties: Any
    body: bytes
    arrived_s: float
    turns: int = 0
    runs: int = 0
    was_moved: bool = False
    was_run: bool = False
    message_id: str = ""
    first_received_ms: int = 0

    @property
    def handle(self) -> int:
        """Name it while it is given out."""
        return self.turns << _TAG_BITS | self.tag


def tag_of(handle: int) -> int:
    """Give the broker's tag of a handle."""
    return handle & (1 << _TAG_BITS) - 1


class Reader:
    """Makes messages of deliveries, as one queue's settings want it."""

    def __init__(self, settings: Settings) -> None:
        """Take the settings that say what is a group."""
        self._is_fifo = settings.is_fifo
        self._group_from = settings.group_from

    def message(self, delivery: Delivery, *, receipt: str, now_ms: int) -> Message:
        """Make the message of a delivery. One without an id is given one, which is this delivery's alone."""
        properties = delivery.properties
        headers: Mapping[str, Any] = properties.headers or {}
        if not delivery.message_id:
            delivery.message_id = properties.message_id or uuid.uuid4().hex
        if not delivery.first_received_ms:
            delivery.first_received_ms = now_ms
        group = deduplication = None
        if self._is_fifo:
            # Messages without a group are one group, so that they keep the order that was asked for.
            group = self._group(delivery, headers)
            if DEDUPLICATION in headers:
                deduplication = _text(headers[DEDUPLICATION])
        return Message(
            message_id=delivery.message_id,
            receipt=receipt,
            body=delivery.body,
            receive_count=receive_count(delivery),
            sent_ms=_sent_ms(properties, headers, delivery.first_received_ms),
            first_received_ms=delivery.first_received_ms,
            attributes=self._attributes(headers) if headers else {},
            group=group,
            deduplication_id=deduplication,
            redelivered=delivery.redelivered or delivery.was_moved or delivery.runs > 0,
            properties=_properties(properties),
        )

    def _group(self, delivery: Delivery, headers: Mapping[str, Any]) -> str:
        if self._group_from == ROUTING_KEY:
            return delivery.routing_key
        if self._group_from.startswith("properties."):
            return _text(getattr(delivery.properties, self._group_from.removeprefix("properties.")))
        return _text(headers.get(self._group_from))

    def _attributes(self, headers: Mapping[str, Any]) -> dict[str, Attribute]:
        types = headers.get(TYPES)
        attributes = {}
        for name, value in headers.items():
            if name in HIDDEN or (self._is_fifo and name in {self._group_from, DEDUPLICATION}):
                continue
            attribute = _attribute(value, types.get(name) if isinstance(types, dict) else None)
            if attribute is not None:
                attributes[name] = attribute
        return attributes


def properties_of(message: Outgoing, *, message_id: str, group_from: str, now_ms: int) -> Any:
    """Make the properties that carry a message: persistent, and with an id that lets its runs be counted."""
    headers: dict[str, Any] = {}
    types: dict[str, str] = {}
    for name, attribute in message.attributes.items():
        headers[name], is_said = _header(attribute)
        if not is_said:
            types[name] = attribute.data_type
    if types:
        headers[TYPES] = types
    headers[SENT] = now_ms
    properties = BasicProperties(
        message_id=message_id, delivery_mode=_PERSISTENT, timestamp=now_ms // 1000, headers=headers
    )
    if message.group is not None:
        if group_from.startswith("properties."):
            setattr(properties, group_from.removeprefix("properties."), message.group)
        else:
            headers[group_from] = message.group
    if message.deduplication_id is not None:
        headers[DEDUPLICATION] = message.deduplication_id
    return properties


def receive_count(delivery: Delivery) -> int:
    """Count this delivery: an upper bound of its runs, since a broker counts what was never run too (D22)."""
    deliveries = (delivery.properties.headers or {}).get(DELIVERIES)
    if isinstance(deliveries, int):
        return deliveries + 1 + delivery.runs
    return (2 if delivery.redelivered else 1) + delivery.runs


def _sent_ms(properties: Any, headers: Mapping[str, Any], first_received_ms: int) -> int:
    sent_ms = headers.get(SENT)
    if isinstance(sent_ms, int) and sent_ms > 0:
        return sent_ms
    # Where nobody says when it was sent: no later than this.
    return properties.timestamp * 1000 if properties.timestamp else first_received_ms


def _properties(properties: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if properties.headers is not None:
        found["headers"] = properties.headers
    for name in NAMES:
        value = getattr(properties, name)
        if value is not None:
            found[name] = value
    return found


def _attribute(value: Any, data_type: str | None) -> Attribute | None:
    match value:
        case str():
            return Attribute(data_type or "String", value)
        case bytes():
            return Attribute(data_type or "Binary", value)
        case bool():
            return Attribute("String", "true" if value else "false")
        case int() | float() | decimal.Decimal():
            return Attribute(data_type or "Number", str(value))
        case datetime():
            return Attribute("Number", str(int(value.timestamp())))
        case _:
            return None


def _header(attribute: Attribute) -> tuple[Any, bool]:
    """Give a header's value, and whether its own type says what the attribute's is."""
    value = attribute.value
    if isinstance(value, bytes):
        return value, attribute.data_type == "Binary"
    if attribute.data_type == "Number" and value.lstrip("-").isdecimal() and value.isascii():
        number = int(value)
        if str(number) == value and number in _INT64:
            return number, True
    return value, attribute.data_type == "String"


def _text(value: Any) -> str:
    if isinstance(value, bytes):
        return value.decode(errors="backslashreplace")
    return "" if value is None else str(value)
