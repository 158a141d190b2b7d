"""What an operator asks of a queue: may we use it, make it, what is it, what is in it."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping

from penstock.api import MappingContext, Message, Record, SourceBroken, SourceContext, Start
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.delay_queues import may_delay
from penstock_rabbitmq.delayed import delivery_of
from penstock_rabbitmq.messages import Reader
from penstock_rabbitmq.queue import check_order, create, described, inspect, look
from penstock_rabbitmq.settings import DELAY_PREFIX, Settings


class RabbitOperations:
    """`SourceOperations` and `ShowsSource` of a queue, and `PeeksByTaking`, which alone leaves a trace."""

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before it is asked for."""
        self._settings = settings = Settings.of(source)
        self._connection = Connection(settings.addresses, place=settings.place, name="penstock")
        self._is_open = False

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:  # noqa: ARG002 - nothing shows whether we may write but writing
        channel = await self._channel()
        await look(channel, self._settings)
        await channel.close()
        if self._settings.is_fifo:
            await check_order(self._connection, self._settings)

    async def create(self) -> bool:
        await self._open()
        return await create(self._connection, self._settings)

    async def show(self) -> Mapping[str, str]:
        channel = await self._channel()
        declared = await look(channel, self._settings)
        await channel.close()
        kind = await inspect(self._connection, self._settings.queue)
        return {
            "broker": self._connection.server,
            "queue": f"{self._settings.queue} in virtual host {self._settings.addresses[0].virtual_host}",
            "type": kind.type or "not told: we have no right to configure it",
            "messages ready": str(declared.messages),
            "consumers": str(declared.consumers),
            **described(kind, self._settings, self._connection.version),
            **await self._delays(),
        }

    def peek(
        self,
        start: Start | int,  # noqa: ARG002 - the protocol's
        *,
        limit: int | None,  # noqa: ARG002 - the protocol's
        follow: bool,  # noqa: ARG002 - the protocol's
    ) -> AsyncIterator[tuple[str, Record] | Message]:
        raise SourceBroken(
            f"{self._settings.place}: RabbitMQ can show messages only by taking them and giving them back, which marks "
            "them as redelivered and may change their order; `penstock peek --disturb` does that"
        )

    async def peek_by_taking(self, *, limit: int) -> AsyncIterator[Message]:
        channel = await self._channel()
        await look(channel, self._settings)
        reader = Reader(self._settings)
        try:
            for _ in range(limit):
                got = await channel.get(self._settings.queue)
                if got is None:
                    return
                method, properties, body = got
                delivery = delivery_of(method, properties, body, arrived_s=0.0)
                yield reader.message(delivery, receipt="", now_ms=time.time_ns() // 1_000_000)
        finally:
            # Gives everything back that was shown.
            await asyncio.shield(channel.close())

    async def close(self) -> None:
        await self._connection.close()

    async def _delays(self) -> Mapping[str, str]:
        if self._settings.is_fifo:
            return {}
        if await may_delay(self._connection, self._settings):
            where = f"wait in {DELAY_PREFIX}<seconds>.{self._settings.queue}"
        else:
            where = f"the oldest go back before their time: we have no right to configure {DELAY_PREFIX}*"
        return {"failures past half of the prefetch": where}

    async def _channel(self) -> Channel:
        await self._open()
        return await self._connection.channel()

    async def _open(self) -> None:
        if not self._is_open:
            await self._connection.open()
            self._is_open = True
