"""What an event layout is: records in, the event's bytes out (`lambda-semantics.md §8`).

A layout belongs to one mapping, and on a stream to one shard, so that all that is the same for each record is known
when it is made. It is a pure function of the records.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

import msgspec

from penstock.api import Attribute, Message, Record

if TYPE_CHECKING:
    from penstock.core.events.window import WindowFrame

T_contra = TypeVar("T_contra", Record, Message, contravariant=True)

POSITION_DIGITS_MAX = 64
"""The most digits of a position that `Layout.records_bytes_most` reckons with; Kinesis' own have 56."""
TIMESTAMP_DIGITS_MAX = 20
"""A signed 64-bit number of milliseconds."""

ATTRIBUTE_BYTES = 20
PROPERTY_BYTES = 12

encode_json = msgspec.json.Encoder().encode
"""Turns structs and plain values into compact JSON; bytes become base64. One encoder serves every layout."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where records come from, as events name it.

    `source_arn` and `role_arn` are ARNs; `shard` is the plugin's name of the shard ("" for a queue); `topic`,
    `partition` and `bootstrap_servers` are Kafka's, `queue` and `virtual_host` RabbitMQ's, filled where the source has
    them. `leaves_out_unset` is of a mapping that has neither a batching window nor a filter, as SQS's events show.
    """

    source_arn: str
    region: str
    role_arn: str = ""
    shard: str = ""
    topic: str = ""
    partition: int = 0
    bootstrap_servers: str = ""
    queue: str = ""
    virtual_host: str = "/"
    leaves_out_unset: bool = False


class Layout(Protocol, Generic[T_contra]):
    """Builds the events of one mapping (and shard)."""

    def encode(self, records: Sequence[T_contra]) -> bytes:
        """Build the event's JSON, compact, in UTF-8."""

    def frame_bytes(self) -> int:
        """Tell the size of an event without records, in bytes."""

    def record_bytes(self, record: T_contra) -> int:
        """Tell exactly how many bytes one record adds to an event, with the comma behind it."""

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        """Tell, without looking at them, the most that `count` records with `bytes_count` raw bytes could add.

        Cheap and generous: where this is below the limit, no record has to be looked at one by one. `bytes_count` is
        the sum of `raw_bytes` of the records. It holds for positions of up to `POSITION_DIGITS_MAX` digits, and where
        no header or attribute has an empty name or type.
        """


class StreamLayout(Layout[Record], Protocol):
    """Builds the events of one shard, and reads what a function says of its records."""

    def position_of(self, identifier: object) -> int | None:
        """Tell which position a response's `itemIdentifier` means (D5); None for what can be none of this shard."""

    def window_members(self, frame: "WindowFrame") -> bytes:
        """Write what a tumbling window adds behind an event's own members (`lambda-semantics.md §3.7`)."""


def whole_number(text: object) -> int | None:
    """Read a text of plain decimal digits, as a layout writes a position."""
    # `int` would take signs, spaces and underscores, and other scripts' digits.
    return int(text) if isinstance(text, str) and text.isascii() and text.isdigit() else None


def raw_bytes(record: Record | Message) -> int:
    """Count what a record holds of its own: key, value and headers, or all texts of a message; texts as UTF-8.

    A message's attribute counts for `ATTRIBUTE_BYTES` more, since even an empty one makes an event grow; so does each
    value in its properties for `PROPERTY_BYTES`.
    """
    if isinstance(record, Record):
        headers = sum(len(name.encode()) + len(value or b"") for name, value in record.headers)
        return len(record.key or b"") + len(record.value or b"") + headers
    # Text by text, and nothing that is not there: a loop over them would take twice as long for a plain message.
    size = len(record.body) + len(record.message_id.encode()) + len(record.receipt.encode())
    if record.attributes:
        size += sum(map(_attribute_bytes, record.attributes.items()))
    if record.group is not None:
        size += len(record.group.encode())
    if record.deduplication_id is not None:
        size += len(record.deduplication_id.encode())
    if record.sequence is not None:
        size += len(record.sequence.encode())
    return size if record.properties is None else size + value_bytes(record.properties)


def _attribute_bytes(item: tuple[str, Attribute]) -> int:
    name, attribute = item
    return ATTRIBUTE_BYTES + len(name.encode()) + len(attribute.data_type.encode()) + text_bytes(attribute.value)


def value_bytes(value: object) -> int:
    """Count the bytes of all texts and bytes in a value, and `PROPERTY_BYTES` for each that it is made of."""
    if isinstance(value, str | bytes):
        return PROPERTY_BYTES + text_bytes(value)
    if isinstance(value, Mapping):
        names = sum(text_bytes(name) for name in value)
        return PROPERTY_BYTES + names + sum(map(value_bytes, value.values()))
    if isinstance(value, Sequence):
        return PROPERTY_BYTES + sum(map(value_bytes, value))
    return PROPERTY_BYTES


def text_bytes(text: str | bytes) -> int:
    """Count the bytes of a text in UTF-8, or of bytes."""
    return len(text) if isinstance(text, bytes) else len(text.encode())


def base64_bytes(data: bytes | None) -> int:
    """Count what a value adds to the two quotes of an empty JSON text: its base64, or null in place of the quotes."""
    return len("null") - len('""') if data is None else 4 * ((len(data) + 2) // 3)
