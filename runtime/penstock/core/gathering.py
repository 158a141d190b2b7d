"""Gathers the messages of a queue into batches: those that wait ahead of what runs (D12, D13, D20)."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.api import Message
from penstock.core.events.layout import Layout, raw_bytes


@dataclass(slots=True)
class _Arrival:
    count: int
    at_ms: int


class Gathering:
    """Holds the messages that were received and not yet invoked, in the order of their coming."""

    def __init__(self, layout: Layout[Message]) -> None:
        """Take the layout whose events the batches become."""
        self._layout = layout
        self._messages: list[Message] = []
        self._raw: list[int] = []
        self._sizes: list[int] = []
        """What each of the first messages adds to the event; measured only when its limit comes near."""
        self._arrivals: deque[_Arrival] = deque()
        self.bytes_count = 0
        self.is_closed = False
        """The batch waits for nothing more, whatever its window says."""

    def __len__(self) -> int:
        """How many messages wait."""
        return len(self._messages)

    @property
    def since_ms(self) -> int | None:
        """When the first of them came; the batching window begins there (D12)."""
        return self._arrivals[0].at_ms if self._arrivals else None

    @property
    def held(self) -> int:
        """How many messages are here."""
        return len(self._messages)

    @property
    def unrun(self) -> int:
        """How many of these were never run."""
        return len(self._messages)

    @property
    def messages(self) -> tuple[Message, ...]:
        """What waits."""
        return tuple(self._messages)

    def add(self, messages: Sequence[Message], now_ms: int) -> None:
        """Take in what was received."""
        if messages:
            self._arrivals.append(_Arrival(len(messages), now_ms))
        raw = list(map(raw_bytes, messages))
        self._messages.extend(messages)
        self._raw.extend(raw)
        self.bytes_count += sum(raw)

    def is_ready(self, now_ms: int, *, batch_size: int, window_ms: int) -> bool:
        """Tell whether a batch may be invoked now."""
        since_ms = self.since_ms
        return since_ms is not None and (self.is_closed or len(self) >= batch_size or now_ms >= since_ms + window_ms)

    def drop_too_large(self, event_bytes_max: int) -> list[Message]:
        """Take out every message whose event would pass the limit on its own (D13)."""
        room = self._room(event_bytes_max)
        if self._surely_fit(room):
            return []
        self._measure()
        too_large = [message for message, size in zip(self._messages, self._sizes, strict=True) if size > room]
        if too_large:
            self._keep([place for place, size in enumerate(self._sizes) if size <= room])
        return too_large

    def close_if_full(self, event_bytes_max: int) -> None:
        """Wait for nothing more once one event can not hold all that waits (`lambda-semantics.md §2.1`)."""
        if self._count_fitting(len(self), event_bytes_max) < len(self):
            self.is_closed = True

    def take(self, batch_size: int, event_bytes_max: int) -> tuple[tuple[Message, ...], int]:
        """Take as many as fit into one event; gives them, and how many are run for the first time: all of them.

        What that limit leaves waits no longer than it must.
        """
        wanted = min(batch_size, len(self))
        count = self._count_fitting(wanted, event_bytes_max)
        assert count > 0, "too large messages are dropped before"
        taken = tuple(self._messages[:count])
        self.bytes_count -= sum(self._raw[:count])
        del self._messages[:count], self._raw[:count], self._sizes[:count]
        left = count
        while left and self._arrivals[0].count <= left:
            left -= self._arrivals.popleft().count
        if left:
            self._arrivals[0].count -= left
        self.is_closed = count < wanted
        self.close_if_full(event_bytes_max)
        return taken, count

    def take_out(self, receipts: set[str]) -> list[Message]:
        """Take out those of these that wait."""
        out = [message for message in self._messages if message.receipt in receipts]
        if out:
            self._keep([place for place, message in enumerate(self._messages) if message.receipt not in receipts])
        return out

    def clear(self) -> tuple[Message, ...]:
        """Take all of them out."""
        messages = self.messages
        self._keep([])
        self.is_closed = False
        return messages

    def _keep(self, places: list[int]) -> None:
        self._messages = [self._messages[place] for place in places]
        self._raw = [self._raw[place] for place in places]
        self._sizes = []
        self.bytes_count = sum(self._raw)
        begin = 0
        kept = deque(places)
        for arrival in self._arrivals:
            begin += arrival.count
            arrival.count = 0
            while kept and kept[0] < begin:
                kept.popleft()
                arrival.count += 1
        self._arrivals = deque(arrival for arrival in self._arrivals if arrival.count)

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
        return self._layout.records_bytes_most(len(self), self.bytes_count) < room

    def _measure(self) -> None:
        unmeasured = self._messages[len(self._sizes) :]
        self._sizes.extend(map(self._layout.record_bytes, unmeasured))


def divide_by_size(
    layout: Layout[Message], messages: Sequence[Message], event_bytes_max: int
) -> tuple[Sequence[Message], Sequence[Message]]:
    """Divide messages into those that fit into an event of their own, and those that never will (D13)."""
    room = event_bytes_max - layout.frame_bytes() + 1
    too_large = [
        message
        for message in messages
        if layout.records_bytes_most(1, raw_bytes(message)) >= room and layout.record_bytes(message) > room
    ]
    if not too_large:
        return messages, ()
    unfit = {message.receipt for message in too_large}
    return [message for message in messages if message.receipt not in unfit], too_large
