"""One channel that receives: what came and was not asked for yet, what is held, and how it is settled.

An ack has no answer, so it is carried out when it is written on an open channel. When the channel is gone everything on
it is the queue's again, and the receipts stand for nothing.
"""

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

from penstock.api import SourceError, SourceMissing
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.delayed import delivery_of
from penstock_rabbitmq.messages import Delivery, tag_of
from penstock_rabbitmq.pika_types import AMQPError

_numbers = itertools.count(1)
_SPARSE = 1_000


class Lane:
    """Made by `open`. `number` is its own as long as the process lives; receipts begin with it."""

    def __init__(
        self,
        channel: Channel,
        *,
        place: str,
        bytes_max: int,
        now_s: Callable[[], float],
        on_news: Callable[[], None],
        on_full: Callable[[], None],
    ) -> None:
        """Take an open channel; nothing is received before `consume`."""
        self.number = next(_numbers)
        self.error: SourceError | None = None
        """Why nothing more comes."""
        self.is_retired = False
        """It receives no more; what is held is still settled."""
        self.is_paused = False
        """Nothing more is given out of it; what is held is still settled."""
        self.ending_since_s = 0.0
        self.arrived = 0
        self.arrived_bytes = 0
        self.bytes_count = 0
        """Of what came and was not asked for yet."""
        self._bytes_max = bytes_max
        self._on_news = on_news
        self._on_full = on_full
        self._channel = channel
        self._place = place
        self._now_s = now_s
        self._tag = ""
        self._came: deque[Delivery] = deque()
        self._held: dict[int, Delivery] = {}
        self._delayed: dict[int, tuple[float, Delivery]] = {}
        """What is given out again when it is due."""
        self._order: deque[int] = deque()
        """The tags that came, oldest first; those that were settled out of turn among them."""

    @classmethod
    async def open(
        cls,
        connection: Connection,
        queue: str,
        *,
        prefetch: int,
        bytes_max: int,
        now_s: Callable[[], float],
        on_news: Callable[[], None],
        on_full: Callable[[], None],
    ) -> "Lane":
        """Open a channel and begin to receive on it.

        `on_news` is called when there is something to take again or nothing more comes, `on_full` when more bytes
        wait than should.
        """
        channel = await connection.channel()
        lane = cls(channel, place=connection.place, bytes_max=bytes_max, now_s=now_s, on_news=on_news, on_full=on_full)
        channel.on_closed = lane._on_closed
        lane._tag = await channel.consume(
            queue, prefetch=prefetch, on_message=lane._on_message, on_cancelled=lane._on_cancelled
        )
        return lane

    @property
    def waiting(self) -> int:
        """How many came and were not asked for yet."""
        return len(self._came)

    @property
    def held(self) -> int:
        """How many were given out and are not settled, those that wait to be given out again among them."""
        return len(self._held) + len(self._delayed)

    @property
    def delayed(self) -> int:
        """How many wait to be given out again."""
        return len(self._delayed)

    def due_s(self) -> float | None:
        """Tell when the first of these is due."""
        return min((due_s for due_s, _ in self._delayed.values()), default=None)

    def oldest_s(self) -> float | None:
        """Tell when the oldest came that is not settled."""
        while self._order:
            tag = self._order[0]
            delivery = (
                self._held.get(tag)
                or self._delayed.get(tag, (0.0, None))[1]
                or (self._came[0] if self._came and self._came[0].tag == tag else None)
            )
            if delivery is not None:
                return delivery.arrived_s
            self._order.popleft()
        return None

    # Giving out.

    def take(self, count: int) -> Iterator[Delivery]:
        """Give out up to so many, in the order that they came."""
        while count > 0 and self._came and not self.is_paused:
            delivery = self._came.popleft()
            self._held[delivery.tag] = delivery
            self.bytes_count -= len(delivery.body)
            count -= 1
            yield delivery

    def put_back(self, handles: Iterable[int], *, counted: bool) -> int:
        """Take back what was given out, to its place, to be given out again: the queue hears nothing of it."""
        back = self._let_go(handles)
        for delivery in back:
            delivery.turns += 1
            delivery.runs += counted
            self.bytes_count += len(delivery.body)
        if back:
            self._came = deque(sorted((*back, *self._came), key=lambda delivery: delivery.tag))
            self._on_news()
        return len(back)

    def delay(self, handles: Iterable[int], *, due_s: float, counted: bool) -> int:
        """Take back what was given out, to be given out again when it is due. It stays ours meanwhile."""
        back = self._let_go(handles)
        for delivery in back:
            delivery.turns += 1
            delivery.runs += counted
            delivery.was_run = counted
            self._delayed[delivery.tag] = (due_s, delivery)
        return len(back)

    def give_due(self, now_s: float) -> None:
        """Let what is due be given out again, before what came later."""
        due = [delivery for due_s, delivery in self._delayed.values() if due_s <= now_s]
        for delivery in due:
            del self._delayed[delivery.tag]
            self.bytes_count += len(delivery.body)
        if due:
            self._came = deque(sorted((*due, *self._came), key=lambda delivery: delivery.tag))

    # Settling. Each gives how many of the handles stood for something.

    def ack(self, handles: Sequence[int]) -> int:
        """Delete messages, the oldest ones with one word."""
        tags = sorted(delivery.tag for delivery in self._let_go(handles))
        if not tags:
            return 0
        first_waiting = self._came[0].tag if self._came else tags[-1] + 1
        ours = set(tags)
        through = together = 0
        while self._order and self._order[0] < first_waiting and not self._is_open(self._order[0]):
            tag = self._order.popleft()
            if tag in ours:
                through, together = tag, together + 1
        raw = self._channel.raw
        if together:
            raw.basic_ack(through, multiple=together > 1)
        for tag in tags:
            if tag > through:
                raw.basic_ack(tag)
        self._forget_order()
        return len(tags)

    def nack(self, handles: Iterable[int]) -> list[Delivery]:
        """Give messages back to the queue."""
        back = self._let_go(handles)
        for delivery in back:
            self._channel.raw.basic_nack(delivery.tag, requeue=True)
        self._forget_order()
        return back

    def return_early(self, handles: Iterable[int], *, counted: bool) -> list[Delivery]:
        """Give messages back to the queue before their delay is over. The broker may count those that were run."""
        back = self._let_go(handles)
        for delivery in back:
            delivery.was_run = counted
        self._requeue(back)
        return back

    def return_oldest(self, count: int) -> list[Delivery]:
        """Give those back to the queue that wait here and would have been due first."""
        first = sorted(self._delayed.values(), key=lambda waiting: waiting[0])[:count]
        back = [self._delayed.pop(delivery.tag)[1] for _, delivery in first]
        self._requeue(back)
        return back

    def given_out(self, handles: Iterable[int]) -> list[Delivery]:
        """Name what these handles stand for."""
        return [self._held[tag_of(handle)] for handle in handles if self.holds(handle)]

    def reject(self, handles: Iterable[int]) -> int:
        """Hand messages over to where the queue's own dead letters go."""
        ours = self._let_go(handles)
        for delivery in ours:
            self._channel.raw.basic_reject(delivery.tag, requeue=False)
        self._forget_order()
        return len(ours)

    def holds(self, handle: int) -> bool:
        """Tell whether a handle stands for a message that was given out and is still ours."""
        delivery = self._held.get(tag_of(handle))
        return delivery is not None and delivery.handle == handle

    # Ending.

    def pause(self, now_s: float) -> None:
        """Give out nothing more; what is held may still be settled."""
        self.is_paused = True
        self.ending_since_s = now_s

    def retire(self, now_s: float) -> list[Delivery]:
        """Receive no more; give back to the queue what nobody asked for, and name it."""
        self.is_retired = True
        self.ending_since_s = now_s
        back = [*self._came, *(delivery for _, delivery in self._delayed.values())]
        self._came, self._delayed = deque(), {}
        self.bytes_count = 0
        if self._channel.error is None:
            try:
                self._channel.raw.basic_cancel(self._tag, callback=_nothing)
                for delivery in reversed(back):
                    self._channel.raw.basic_nack(delivery.tag, requeue=True)
            except AMQPError:
                pass  # then the channel is closing, and they go back with it
        return back

    async def close(self) -> None:
        """Let go of the channel: all that is not settled is the queue's again, in its old order where it keeps one."""
        self._forget_all()
        await self._channel.close()

    # What the broker says.

    def _on_message(self, _channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if self.is_retired:
            self._channel.raw.basic_nack(method.delivery_tag, requeue=True)
            return
        tag = method.delivery_tag
        self._came.append(delivery_of(method, properties, body, arrived_s=self._now_s()))
        self._order.append(tag)
        size = len(body)
        self.arrived += 1
        self.arrived_bytes += size
        self.bytes_count += size
        if len(self._came) == 1:
            self._on_news()
        if self.bytes_count > self._bytes_max >= self.bytes_count - size:
            self._on_full()

    def _on_cancelled(self, _frame: Any) -> None:
        self._on_closed(SourceMissing(f"{self._place}: the queue was deleted"))

    def _on_closed(self, error: SourceError) -> None:
        if self.error is None:
            self.error = error
        self._forget_all()
        self._on_news()

    def _is_open(self, tag: int) -> bool:
        return tag in self._held or tag in self._delayed

    def _let_go(self, handles: Iterable[int]) -> list[Delivery]:
        return [self._held.pop(tag_of(handle)) for handle in handles if self.holds(handle)]

    def _requeue(self, back: Iterable[Delivery]) -> None:
        raw = self._channel.raw
        for delivery in back:
            if delivery.was_run:
                raw.basic_reject(delivery.tag, requeue=True)
            else:
                raw.basic_nack(delivery.tag, requeue=True)
        self._forget_order()

    def _forget_all(self) -> None:
        self._held.clear()
        self._delayed.clear()
        self._came.clear()
        self._order.clear()
        self.bytes_count = 0

    def _forget_order(self) -> None:
        """Keep the list of tags short where one message stays while many others go."""
        if len(self._order) > 2 * (self.held + len(self._came)) + _SPARSE:
            self._order = deque(sorted((*self._held, *self._delayed, *(delivery.tag for delivery in self._came))))


def _nothing(*_: Any) -> None:
    pass
