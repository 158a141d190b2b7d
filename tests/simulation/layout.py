"""The smallest event layout there is: sizes are sums, so that limits are reached with tiny records."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api import Message, Record
from penstock.core.events.layout import raw_bytes

FRAME_BYTES = 20
RECORD_FRAME_BYTES = 30


class PlainLayout:
    """One record adds its raw bytes and thirty, comma included."""

    def encode(self, records: Sequence[Record] | Sequence[Message]) -> bytes:
        return bytes(FRAME_BYTES + sum(map(self.record_bytes, records)))

    def frame_bytes(self) -> int:
        return FRAME_BYTES

    def record_bytes(self, record: Record | Message) -> int:
        return RECORD_FRAME_BYTES + raw_bytes(record)

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        return (RECORD_FRAME_BYTES + 10) * count + 2 * bytes_count


def event_bytes(records: Sequence[Record] | Sequence[Message]) -> int:
    """Tell the exact size of an event, without the comma behind the last record."""
    return FRAME_BYTES + sum(RECORD_FRAME_BYTES + raw_bytes(record) for record in records) - 1
