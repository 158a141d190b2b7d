"""Batches: records or messages that go to the function together."""

from dataclasses import dataclass

from penstock.api import Message, Record


@dataclass(frozen=True, slots=True)
class RecordBatch:
    """Records of one shard, in order.

    `position` is the last record's, or beyond it where no records follow. `too_large` is a batch of one record whose
    event would pass the limit on its own (D13); it is never invoked. Only a tumbling window's final batch is empty.
    """

    records: tuple[Record, ...]
    position: int
    too_large: bool = False

    @property
    def first(self) -> int:
        """The first record's position."""
        return self.records[0].position if self.records else self.position

    @property
    def last(self) -> int:
        """The last record's position."""
        return self.records[-1].position if self.records else self.position

    def part(self, start: int, stop: int) -> "RecordBatch":
        """Give a part of it; the last part keeps its position."""
        records = self.records[start:stop]
        return RecordBatch(records, self.position if stop >= len(self.records) else records[-1].position)


@dataclass(frozen=True, slots=True)
class MessageBatch:
    """Messages of one queue that go to the function together."""

    messages: tuple[Message, ...]

    @property
    def receipts(self) -> tuple[str, ...]:
        """What settles them."""
        return tuple(message.receipt for message in self.messages)
