"""Publishing, on a connection of its own: a message is the broker's when it has confirmed it.

An alarm of the broker's stops reading from connections that publish, so that nothing else may be on this one.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from penstock.api import SourceError, SourceMissing, SourceUnavailable
from penstock_rabbitmq.address import Address
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.errors import again, source_error
from penstock_rabbitmq.pika_types import AMQPError, Basic

ALARM_S = 45.0
"""So long a broker may take nothing before we say that it does not."""
CONFIRM_S = 30.0
AHEAD_MAX = 1_000
"""Messages that are under way at once."""


@dataclass(frozen=True, slots=True)
class Publication:
    """A message for the queue of that name. `properties` are pika's."""

    queue: str
    body: bytes
    properties: Any


class Publisher:
    """Publishes to queues by their names, as mandatory. Of no use any more after a SourceError: make another one."""

    def __init__(self, addresses: Sequence[Address], *, place: str, name: str) -> None:
        """Take the nodes, how errors begin, and what the broker's own tools show."""
        self.connection = Connection(addresses, place=place, name=name)
        self._place = place
        self._channel: Channel | None = None
        self._published = 0
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._is_unroutable = False

    async def open(self, check: Callable[[Channel], Coroutine[Any, Any, Any]] | None = None) -> None:
        """Connect; `check` may look at things on the channel before anything is published."""
        await self.connection.open()
        channel = await self.connection.channel()
        if check is not None:
            await check(channel)
        channel.on_closed = self._on_closed
        await channel.confirm(self._on_answer, self._on_returned)
        self._channel = channel

    async def close(self) -> None:
        """Hang up. What was not confirmed may have arrived or not."""
        await self.connection.close()

    async def send(self, publications: Sequence[Publication]) -> None:
        """Publish, and wait until all are confirmed. Raises SourceError where one is not; others may have arrived."""
        for begin in range(0, len(publications), AHEAD_MAX):
            await self._send(publications[begin : begin + AHEAD_MAX])

    async def _send(self, publications: Sequence[Publication]) -> None:
        await self._until_taken()
        waiting: list[asyncio.Future[None]] = []
        try:
            waiting.extend(self._publish(publication) for publication in publications)
            await self._until_confirmed(waiting)
        finally:
            for future in waiting:
                future.cancel()
                if future.done() and not future.cancelled():
                    future.exception()

    def _publish(self, publication: Publication) -> asyncio.Future[None]:
        channel = self._channel
        if channel is None or channel.error is not None:
            raise again((channel and channel.error) or SourceUnavailable(f"{self._place}: it is not open"))
        try:
            channel.raw.basic_publish("", publication.queue, publication.body, publication.properties, mandatory=True)
        except AMQPError as raised:
            raise source_error(raised, self._place) from None
        self._published += 1
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._unconfirmed[self._published] = future
        return future

    async def _until_confirmed(self, waiting: Sequence[asyncio.Future[None]]) -> None:
        gathered = asyncio.gather(*waiting)
        try:
            while not gathered.done():
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(CONFIRM_S):
                        await asyncio.shield(gathered)
                if not gathered.done():
                    await self._until_taken()
                    if not gathered.done() and self.connection.blocked_by is None:
                        break
        finally:
            if not gathered.done():
                gathered.cancel()
        if not gathered.done() or gathered.cancelled():
            raise SourceUnavailable(f"{self._place}: the broker did not confirm within {CONFIRM_S:.0f} s")
        gathered.result()

    async def _until_taken(self) -> None:
        if not await self.connection.until_unblocked(ALARM_S):
            raise SourceUnavailable(
                f"{self._place}: the broker takes no messages for now ({self.connection.blocked_by})"
            )

    # What the broker says.

    def _on_answer(self, frame: Any) -> None:
        method = frame.method
        if method.multiple:
            numbers = [number for number in self._unconfirmed if number <= method.delivery_tag]
        else:
            numbers = [method.delivery_tag]
        for number in numbers:
            future = self._unconfirmed.pop(number, None)
            if future is None or future.done():
                continue
            if self._is_unroutable:
                future.set_exception(SourceMissing(f"{self._place}: there is no such queue any more"))
            elif isinstance(method, Basic.Ack):
                future.set_result(None)
            else:
                future.set_exception(
                    SourceUnavailable(f"{self._place}: the broker did not take a message; the queue may be full")
                )

    def _on_returned(self, *_: Any) -> None:
        # The answer to the message that comes back follows it.
        self._is_unroutable = True

    def _on_closed(self, error: SourceError) -> None:
        for future in self._unconfirmed.values():
            if not future.done():
                future.set_exception(again(error))
        self._unconfirmed.clear()
