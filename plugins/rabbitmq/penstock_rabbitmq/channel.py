"""One channel: calls that are answered, as coroutines; what is not answered goes to `raw`, pika's own channel.

A channel ends with the first refusal. Whoever waits for an answer then gets the refusal, and `on_closed` is told.
"""

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from penstock.api import SourceError, SourceUnavailable
from penstock_rabbitmq.errors import again, source_error
from penstock_rabbitmq.pika_types import AMQPError, Basic, ChannelClosedByClient

ANSWER_S = 20.0
CLOSE_S = 2.0

OnMessage = Callable[[Any, Any, Any, bytes], None]


@dataclass(frozen=True, slots=True)
class Declared:
    """What a broker says of a queue: messages that are ready, and consumers."""

    messages: int
    consumers: int


class Channel:
    """Made by `Connection.channel`."""

    def __init__(self, place: str) -> None:
        """Take how errors begin."""
        self.raw: Any = None
        self.error: SourceError | None = None
        """Why it can not be used; None while it can."""
        self.on_closed: Callable[[SourceError], None] | None = None
        self.on_forgotten: Callable[[], None] | None = None
        self._place = place
        self._waiting: set[asyncio.Future[Any]] = set()
        self._ended = asyncio.Event()

    async def open(self, connection: Any) -> None:
        """Open it on pika's connection."""

        def start(answer: Callable[..., None]) -> None:
            self.raw = connection.channel(on_open_callback=answer)
            self.raw.add_on_close_callback(self._on_closed)

        await self._ask(start)

    async def look(self, queue: str) -> Declared:
        """Look at a queue, which takes no right."""
        return _declared(await self._ask(lambda answer: self.raw.queue_declare(queue, passive=True, callback=answer)))

    async def declare(
        self, queue: str, *, arguments: Mapping[str, Any] | None = None, exclusive: bool = False
    ) -> Declared:
        """Make a queue: a durable one, or one that is this connection's alone and ends with it."""
        make = partial(
            self.raw.queue_declare, queue, durable=not exclusive, exclusive=exclusive, arguments=dict(arguments or {})
        )
        return _declared(await self._ask(lambda answer: make(callback=answer)))

    async def delete(self, queue: str) -> None:
        """Delete a queue, if it is there, empty and without consumers."""
        await self._ask(lambda answer: self.raw.queue_delete(queue, if_unused=True, if_empty=True, callback=answer))

    async def look_at_exchange(self, exchange: str) -> None:
        """Look at an exchange; one that is missing is refused."""
        await self._ask(lambda answer: self.raw.exchange_declare(exchange, passive=True, callback=answer))

    async def declare_exchange(self, exchange: str, kind: str) -> None:
        """Make a durable exchange."""
        await self._ask(
            lambda answer: self.raw.exchange_declare(exchange, exchange_type=kind, durable=True, callback=answer)
        )

    async def bind(self, queue: str, exchange: str, key: str) -> None:
        """Bind a queue to an exchange."""
        await self._ask(lambda answer: self.raw.queue_bind(queue, exchange, routing_key=key, callback=answer))

    async def consume(self, queue: str, *, prefetch: int, on_message: OnMessage, on_cancelled: OnMessage | Any) -> str:
        """Begin to receive, at most so many messages ahead; gives the consumer's tag."""
        await self._ask(lambda answer: self.raw.basic_qos(prefetch_count=prefetch, callback=answer))
        self.raw.add_on_cancel_callback(on_cancelled)
        frame = await self._ask(
            lambda answer: self.raw.basic_consume(queue, on_message_callback=on_message, callback=answer)
        )
        return str(frame.method.consumer_tag)

    async def get(self, queue: str) -> tuple[Any, Any, bytes] | None:
        """Take one message, unacknowledged; None where there is none."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.raw.add_callback(lambda _frame: _answer(future, None), [Basic.GetEmpty])
        self.raw.basic_get(queue, lambda _channel, *message: _answer(future, message))
        got: tuple[Any, Any, bytes] | None = await self._until(future)
        return got

    async def confirm(self, on_answer: Callable[[Any], None], on_return: Callable[..., None]) -> None:
        """Have the broker answer for every message that is published from now on."""
        self.raw.add_on_return_callback(on_return)
        await self._ask(lambda answer: self.raw.confirm_delivery(on_answer, callback=answer))

    async def close(self) -> None:
        """Close it; what is unacknowledged on it goes back to its queue before this returns."""
        if self.error is None:
            self.error = SourceUnavailable(f"{self._place}: the channel is closed")
            with contextlib.suppress(AMQPError):
                self.raw.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._ended.wait()

    def on_connection_lost(self, error: SourceError) -> None:
        """Take in that there is no connection any more."""
        self._end(error)

    # Inside.

    async def _ask(self, start: Callable[[Callable[..., None]], Any]) -> Any:
        if self.error is not None:
            raise again(self.error)
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        try:
            start(lambda *frames: _answer(future, frames[0] if frames else None))
        except AMQPError as raised:
            raise source_error(raised, self._place) from None
        return await self._until(future)

    async def _until(self, future: asyncio.Future[Any]) -> Any:
        self._waiting.add(future)
        try:
            async with asyncio.timeout(ANSWER_S):
                return await future
        except TimeoutError:
            raise SourceUnavailable(f"{self._place}: no answer in time") from None
        finally:
            self._waiting.discard(future)

    def _on_closed(self, _channel: Any, reason: BaseException) -> None:
        if isinstance(reason, ChannelClosedByClient):
            self._end(SourceUnavailable(f"{self._place}: the channel is closed"))
            return
        try:
            error = source_error(reason, self._place)
        except Exception as bug:  # noqa: BLE001 - it is told in a callback, where raising would reach nobody
            error = SourceUnavailable(f"{self._place}: the channel failed ({type(bug).__name__}: {bug})")
        self._end(error)

    def _end(self, error: SourceError) -> None:
        if self._ended.is_set():
            return
        self.error = error
        self._ended.set()
        for future in self._waiting:
            if not future.done():
                future.set_exception(again(error))
        if self.on_forgotten is not None:
            with contextlib.suppress(ValueError):
                self.on_forgotten()
        if self.on_closed is not None:
            self.on_closed(error)


def _answer(future: asyncio.Future[Any], value: Any) -> None:
    if not future.done():
        future.set_result(value)


def _declared(frame: Any) -> Declared:
    return Declared(int(frame.method.message_count), int(frame.method.consumer_count))
