"""The smallest event layout there is: sizes are sums, so that limits are reached with tiny records."""

from __future__ import annotations

from collections.abc import Sequence

from penstock.api import Message, Record
from penstock.core.events.layout import raw_bytes
from penstock.core.events.window import WindowFrame

FRAME_BYTES = 20
RECORD_FRAME_BYTES = 30
WINDOW_BYTES = 50


class PlainLayout:
    """One record adds its raw bytes and thirty, comma included; an identifier is a position as text."""

    def encode(self, records: Sequence[Record] | Sequence[Message]) -> bytes:
        return bytes(FRAME_BYTES + sum(map(self.record_bytes, records)))

    def frame_bytes(self) -> int:
        return FRAME_BYTES

    def record_bytes(self, record: Record | Message) -> int:
        return RECORD_FRAME_BYTES + raw_bytes(record)

    def records_bytes_most(self, count: int, bytes_count: int) -> int:
        return (RECORD_FRAME_BYTES + 10) * count + 2 * bytes_count

    def position_of(self, identifier: object) -> int | None:
        return int(identifier) if isinstance(identifier, str) and identifier.isdecimal() else None

    def window_members(self, _frame: WindowFrame) -> bytes:
        return bytes(WINDOW_BYTES)


class PlainFilter:
    """Leaves out what begins with a dash."""

    def keep(self, records: Sequence[Record]) -> Sequence[Record]:
        return [record for record in records if is_kept(record)]


def is_kept(record: Record) -> bool:
    return not (record.value or b"").startswith(b"-")


class PlainMessageFilter:
    """The same for messages."""

    def keep(self, records: Sequence[Message]) -> Sequence[Message]:
        return [message for message in records if not message.body.startswith(b"-")]


def event_bytes(records: Sequence[Record] | Sequence[Message]) -> int:
    """Tell the exact size of an event, without the comma behind the last record."""
    return FRAME_BYTES + sum(RECORD_FRAME_BYTES + raw_bytes(record) for record in records) - 1
