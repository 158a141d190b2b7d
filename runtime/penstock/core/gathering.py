"""Gathers the messages of a queue into the one batch that may wait ahead of those that run (D12, D13, D20)."""

from collections.abc import Sequence

from penstock.api import Message
from penstock.core.batch import MessageBatch
from penstock.core.events.layout import Layout


class Gathering:
    """Holds the messages that were received and not yet invoked: at most one batch."""

    def __init__(self, layout: Layout[Message]) -> None:
        """Take the layout whose events the batches become."""
        self._layout = layout
        self._messages: list[Message] = []
        self.since_ms: int | None = None
        """When the first of them came; the batching window begins there (D12)."""
        self.is_closed = False
        """The batch waits for nothing more, whatever its window says."""

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    @property
    def receipts(self) -> tuple[str, ...]:
        """What settles them."""
        return tuple(message.receipt for message in self._messages)

    def add(self, messages: Sequence[Message], now_ms: int) -> None:
        """Take in what was received."""
        if messages and self.since_ms is None:
            self.since_ms = now_ms
        self._messages.extend(messages)

    def is_ready(self, now_ms: int, *, batch_size: int, window_ms: int) -> bool:
        """Tell whether the batch may be invoked now."""
        if self.since_ms is None:
            return False
        return self.is_closed or len(self) >= batch_size or now_ms >= self.since_ms + window_ms

    def drop_too_large(self, event_bytes_max: int) -> list[Message]:
        """Take out every message whose event would pass the limit on its own (D13)."""
        room = event_bytes_max - self._layout.frame_bytes() + 1
        raw_bytes = sum(_raw_bytes(message) for message in self._messages)
        if self._layout.records_bytes_most(len(self), raw_bytes) < room:
            return []
        too_large = [message for message in self._messages if self._layout.record_bytes(message) > room]
        if too_large:
            self._keep([message for message in self._messages if self._layout.record_bytes(message) <= room])
        return too_large

    def take(self, batch_size: int, event_bytes_max: int) -> MessageBatch:
        """Take as many as fit into one event; what is left waits no longer than it must."""
        count = self._count_fitting(min(batch_size, len(self)), event_bytes_max)
        assert count > 0, "too large messages are dropped before"
        batch = MessageBatch(tuple(self._messages[:count]))
        self._keep(self._messages[count:])
        self.is_closed = bool(self._messages)
        return batch

    def clear(self) -> tuple[str, ...]:
        """Take all of them out; gives their receipts."""
        receipts = self.receipts
        self._keep([])
        self.is_closed = False
        return receipts

    def _keep(self, messages: list[Message]) -> None:
        self._messages = messages
        if not messages:
            self.since_ms = None

    def _count_fitting(self, count: int, event_bytes_max: int) -> int:
        room = event_bytes_max - self._layout.frame_bytes()
        raw_bytes = sum(_raw_bytes(message) for message in self._messages[:count])
        if self._layout.records_bytes_most(count, raw_bytes) <= room:
            return count
        room += 1  # the last one has no comma behind it
        for index in range(count):
            room -= self._layout.record_bytes(self._messages[index])
            if room < 0:
                return index
        return count


def _raw_bytes(message: Message) -> int:
    attributes = sum(len(name) + len(one.value) + len(one.data_type) for name, one in message.attributes.items())
    return len(message.body) + attributes
