"""The `sqs` layout (`lambda-semantics.md §8.3, §8.4`): a queue's messages as those of an SQS queue.

A body that is not UTF-8 is shown as base64, and the message attribute `penstock.encoding` says so (`D15`); both
checksums are then those of what the function sees, so that code which verifies them is content. `SenderId` is the
account of the queue's ARN. Of a message without attributes `md5OfMessageAttributes` is null where the mapping has a
batching window or a filter, and else not there, as AWS was recorded to do.
"""

from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from hashlib import md5

import msgspec

from penstock.api import Attribute, Message
from penstock.core.events.layout import Origin, encode_json

# A control character becomes six; the frame of an attribute is less than six times what `raw_bytes` adds for it.
RAW_BYTE_FACTOR = 6
COUNT_DIGITS_MAX = 20

ENCODED_ATTRIBUTES = {"penstock.encoding": Attribute("String", "base64")}


class SystemAttributes(msgspec.Struct, gc=False, rename="pascal"):
    """A record's `attributes`; those of FIFO queues are left out where they are not set."""

    approximate_receive_count: str
    sent_timestamp: str
    sequence_number: str | msgspec.UnsetType
    message_group_id: str | msgspec.UnsetType
    sender_id: str
    message_deduplication_id: str | msgspec.UnsetType
    approximate_first_receive_timestamp: str


class MessageAttribute(msgspec.Struct, gc=False, rename="camel"):
    """One of a record's `messageAttributes`: a text or bytes, and the two lists that SQS never fills."""

    string_value: str | msgspec.UnsetType
    binary_value: bytes | msgspec.UnsetType
    string_list_values: tuple[str, ...]
    binary_list_values: tuple[bytes, ...]
    data_type: str


class SqsRecord(msgspec.Struct, gc=False, rename="camel"):
    """One element of `Records`. The order of the fields is the order in the event."""

    message_id: str
    receipt_handle: str
    body: str
    attributes: SystemAttributes
    message_attributes: dict[str, MessageAttribute]
    md5_of_message_attributes: str | msgspec.UnsetType | None
    md5_of_body: str
    event_source: str
    event_source_arn: str = msgspec.field(name="eventSourceARN")
    aws_region: str


class SqsEvent(msgspec.Struct, gc=False, rename="pascal"):
    """The whole event."""

    records: list[SqsRecord]


class SqsLayout:
    """Builds the events of one queue."""

    def __init__(self, origin: Origin) -> None:
        self._source_arn = origin.source_arn
        self._region = origin.region
        self._md5_of_none = msgspec.UNSET if origin.leaves_out_unset else None
        arn_parts = origin.source_arn.split(":")
        self._sender = arn_parts[4] if len(arn_parts) > 4 else ""
        self._frame_bytes = len(self.encode([]))
        # The longest message without raw bytes: every attribute there, the body as base64.
        largest = 10**COUNT_DIGITS_MAX - 1
        longest = Message("", "", b"\xff", largest, largest, largest, {}, group="", deduplication_id="", sequence="")
        self._record_bytes_most = self.record_bytes(longest)

    def encode(self, records: Sequence[Message]) -> bytes:
        return encode_json(SqsEvent([self._element(message) for message in records]))

    def frame_bytes(self) -> int:
        return self._frame_bytes

    def record_bytes(self, record: Message) -> int:
        return len(encode_json(self._element(record))) + len(",")

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        return count * self._record_bytes_most + RAW_BYTE_FACTOR * bytes_count

    def _element(self, message: Message) -> SqsRecord:
        attributes = message.attributes
        try:
            body = message.body.decode()
            body_bytes = message.body
        except UnicodeDecodeError:
            body_bytes = b2a_base64(message.body, newline=False)
            body = body_bytes.decode()
            attributes = {**attributes, **ENCODED_ATTRIBUTES}
        return SqsRecord(
            message.message_id,
            message.receipt,
            body,
            self._system_attributes(message),
            {name: show_attribute(attribute) for name, attribute in attributes.items()},
            md5_of_attributes(attributes) if attributes else self._md5_of_none,
            md5(body_bytes, usedforsecurity=False).hexdigest(),
            "aws:sqs",
            self._source_arn,
            self._region,
        )

    def _system_attributes(self, message: Message) -> SystemAttributes:
        unset = msgspec.UNSET
        return SystemAttributes(
            str(message.receive_count),
            str(message.sent_ms),
            unset if message.sequence is None else message.sequence,
            unset if message.group is None else message.group,
            self._sender,
            unset if message.deduplication_id is None else message.deduplication_id,
            str(message.first_received_ms),
        )


def show_attribute(attribute: Attribute) -> MessageAttribute:
    """Write a message attribute as events have it: numbers too are text, bytes are base64."""
    value = attribute.value
    if isinstance(value, bytes):
        return MessageAttribute(msgspec.UNSET, value, (), (), attribute.data_type)
    return MessageAttribute(value, msgspec.UNSET, (), (), attribute.data_type)


def md5_of_attributes(attributes: Mapping[str, Attribute]) -> str:
    """Compute the checksum that SQS and its clients compare: by name, each part with its length before it."""
    digest = md5(usedforsecurity=False)
    for name, attribute in sorted(attributes.items()):
        transport = b"\x02" if isinstance(attribute.value, bytes) else b"\x01"
        value = attribute.value if isinstance(attribute.value, bytes) else attribute.value.encode()
        digest.update(_with_length(name.encode()))
        digest.update(_with_length(attribute.data_type.encode()))
        digest.update(transport + _with_length(value))
    return digest.hexdigest()


def _with_length(part: bytes) -> bytes:
    return len(part).to_bytes(4, "big") + part
