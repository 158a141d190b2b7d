"""The `kinesis` layout (`lambda-semantics.md §8.1`): any stream's records as those of a Kinesis shard.

How a record that never was on Kinesis is shown:

- `sequenceNumber` is the position as plain decimal digits, which is what a partial response names;
- `partitionKey` is the key as UTF-8 text, or as base64 where it is not UTF-8, so that different keys stay different;
  a record without a key has the empty text;
- a record without a value has empty `data`;
- a shard that the plugin knows by a number is called as AWS would, `shardId-000000000007`.
"""

from binascii import b2a_base64
from collections.abc import Sequence

import msgspec

from penstock.api import Record
from penstock.core.events.layout import POSITION_DIGITS_MAX, Origin, base64_bytes, encode_json, whole_number
from penstock.core.events.window import WindowFrame, window_members

# A control character in a key is written as `\u0000`.
RAW_BYTE_FACTOR = 6
TIMESTAMP_BYTES_MAX = 24
"""The longest text of a floating-point number: a sign, 17 digits, a point and an exponent."""


class KinesisData(msgspec.Struct, gc=False, rename="camel"):
    """What the stream holds of a record."""

    kinesis_schema_version: str
    partition_key: str
    sequence_number: str
    data: bytes
    approximate_arrival_timestamp: float


class KinesisRecord(msgspec.Struct, gc=False, rename="camel"):
    """One element of `Records`. The order of the fields is the order in the event."""

    kinesis: KinesisData
    event_source: str
    event_version: str
    event_id: str = msgspec.field(name="eventID")
    event_name: str
    invoke_identity_arn: str
    aws_region: str
    event_source_arn: str = msgspec.field(name="eventSourceARN")


class KinesisEvent(msgspec.Struct, gc=False, rename="pascal"):
    """The whole event."""

    records: list[KinesisRecord]


class KinesisLayout:
    """Builds the events of one shard."""

    def __init__(self, origin: Origin) -> None:
        self._shard = shard_id(origin)
        self._role_arn = origin.role_arn
        self._region = origin.region
        self._source_arn = origin.source_arn
        self._frame_bytes = len(self.encode([]))
        empty = Record(position=0, value=None, key=None, timestamp_ms=0)
        # Without the sequence number, which is there twice, and without the time "0.0".
        self._constant_bytes = len(encode_json(self._element(empty))) + 1 - len("0" + "0" + "0.0")

    def encode(self, records: Sequence[Record]) -> bytes:
        return encode_json(KinesisEvent([self._element(record) for record in records]))

    def frame_bytes(self) -> int:
        return self._frame_bytes

    def record_bytes(self, record: Record) -> int:
        return (
            self._constant_bytes
            + 2 * len(str(record.position))
            + len(encode_json(record.timestamp_ms / 1000))
            + (len(encode_json(partition_key(record.key))) - len('""'))
            + (base64_bytes(record.value) if record.value else 0)
        )

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        record_most = self._constant_bytes + 2 * POSITION_DIGITS_MAX + TIMESTAMP_BYTES_MAX
        return count * record_most + RAW_BYTE_FACTOR * bytes_count

    def position_of(self, identifier: object) -> int | None:
        return whole_number(identifier)

    def window_members(self, frame: WindowFrame) -> bytes:
        return window_members(frame, shard_id=self._shard, source_arn=self._source_arn)

    def _element(self, record: Record) -> KinesisRecord:
        sequence = str(record.position)
        data = KinesisData("1.0", partition_key(record.key), sequence, record.value or b"", record.timestamp_ms / 1000)
        return KinesisRecord(
            data,
            "aws:kinesis",
            "1.0",
            f"{self._shard}:{sequence}",
            "aws:kinesis:record",
            self._role_arn,
            self._region,
            self._source_arn,
        )


def shard_id(origin: Origin) -> str:
    """Name a shard as Kinesis does where it has a number (a Kafka partition's, or its own name), else as it is."""
    if origin.topic:
        return f"shardId-{origin.partition:012d}"
    return f"shardId-{origin.shard:0>12}" if origin.shard.isdecimal() else origin.shard


def partition_key(key: bytes | None) -> str:
    """Write a record's key as text."""
    if key is None:
        return ""
    try:
        return key.decode()
    except UnicodeDecodeError:
        return b2a_base64(key, newline=False).decode()
