"""What an operator asks of Redis queues: may we use it, make it, show what is in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.api import MappingContext, Message, Record, SourceBroken, SourceContext, Start
from penstock_redis.client import Client
from penstock_redis.entries import Reader
from penstock_redis.scripts import SEND
from penstock_redis.server import Server
from penstock_redis.settings import ListSettings, QueueSettings
from penstock_redis.shelf import Shelf, list_shelf, stream_shelf
from penstock_redis.values import ValueReader

_PAGE = 100
_FOLLOW_MS = 5_000


class RedisOperations:
    """What looking at a stream and at a list have in common. It takes nothing and leaves no trace."""

    def __init__(self, client: Client, shelf: Shelf) -> None:
        """Take the connections and the queue; nothing is connected to before it is asked for."""
        self._client = client
        self._server = Server(client)
        self._shelf = shelf

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:
        await self._server.look(warns=mapping is not None)
        if mapping is not None:
            await self._shelf.ask("check", "penstock-check", 1000)
        if write or mapping is None:
            # Sends nothing: it looks at the key's type, and shows whether scripts may be run.
            keys = (self._shelf.news_key, self._shelf.keys[4], self._shelf.wake_key)
            await self._client.run(SEND, keys, ("stream" if self._shelf.is_stream else "list", ""))

    async def show(self) -> Mapping[str, str]:
        await self._server.look(warns=False)
        reply = await self._shelf.ask("backlog", "penstock-show", 1000)
        _, _, returned, pending, unread, delayed, _ = reply
        return {
            **await self._server.show(),
            "waiting": str(returned + unread),
            "held": str(pending - returned),
            "delayed": str(delayed),
        }

    async def close(self) -> None:
        await self._client.close()


class QueueOperations(RedisOperations):
    """`SourceOperations` of a queue on a stream."""

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before it is asked for."""
        self._settings = settings = QueueSettings.of(source)
        client = Client(settings.address, settings.place)
        super().__init__(client, stream_shelf(client, settings))

    async def create(self) -> bool:
        await self._server.look(warns=False)
        return bool((await self._shelf.ask("create", "penstock-create", 1000))[1])

    async def peek(
        self, start: Start | int, *, limit: int | None, follow: bool
    ) -> AsyncIterator[tuple[str, Record] | Message]:
        await self.check()
        reader = Reader(self._settings)
        after = await self._before(start)
        shown = 0
        line = self._client.line()
        try:
            while limit is None or shown < limit:
                count = _PAGE if limit is None else min(_PAGE, limit - shown)
                entries = await self._client.call("XRANGE", self._settings.key, after, "+", "COUNT", count)
                for entry in entries:
                    runs = await self._client.call("HGET", self._shelf.keys[3], entry[0])
                    so_far, _, first = (runs or b"0:0").partition(b":")
                    yield reader.message(entry, receipt="", runs=int(so_far), first_received_ms=int(first or 0))
                    shown += 1
                    after = "(" + entry[0].decode()
                if not entries:
                    if not follow:
                        return
                    await self._until_more(line, after)
        finally:
            await asyncio.shield(line.close())

    async def _before(self, start: Start | int) -> str:
        if isinstance(start, int):
            return str(start)
        if start.position == "LATEST":
            newest: list[Any] = await self._client.call("XREVRANGE", self._settings.key, "+", "-", "COUNT", 1)
            return "(" + newest[0][0].decode() if newest else "-"
        if start.position == "AT_TIMESTAMP":
            return str(start.timestamp_ms or 0)
        return "-"

    async def _until_more(self, line: Any, after: str) -> None:
        last = after[1:] if after.startswith("(") else "0-0"
        await line.call(
            "XREAD", "COUNT", 1, "BLOCK", _FOLLOW_MS, "STREAMS", self._settings.key, last, wait_s=_FOLLOW_MS / 1000
        )


class ListOperations(RedisOperations):
    """`SourceOperations` of a queue on a list."""

    def __init__(self, source: SourceContext) -> None:
        """Take the source; nothing is connected to before it is asked for."""
        self._settings = settings = ListSettings.of(source)
        client = Client(settings.address, settings.place)
        super().__init__(client, list_shelf(client, settings))

    async def create(self) -> bool:
        await self._server.look(warns=False)
        return False  # a list is there when something is in it

    async def peek(
        self, start: Start | int, *, limit: int | None, follow: bool
    ) -> AsyncIterator[tuple[str, Record] | Message]:
        if follow or (isinstance(start, Start) and start.position != "TRIM_HORIZON"):
            raise SourceBroken(
                f"{self._settings.place}: a list's values have no times and no ids; it can be shown from its beginning "
                "or from a number on, and not be followed"
            )
        await self.check()
        reader = ValueReader()
        index = start if isinstance(start, int) else 0
        shown = 0
        while limit is None or shown < limit:
            count = _PAGE if limit is None else min(_PAGE, limit - shown)
            values = await self._page(index, count)
            for value in values:
                id_ = str(index).encode()
                yield reader.message((id_, value), receipt="", runs=0, first_received_ms=0)
                shown += 1
                index += 1
            if not values:
                return

    async def _page(self, index: int, count: int) -> list[bytes]:
        key = self._settings.key
        if self._settings.take_from == "left":
            page: list[bytes] = await self._client.call("LRANGE", key, index, index + count - 1)
            return page
        page = await self._client.call("LRANGE", key, -index - count, -index - 1)
        return page[::-1]
