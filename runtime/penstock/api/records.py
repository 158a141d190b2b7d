"""What sources hold: records of a stream, messages of a queue, and the positions between them.

These are `msgspec.Struct`s that the garbage collector does not track, since lists of a thousand of them cross every
layer. Treat them as values.
"""

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

TimestampType = Literal["CREATE_TIME", "LOG_APPEND_TIME"]


class Record(msgspec.Struct, frozen=True, gc=False):
    """One record of a shard.

    `position` is a whole number that grows along its shard, with gaps allowed: a Kafka offset, a row id, or any id of
    the broker's written as a number from which the plugin can get it back. It may have any number of digits and may
    not be negative. `key` and `value` are None where the broker has none (a Kafka tombstone has no value).
    `timestamp_ms` is Unix time in milliseconds. `headers` keep their order and may repeat a name.
    """

    position: int
    value: bytes | None
    key: bytes | None
    timestamp_ms: int
    headers: tuple[tuple[str, bytes | None], ...] = ()
    timestamp_type: TimestampType = "CREATE_TIME"


class Attribute(msgspec.Struct, frozen=True, gc=False):
    """A message attribute as SQS has it (`lambda-semantics.md §8.3`): `data_type` is String, Number or Binary,
    with an optional suffix after a dot; Binary carries bytes, the others text.
    """

    data_type: str
    value: str | bytes


class Message(msgspec.Struct, frozen=True, gc=False):
    """One message of a queue, while we hold it.

    `receipt` is the plugin's own handle for settling this delivery. `receive_count` counts this delivery too, so it
    is 1 at first; where the queue does not count, it is what the broker says, or 1 where it says nothing.
    `redelivered` is a broker's word that somebody had it before, which a queue that does not count passes on (D22).
    Times are Unix milliseconds. `group`, `deduplication_id` and `sequence` are a FIFO queue's.

    `properties` are those of an AMQP message, for the event format `rmq` (`lambda-semantics.md §8.6`); other brokers
    leave them None. The names are AMQP's with underscores, and one that is not there is not set: content_type,
    content_encoding, headers (a mapping of Python values), delivery_mode, priority, correlation_id, reply_to,
    expiration, message_id, timestamp (Unix seconds), type, user_id, app_id, cluster_id.
    """

    message_id: str
    receipt: str
    body: bytes
    receive_count: int
    sent_ms: int
    first_received_ms: int
    attributes: dict[str, Attribute] = {}
    group: str | None = None
    deduplication_id: str | None = None
    sequence: str | None = None
    redelivered: bool = False
    properties: Mapping[str, Any] | None = None


class Checkpoint(msgspec.Struct, frozen=True, gc=False):
    """Where a mapping stands in a shard: every record up to and including `position` is settled.

    -1 stands before position 0, so a checkpoint before the first record of a shard can always be written. `note` is at
    most 1,024 bytes of printable ASCII, opaque to the plugin, and is stored and returned with the position in one
    atomic step.
    """

    position: int
    note: str = ""


NOTE_BYTES_MAX = 1024


class Start(msgspec.Struct, frozen=True, gc=False):
    """Where to begin in a shard that has no checkpoint (`lambda-semantics.md §3.1`).

    `timestamp_ms` (Unix) belongs to AT_TIMESTAMP alone: the first record at or after it.
    """

    position: Literal["TRIM_HORIZON", "LATEST", "AT_TIMESTAMP"]
    timestamp_ms: int | None = None


class Outgoing(msgspec.Struct, frozen=True, gc=False):
    """A record or message to be written to a source or destination.

    A stream uses `key` and `headers`; a queue `attributes`, `group`, `deduplication_id` and `delay_ms`. What the target
    can not carry is refused with `RecordRefused`, never dropped in silence.
    """

    value: bytes | None
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    attributes: dict[str, Attribute] = {}
    group: str | None = None
    deduplication_id: str | None = None
    delay_ms: int = 0
