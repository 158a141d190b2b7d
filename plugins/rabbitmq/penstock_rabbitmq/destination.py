"""Writing to a queue, on a connection of its own: a message is the broker's when it has confirmed it.

An alarm of the broker's stops reading from connections that publish, so that nothing else may be on this one.
"""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Sequence
from typing import Any

from penstock.api import (
    Outgoing,
    RecordRefused,
    SourceContext,
    SourceError,
    SourceMissing,
    SourceUnavailable,
)
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.errors import again, source_error
from penstock_rabbitmq.messages import DEDUPLICATION, HIDDEN, properties_of
from penstock_rabbitmq.pika_types import AMQPError, Basic
from penstock_rabbitmq.queue import look
from penstock_rabbitmq.settings import ROUTING_KEY, Settings

MESSAGE_BYTES_MAX = 16 * 1024 * 1024
"""What a broker takes unless it is told otherwise (4.x), and more than any event can carry."""
HEADER_BYTES_MAX = 100_000
"""All headers are in one frame, and a frame has 131,072 bytes."""
NAME_BYTES_MAX = 255
ALARM_S = 45.0
"""So long a broker may take nothing before we say that it does not."""
CONFIRM_S = 30.0
AHEAD_MAX = 1_000
"""Messages that are under way at once."""


class RabbitDestination:
    """Publishes to a queue by its name, as mandatory and persistent. See `penstock.api.Destination`."""

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before `open`."""
        self._settings = settings = Settings.of(source)
        self._place = settings.place
        self._connection = Connection(settings.addresses, place=settings.place, name="penstock sender")
        self._channel: Channel | None = None
        self._published = 0
        self._unconfirmed: dict[int, asyncio.Future[None]] = {}
        self._is_unroutable = False

    async def open(self) -> None:
        await self._connection.open()
        channel = await self._connection.channel()
        await look(channel, self._settings)
        channel.on_closed = self._on_closed
        await channel.confirm(self._on_answer, self._on_returned)
        self._channel = channel

    async def close(self) -> None:
        await self._connection.close()

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        answers = [self._refusal(record) for record in records]
        taken = [record for record, answer in zip(records, answers, strict=True) if answer is None]
        for begin in range(0, len(taken), AHEAD_MAX):
            await self._send(taken[begin : begin + AHEAD_MAX])
        return answers

    async def _send(self, records: Sequence[Outgoing]) -> None:
        await self._until_taken()
        waiting = [self._publish(record) for record in records]
        try:
            await self._until_confirmed(waiting)
        finally:
            for future in waiting:
                future.cancel()
                if future.done() and not future.cancelled():
                    future.exception()

    def _publish(self, record: Outgoing) -> asyncio.Future[None]:
        channel = self._channel
        if channel is None or channel.error is not None:
            raise again((channel and channel.error) or SourceUnavailable(f"{self._place}: it is not open"))
        message_id = uuid.uuid4().hex
        properties = properties_of(
            record,
            message_id=message_id,
            group_from=self._settings.group_from,
            now_ms=time.time_ns() // 1_000_000,
        )
        try:
            channel.raw.basic_publish("", self._settings.queue, record.value, properties, mandatory=True)
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
                    if not gathered.done() and self._connection.blocked_by is None:
                        break
        finally:
            if not gathered.done():
                gathered.cancel()
        if not gathered.done() or gathered.cancelled():
            raise SourceUnavailable(f"{self._place}: the broker did not confirm within {CONFIRM_S:.0f} s")
        gathered.result()

    async def _until_taken(self) -> None:
        if not await self._connection.until_unblocked(ALARM_S):
            raise SourceUnavailable(
                f"{self._place}: the broker takes no messages for now ({self._connection.blocked_by})"
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

    # What can not be sent.

    def _refusal(self, record: Outgoing) -> RecordRefused | None:
        settings = self._settings
        if record.value is None:
            return self._refused("a message needs a body")
        if record.key is not None or record.headers:
            return self._refused("a message has no key and no headers; attributes can carry them")
        if record.delay_ms:
            return self._refused("a message can not be sent with a delay")
        if not settings.is_fifo and (record.group is not None or record.deduplication_id is not None):
            return self._refused("only a queue with `FifoQueue: true` has groups and deduplication ids")
        if record.group is not None and settings.group_from == ROUTING_KEY:
            return self._refused("its groups are routing keys, and what is sent to a queue itself has its name as key")
        return self._refusal_of_names(record) or self._refusal_of_size(record)

    def _refusal_of_names(self, record: Outgoing) -> RecordRefused | None:
        settings = self._settings
        reserved = HIDDEN | ({settings.group_from, DEDUPLICATION} if settings.is_fifo else set())
        if taken := reserved & record.attributes.keys():
            return self._refused(f"an attribute can not be called {min(taken)!r}; a header of that name is")
        names = [*record.attributes]
        if settings.group_from.startswith("properties."):
            names.append(record.group or "")
        if long := next((name for name in names if len(name.encode()) > NAME_BYTES_MAX), None):
            return self._refused(f"{long[:40]!r}… has more than {NAME_BYTES_MAX} bytes")
        return None

    def _refusal_of_size(self, record: Outgoing) -> RecordRefused | None:
        headers = sum(len(name.encode()) + len(item.value) + 40 for name, item in record.attributes.items())
        if headers > HEADER_BYTES_MAX:
            return self._refused(
                f"attributes of {headers} bytes are too many; the most is {HEADER_BYTES_MAX}", too_large=True
            )
        size = len(record.value or b"")
        if size > MESSAGE_BYTES_MAX:
            return self._refused(f"{size} bytes are too many; the most is {MESSAGE_BYTES_MAX}", too_large=True)
        return None

    def _refused(self, why: str, *, too_large: bool = False) -> RecordRefused:
        return RecordRefused(f"{self._place}: {why}", too_large=too_large)
