"""Connections to one server: short calls over a few of them, waiting calls over one of their own.

Whatever goes wrong is raised as a `SourceError` with the queue's name in front. A call is sent once: what came of one
whose answer was lost, its caller has to find out.
"""

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

from penstock_redis.address import Address
from penstock_redis.client_types import (
    AnyConnection,
    BlockingConnectionPool,
    ConnectionError_,
    NoBackoff,
    NoScriptError,
    RedisError,
    ResponseError,
    Retry,
)
from penstock_redis.errors import source_error
from penstock_redis.scripts import Script

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 20.0
CONNECTIONS_MAX = 4
GOODBYE_S = 0.5

Argument = str | bytes | int | float


class Client:
    """A few connections to one server. `place` begins each error's sentence."""

    def __init__(self, address: Address, place: str) -> None:
        """Take the address; nothing is connected to before the first call."""
        self.place = place
        self._address = address
        self._closed = asyncio.Event()
        self._pool = BlockingConnectionPool(
            max_connections=CONNECTIONS_MAX,
            timeout=ANSWER_TIMEOUT_S,
            connection_class=address.connection_class,
            **_options(address),
        )

    async def call(self, *command: Argument) -> Any:
        """Send one command and return its raw answer. Raises a SourceError."""
        try:
            return await self._send(command)
        except Exception as raised:  # noqa: BLE001 - `source_error` raises what is not the server's or the network's
            raise source_error(raised, self.place) from None

    async def run(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        """Run a script; it is sent to a server that does not know it. Raises a SourceError."""
        rest = (len(keys), *keys, *arguments)
        try:
            try:
                return await self._send(("EVALSHA", script.name, *rest))
            except NoScriptError:
                return await self._send(("EVAL", script.text, *rest))
        except Exception as raised:  # noqa: BLE001 - see `call`
            raise source_error(raised, self.place) from None

    def line(self) -> "Line":
        """Make a connection of its own, for calls that wait."""
        return Line(self._address, self.place)

    async def close(self) -> None:
        """Let go of all connections. What is called afterwards fails."""
        self._closed.set()
        with contextlib.suppress(TimeoutError, RedisError):
            async with asyncio.timeout(GOODBYE_S):
                await self._pool.disconnect()
        await _let_go()

    async def _send(self, command: Sequence[Argument]) -> Any:
        if self._closed.is_set():
            raise ConnectionError_("it is closed")
        connection: AnyConnection = await self._pool.get_connection()  # type: ignore[no-untyped-call] # no types
        try:
            return await _exchange(connection, command, None)
        finally:
            await self._pool.release(connection)
            if self._closed.is_set():
                # It was under way when all were let go.
                await connection.disconnect()


class Line:
    """One connection, for one call at a time that may wait long. It connects again after a failure."""

    def __init__(self, address: Address, place: str) -> None:
        """Take the address; the first call connects."""
        self._place = place
        self._connection = address.connection_class(**_options(address))

    async def call(self, *command: Argument, wait_s: float) -> Any:
        """Send one command and wait so long for its answer, and a while. Raises a SourceError."""
        try:
            await self._connection.connect()  # type: ignore[no-untyped-call] # no types
            return await _exchange(self._connection, command, wait_s + CONNECT_TIMEOUT_S)
        except Exception as raised:  # noqa: BLE001 - `source_error` raises what is not the server's or the network's
            raise source_error(raised, self._place) from None

    async def close(self) -> None:
        """Hang up."""
        writer = _writer_of(self._connection)
        await self._connection.disconnect(nowait=True)
        await _see_off(writer)
        await _let_go()


async def _exchange(connection: AnyConnection, command: Sequence[Argument], timeout_s: float | None) -> Any:
    is_clean = False
    writer = _writer_of(connection)
    try:
        await connection.send_command(*command)
        if timeout_s is None:
            answer = await connection.read_response()
        else:
            async with asyncio.timeout(timeout_s):
                answer = await connection.read_response(timeout=float("inf"))
        is_clean = True
    except ResponseError:
        is_clean = True
        raise
    finally:
        if not is_clean:
            # The answer to this call must not be taken for that of the next one.
            await connection.disconnect(nowait=True)
            await _see_off(writer)
    return answer


async def _greet(connection: AnyConnection) -> None:
    """Log in. A connection that is refused is seen off here, since its client forgets it."""
    writer = _writer_of(connection)
    try:
        await connection.on_connect()
    except BaseException:
        await _see_off(writer)
        raise


def _writer_of(connection: AnyConnection) -> asyncio.StreamWriter | None:
    writer: asyncio.StreamWriter | None = connection._writer  # noqa: SLF001 - the client drops it without waiting for its end
    return writer


async def _see_off(writer: asyncio.StreamWriter | None) -> None:
    """Wait until a connection is closed, so that nothing of it is left when the loop ends."""
    if writer is None:
        return
    writer.close()
    # With TLS the peer is told first, who may be past answering.
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(GOODBYE_S):
            await writer.wait_closed()


async def _let_go() -> None:
    # A handshake that failed is closed by the loop in its next turns.
    for _ in range(3):
        await asyncio.sleep(0)


def _options(address: Address) -> dict[str, Any]:
    return {
        **address.options,
        "protocol": 2,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": ANSWER_TIMEOUT_S,
        "redis_connect_func": _greet,
        # A call that was sent twice could have been carried out twice.
        "retry": Retry(NoBackoff(), 0),
    }
