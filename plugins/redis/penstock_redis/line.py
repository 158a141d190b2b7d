"""One connection for calls that wait, to wherever the queue is."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

from penstock_redis.address import Node
from penstock_redis.client_types import (
    AnyConnection,
    Argument,
    AskError,
    ConnectionError_,
    MovedError,
    RedisError,
    TryAgainError,
)
from penstock_redis.errors import is_of_server, source_error
from penstock_redis.route import Route
from penstock_redis.wire import CONNECT_TIMEOUT_S, exchange, hang_up, let_go, options_of

ANSWER_TIMEOUT_S = 20.0
_ON_THE_WAY_S = 0.1


class Line:
    """One connection, for one call at a time that may wait long. It connects again after a failure."""

    def __init__(self, route: Route, place: str, closed: Callable[["Line"], None]) -> None:
        """Take the way, what errors begin with, and whom to tell of the end; the first call connects."""
        self._route = route
        self._place = place
        self._closed = closed
        self._node: Node | None = None
        self._connection: AnyConnection | None = None
        self._has_left = False

    async def call(self, *command: Argument, wait_s: float) -> Any:
        """Send one command and wait so long for its answer, and a while. Raises a SourceError.

        The answer is None, as after a wait for nothing, where the queue went elsewhere meanwhile.
        """
        node = None
        try:
            node = await self._route.find()
            connection = await self._connected(node)
            return await exchange(connection, command, wait_s + CONNECT_TIMEOUT_S)
        except MovedError as moved:
            if node is not None and self._route.follow(node, moved.host, moved.port):
                return None
            raise source_error(moved, self._place, self._route.words) from None
        except (AskError, TryAgainError):
            await asyncio.sleep(_ON_THE_WAY_S)
            return None
        except Exception as raised:  # noqa: BLE001 - `source_error` raises what is not the server's or the network's
            if self._has_left and isinstance(raised, RedisError | OSError):
                return None
            if node is not None and is_of_server(raised):
                self._route.doubt(node)
            place = f"{self._place} at {node.shown}" if node is not None and self._route.changes else self._place
            raise source_error(raised, place, self._route.words) from None

    async def leave(self) -> None:
        """Cut the call that waits, since the queue is elsewhere by now."""
        if self._connection is not None:
            self._has_left = True
            await hang_up(self._connection)

    async def close(self) -> None:
        """Hang up."""
        self._closed(self)
        if self._connection is not None:
            await hang_up(self._connection)
        await let_go()

    async def _connected(self, node: Node) -> AnyConnection:
        if self._connection is not None and self._node is not node:
            with contextlib.suppress(RedisError, OSError):
                await hang_up(self._connection)
            self._connection = None
        self._has_left = False
        if self._connection is None:
            self._node = node
            self._connection = node.connection_class(**options_of(node, ANSWER_TIMEOUT_S))
        await self._connection.connect()  # type: ignore[no-untyped-call] # no types
        if self._has_left:
            raise ConnectionError_("it was left while it connected")
        return self._connection
