"""Connections to a queue's server: short calls over a few of them, waiting calls over one of their own (`Line`).

Whatever goes wrong is raised as a `SourceError` with the queue's name in front. A call is sent once: what came of one
whose answer was lost, its caller has to find out. It is sent again only where a server said that it did not carry it
out: in a cluster, since another node has the slot or is about to.
"""

import asyncio
import contextlib
import weakref
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from penstock_redis.address import Address, Node
from penstock_redis.client_types import (
    AnyConnection,
    Argument,
    AskError,
    BlockingConnectionPool,
    ConnectionError_,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from penstock_redis.ending import end
from penstock_redis.errors import is_of_server, source_error
from penstock_redis.line import Line
from penstock_redis.route import Route
from penstock_redis.routes import route_of
from penstock_redis.scripts import Script
from penstock_redis.wire import GOODBYE_S, exchange, greet, let_go, options_of

__all__ = ["Argument", "Client", "Line"]

ANSWER_TIMEOUT_S = 20.0
CONNECTIONS_MAX = 4
REDIRECTIONS_MAX = 5
LATE_S = 3.0
"""A call that is so late makes one ask whether its server was replaced."""
TRY_AGAIN_S = 0.3
"""How long a call waits for keys that are on their way: less than what is left of any lease that is kept."""
_TRY_AGAIN_EVERY_S = 0.03


class _Pool:
    """Connections to one server, and how many calls are under way there."""

    def __init__(self, node: Node, client: "Client") -> None:
        self.node = node
        self.under_way = 0
        self._client = client
        self._met: weakref.WeakSet[AnyConnection] = weakref.WeakSet()
        self.connections = BlockingConnectionPool(
            max_connections=CONNECTIONS_MAX,
            timeout=ANSWER_TIMEOUT_S,
            connection_class=node.connection_class,
            **options_of(node, ANSWER_TIMEOUT_S, greeting=self._greet),
        )

    async def _greet(self, connection: AnyConnection) -> None:
        if connection in self._met:
            self._client.breaks += 1
        self._met.add(connection)
        await greet(connection)

    async def close(self) -> None:
        with contextlib.suppress(TimeoutError, RedisError):
            async with asyncio.timeout(GOODBYE_S):
                await self.connections.disconnect()


class Client:
    """A few connections to the server of one queue. `place` begins each error's sentence.

    `breaks` grows whenever a connection was lost and made again, or another server has taken over: what was answered
    before may have been forgotten since, and what was held may be anybody's.
    """

    def __init__(self, address: Address, place: str) -> None:
        """Take the address; nothing is connected to before the first call."""
        self.place = place
        self.breaks = 0
        self.route: Route = route_of(address, place)
        self._closed = asyncio.Event()
        self._pool: _Pool | None = None
        self._lines: set[Line] = set()
        self._leaving: set[asyncio.Task[None]] = set()
        self._confirming: asyncio.Task[None] | None = None
        self._on_replaced: Callable[[], Coroutine[Any, Any, None]] | None = None
        self._looking: asyncio.Task[None] | None = None

    def look_when_replaced(self, look: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Have a server that takes over looked at."""
        self._on_replaced = look

    async def call(self, *command: Argument) -> Any:
        """Send one command and return its raw answer. Raises a SourceError."""
        try:
            return await self._send(command)
        except Exception as raised:  # noqa: BLE001 - `source_error` raises what is not the server's or the network's
            raise self._error(raised) from None

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run a script; it is sent to a server that does not know it. Raises a SourceError."""
        rest = (len(keys), *keys, *arguments)
        try:
            try:
                return await self._send(("EVALSHA", script.name, *rest))
            except NoScriptError:
                return await self._send(("EVAL", script.text, *rest))
        except Exception as raised:  # noqa: BLE001 - see `call`
            raise self._error(raised) from None

    def line(self) -> Line:
        """Make a connection of its own, for calls that wait."""
        line = Line(self.route, self.place, self._lines.discard)
        self._lines.add(line)
        return line

    async def close(self) -> None:
        """Let go of all connections. What is called afterwards fails."""
        self._closed.set()
        for task in (self._confirming, self._looking):
            if task is not None:
                await end(task)
        if self._pool is not None:
            await self._pool.close()
        await asyncio.gather(*self._leaving, return_exceptions=True)
        await let_go()

    async def _send(self, command: Sequence[Argument]) -> Any:
        """Send a command to whoever has the queue, as far as the servers say who that is."""
        loop = asyncio.get_running_loop()
        until_s = loop.time() + TRY_AGAIN_S
        redirections = 0
        while True:
            pool = await self._pool_now()
            try:
                return await self._send_there(pool, command)
            except MovedError as moved:
                redirections += 1
                if redirections > REDIRECTIONS_MAX or not self.route.follow(pool.node, moved.host, moved.port):
                    raise
            except AskError as asked:
                # The keys that are there have gone ahead; those that never were count as gone too.
                try:
                    return await self._send_asking(pool.node, asked, command)
                except TryAgainError:
                    if loop.time() > until_s:
                        raise
                await asyncio.sleep(_TRY_AGAIN_EVERY_S)
            except TryAgainError:
                if loop.time() > until_s:
                    raise
                await asyncio.sleep(_TRY_AGAIN_EVERY_S)

    async def _send_there(self, pool: _Pool, command: Sequence[Argument]) -> Any:
        late = asyncio.get_running_loop().call_later(LATE_S, self._on_late, pool) if self.route.changes else None
        pool.under_way += 1
        try:
            return await self._exchange(pool, command)
        except ReadOnlyError:
            # Whatever else is connected there is no better: a name may lead to another machine by now.
            self.route.doubt(pool.node)
            self._leave(pool)
            raise
        except Exception as raised:
            if is_of_server(raised):
                self.route.doubt(pool.node)
            raise
        finally:
            pool.under_way -= 1
            if late is not None:
                late.cancel()

    async def _exchange(self, pool: _Pool, command: Sequence[Argument]) -> Any:
        connection: AnyConnection = await pool.connections.get_connection()  # type: ignore[no-untyped-call] # no types
        try:
            if self._pool is not pool:
                raise ConnectionError_("it was left while the call waited")
            return await exchange(connection, command)
        finally:
            await pool.connections.release(connection)
            if self._closed.is_set() or self._pool is not pool:
                # It was under way when all were let go.
                await connection.disconnect()

    async def _send_asking(self, node: Node, asked: AskError, command: Sequence[Argument]) -> Any:
        node = node.beside(asked.host or node.options["host"], asked.port)
        connection = node.connection_class(**options_of(node, ANSWER_TIMEOUT_S))
        try:
            await connection.connect()  # type: ignore[no-untyped-call] # no types
            await exchange(connection, ("ASKING",))
            return await exchange(connection, command)
        finally:
            await connection.disconnect()

    async def _pool_now(self) -> _Pool:
        if self._closed.is_set():
            raise ConnectionError_("it is closed")
        node = await self.route.find()
        if self._closed.is_set():
            raise ConnectionError_("it is closed")
        if self._pool is None or self._pool.node is not node:
            if self._pool is not None:
                self._leave(self._pool)
            self._pool = _Pool(node, self)
            if self._on_replaced is not None and self.breaks and (self._looking is None or self._looking.done()):
                self._looking = asyncio.create_task(self._on_replaced())
        return self._pool

    def _leave(self, pool: _Pool) -> None:
        """Cut all that is connected to a server which is not the one any more."""
        if self._pool is not pool:
            return
        self._pool = None
        self.breaks += 1
        for leave in (pool.close, *(line.leave for line in self._lines)):
            task = asyncio.create_task(leave())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    def _on_late(self, pool: _Pool) -> None:
        if self._confirming is None or self._confirming.done():
            self._confirming = asyncio.create_task(self._confirm(pool))

    async def _confirm(self, pool: _Pool) -> None:
        """Ask, while a call is unanswered, whether its server was replaced; if so, cut what waits for it."""
        while self._pool is pool and pool.under_way:
            # Who knows is silent too, or does not know yet.
            with contextlib.suppress(Exception):
                if await self.route.confirm() is not pool.node:
                    self._leave(pool)
            await asyncio.sleep(LATE_S / 2)

    def _error(self, raised: Exception) -> Exception:
        node = self._pool.node if self._pool is not None and self.route.changes else None
        return source_error(raised, self.place if node is None else f"{self.place} at {node.shown}", self.route.words)
