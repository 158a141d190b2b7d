"""One command over one connection, and the end of connections, so that nothing of them is left when the loop ends."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from hiredis import pack_command

from penstock_redis.address import Node
from penstock_redis.client_types import AnyConnection, Argument, NoBackoff, ResponseError, Retry

CONNECT_TIMEOUT_S = 5.0
GOODBYE_S = 0.5

Greeting = Callable[[AnyConnection], Awaitable[None]]


async def greet(connection: AnyConnection) -> None:
    """Log in. A connection that is refused is seen off here, since its client forgets it."""
    writer = writer_of(connection)
    try:
        await connection.on_connect()
    except BaseException:
        await see_off(writer)
        raise


def options_of(
    node: Node, answer_s: float, *, connect_s: float = CONNECT_TIMEOUT_S, greeting: Greeting = greet
) -> dict[str, Any]:
    """Give what a connection to a server is made with."""
    return {
        **node.options,
        "protocol": 2,
        "socket_connect_timeout": connect_s,
        "socket_timeout": answer_s,
        "redis_connect_func": greeting,
        # A call that was sent twice could have been carried out twice.
        "retry": Retry(NoBackoff(), 0),
    }


async def exchange(connection: AnyConnection, command: Sequence[Argument], timeout_s: float | None = None) -> Any:
    """Send one command and return its raw answer; without a timeout of its own the connection's holds."""
    is_clean = False
    writer = writer_of(connection)
    try:
        # The client's own packing would take ten times as long for a thousand ids.
        packed = pack_command(tuple(command))  # type: ignore[arg-type] # its stub wants a tuple of one
        await connection.send_packed_command(packed)
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
            await see_off(writer)
    return answer


async def hang_up(connection: AnyConnection) -> None:
    """End a connection."""
    writer = writer_of(connection)
    await connection.disconnect(nowait=True)
    await see_off(writer)


def writer_of(connection: AnyConnection) -> asyncio.StreamWriter | None:
    """Give what has to be seen off once the connection has dropped it."""
    writer: asyncio.StreamWriter | None = connection._writer  # noqa: SLF001 - the client drops it without waiting for its end
    return writer


async def see_off(writer: asyncio.StreamWriter | None) -> None:
    """Wait until a connection is closed."""
    if writer is None:
        return
    writer.close()
    # With TLS the peer is told first, who may be past answering.
    with contextlib.suppress(TimeoutError, OSError):
        async with asyncio.timeout(GOODBYE_S):
            await writer.wait_closed()


async def let_go() -> None:
    """Give the loop its turns to close what failed in a handshake."""
    for _ in range(3):
        await asyncio.sleep(0)
