"""Gathers the messages of a queue into the one batch that may wait ahead of those that run (D12, D13, D20)."""

from collections.abc import Sequence

from penstock.api import Message
from penstock.core.batch import MessageBatch
from penstock.core.events.layout import Layout, raw_bytes


class Gathering:
    """Holds the messages that were received and not yet invoked: at most one batch."""

    def __init__(self, layout: Layout[Message]) -> None:
        """Take the layout whose events the batches become."""
        self._layout = layout
        self._messages: list[Message] = []
        self._raw_bytes = 0
        self._sizes: list[int] = []
        """What each of the first messages adds to the event; measured only when its limit comes near."""
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
        self._raw_bytes += sum(map(raw_bytes, messages))

    def is_ready(self, now_ms: int, *, batch_size: int, window_ms: int) -> bool:
        """Tell whether the batch may be invoked now."""
        if self.since_ms is None:
            return False
        return self.is_closed or len(self) >= batch_size or now_ms >= self.since_ms + window_ms

    def drop_too_large(self, event_bytes_max: int) -> list[Message]:
        """Take out every message whose event would pass the limit on its own (D13)."""
        room = self._room(event_bytes_max)
        if self._surely_fit(room):
            return []
        self._measure()
        too_large = [message for message, size in zip(self._messages, self._sizes, strict=True) if size > room]
        if too_large:
            self._keep([message for message, size in zip(self._messages, self._sizes, strict=True) if size <= room])
        return too_large

    def close_if_full(self, event_bytes_max: int) -> None:
        """Wait for nothing more once one event can not hold all that waits (`lambda-semantics.md §2.1`)."""
        if self._count_fitting(len(self), event_bytes_max) < len(self):
            self.is_closed = True

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
        self._raw_bytes = sum(map(raw_bytes, messages))
        self._sizes = []
        if not messages:
            self.since_ms = None

    def _count_fitting(self, count: int, event_bytes_max: int) -> int:
        room = self._room(event_bytes_max)
        if self._surely_fit(room):
            return count
        self._measure()
        for index, size in enumerate(self._sizes[:count]):
            room -= size
            if room < 0:
                return index
        return count

    def _room(self, event_bytes_max: int) -> int:
        # The last one has no comma behind it.
        return event_bytes_max - self._layout.frame_bytes() + 1

    def _surely_fit(self, room: int) -> bool:
        return self._layout.records_bytes_most(len(self), self._raw_bytes) < room

    def _measure(self) -> None:
        unmeasured = self._messages[len(self._sizes) :]
        self._sizes.extend(map(self._layout.record_bytes, unmeasured))
