"""Serves the endpoint with uvicorn inside the node's own loop. Signals are the node's; an idle one never wakes."""

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import uvicorn
from starlette.types import ASGIApp

from penstock.api import PenstockError

BACKLOG = 128
CLOSE_S = 2


class ListenError(PenstockError):
    """The address can not be listened on. The sentence says why, and what to do."""


def listen(address: str) -> socket.socket:
    """Open the socket of HOST:PORT; port 0 takes a free one. Raises ListenError."""
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    try:
        family, kind, protocol, _, where = socket.getaddrinfo(
            host, int(port), type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        found = socket.socket(family, kind, protocol)
    except OSError as error:
        raise ListenError(f"can not listen on {address}: {error.strerror or error}") from error
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(where)
        found.listen(BACKLOG)
    except OSError as error:
        found.close()
        hint = ""
        if error.errno == errno.EADDRINUSE:
            hint = "; is another node running? choose another port with --listen HOST:PORT, or --listen none"
        raise ListenError(f"can not listen on {address}: {error.strerror}{hint}") from error
    return found


def url_of(listening: socket.socket) -> str:
    """Write where a socket can be reached."""
    host, port = listening.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def is_loopback(listening: socket.socket) -> bool:
    """Tell whether only this machine can reach it."""
    return ipaddress.ip_address(listening.getsockname()[0]).is_loopback


@asynccontextmanager
async def serving(app: ASGIApp, listening: socket.socket) -> AsyncIterator[None]:
    """Serve on an open socket while this is entered; requests that run get two seconds at the end."""
    config = uvicorn.Config(
        app,
        access_log=False,
        log_config=None,
        lifespan="off",
        ws="none",
        date_header=False,
        server_header=False,
        timeout_graceful_shutdown=CLOSE_S,
    )
    server = _Server(config)
    task = asyncio.get_running_loop().create_task(server.serve(sockets=[listening]))
    try:
        yield
    finally:
        server.closing.set()
        await asyncio.wait({task})
        task.result()


class _Server(uvicorn.Server):
    """uvicorn's server without its signal handlers and without its ten looks a second."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.closing = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        await self.closing.wait()
