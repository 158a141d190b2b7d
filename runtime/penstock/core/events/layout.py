"""What an event layout is: records in, the event's bytes out (`lambda-semantics.md §8`).

A layout belongs to one mapping, and on a stream to one shard, so that all that is the same for each record is known when
it is made. It is a pure function of the records.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from penstock.api import Message, Record

T_contra = TypeVar("T_contra", Record, Message, contravariant=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class Origin:
    """Where records come from, as events name it.

    `source_arn` and `role_arn` are ARNs; `shard` is the plugin's name of the shard ("" for a queue); `topic`, `partition`
    and `bootstrap_servers` are Kafka's, filled where the source has them.
    """

    source_arn: str
    region: str
    role_arn: str = ""
    shard: str = ""
    topic: str = ""
    partition: int = 0
    bootstrap_servers: str = ""


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

        Cheap and generous: where this is below the limit, no record has to be looked at one by one.
        """
