"""The `kafka` layout: what AWS sends for a self-managed Kafka cluster (`lambda-semantics.md §8.5`).

An event holds one partition (`D7`).

Where AWS's documentation is silent:

- `key` and `value` are always there, and null where the record has none, so that code may index them;
- a header without a value is an empty list, since every published decoder iterates over what it finds there;
- bytes of a header are signed, -128 to 127, as the JVM that AWS uses writes them.
"""

from collections.abc import Sequence

import msgspec

from penstock.api import Record
from penstock.core.events.layout import (
    POSITION_DIGITS_MAX,
    TIMESTAMP_DIGITS_MAX,
    Origin,
    base64_bytes,
    encode_json,
    whole_number,
)
from penstock.core.events.window import WindowFrame, window_members

# The costliest raw byte is the name of a header without a value: `{"\u0000":[]},` makes 14 bytes of one.
RAW_BYTE_FACTOR = 14

HEADERS_NONE = msgspec.Raw(b"[]")
SIGNED = tuple(str(byte - 256 if byte > 127 else byte) for byte in range(256))


class KafkaRecord(msgspec.Struct, gc=False, rename="camel"):
    """One element of a partition's list. The order of the fields is the order in the event."""

    topic: str
    partition: int
    offset: int
    timestamp: int
    timestamp_type: str
    key: bytes | None
    value: bytes | None
    headers: msgspec.Raw


class KafkaEvent(msgspec.Struct, gc=False, rename="camel"):
    """The whole event; `records` has the one key `<topic>-<partition>`."""

    event_source: str
    bootstrap_servers: str
    records: dict[str, list[KafkaRecord]]


class KafkaLayout:
    """Builds the events of one Kafka partition."""

    def __init__(self, origin: Origin) -> None:
        self._topic = origin.topic
        self._partition = origin.partition
        self._bootstrap_servers = origin.bootstrap_servers
        self._source_arn = origin.source_arn
        self._shard = f"{origin.topic}-{origin.partition}"
        self._frame_bytes = len(self.encode([]))
        empty = Record(position=0, value=b"", key=b"", timestamp_ms=0, timestamp_type="CREATE_TIME")
        # With the comma; without the digits and the name of the type, which differ.
        self._constant_bytes = len(self.encode([empty])) - self._frame_bytes + 1 - len("0" + "0" + "CREATE_TIME")

    def encode(self, records: Sequence[Record]) -> bytes:
        topic, partition = self._topic, self._partition
        # Spelled out here, since a call for each record would cost a third more.
        elements = [
            KafkaRecord(
                topic,
                partition,
                record.position,
                record.timestamp_ms,
                record.timestamp_type,
                record.key,
                record.value,
                encode_headers(record.headers) if record.headers else HEADERS_NONE,
            )
            for record in records
        ]
        event = KafkaEvent("SelfManagedKafka", self._bootstrap_servers, {self._shard: elements})
        return encode_json(event)

    def frame_bytes(self) -> int:
        return self._frame_bytes

    def record_bytes(self, record: Record) -> int:
        headers_bytes = len(bytes(encode_headers(record.headers))) - len("[]") if record.headers else 0
        return (
            self._constant_bytes
            + len(str(record.position))
            + len(str(record.timestamp_ms))
            + len(record.timestamp_type)
            + base64_bytes(record.key)
            + base64_bytes(record.value)
            + headers_bytes
        )

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        nulls_bytes = 2 * base64_bytes(None)
        digits_most = POSITION_DIGITS_MAX + TIMESTAMP_DIGITS_MAX
        record_most = self._constant_bytes + digits_most + len("LOG_APPEND_TIME") + nulls_bytes
        return count * record_most + RAW_BYTE_FACTOR * bytes_count

    def position_of(self, identifier: object) -> int | None:
        if not isinstance(identifier, dict):
            return whole_number(identifier)
        if set(identifier) not in ({"partition", "offset"}, {"topic-partition", "offset"}):
            return None
        offset = identifier["offset"]
        shard = identifier.get("partition", identifier.get("topic-partition"))
        if shard != self._shard or isinstance(offset, bool):
            return None
        return offset if isinstance(offset, int) else whole_number(offset)

    def window_members(self, frame: WindowFrame) -> bytes:
        return window_members(frame, shard_id=self._shard, source_arn=self._source_arn)


def encode_headers(headers: Sequence[tuple[str, bytes | None]]) -> msgspec.Raw:
    """Build the JSON list of headers, one object of one key for each, in order and with repeated names."""
    objects = [
        b"{%b:[%b]}" % (encode_json(name), ",".join([SIGNED[byte] for byte in value or b""]).encode())
        for name, value in headers
    ]
    return msgspec.Raw(b"[%b]" % b",".join(objects))
