"""One connection to a broker, on pika's asyncio adapter: opened at the first node that takes us, and watched.

It never connects again by itself. When it is lost every channel of it is, and each hears why.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from typing import Any

from penstock.api import SourceError, SourceUnavailable
from penstock_rabbitmq.address import Address
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.errors import again, source_error
from penstock_rabbitmq.pika_numbers import mend
from penstock_rabbitmq.pika_types import AMQPError, AsyncioConnection, ConnectionClosedByClient

CLOSE_S = 2.0
ABORT_S = 1.0

_log = logging.getLogger(__name__)


class Connection:
    """`place` begins each error's sentence, `name` is what the broker's own tools show."""

    def __init__(self, addresses: Sequence[Address], *, place: str, name: str) -> None:
        """Take the nodes to try; nothing is connected to before `open`."""
        self.place = place
        self.error: SourceError | None = SourceUnavailable(f"{place}: the connection is not open")
        """Why it can not be used; None while it can."""
        self.blocked_by: str | None = None
        """Why the broker takes nothing from it now."""
        self.version: tuple[int, ...] = ()
        self.server = ""
        self._addresses = addresses
        self._name = name
        self._pika: Any = None
        self._ended = asyncio.Event()
        self._listeners: list[Callable[[SourceError], None]] = []
        self._unblocked = asyncio.Event()
        self._unblocked.set()

    async def open(self) -> None:
        """Connect to the first node that takes us. Raises the SourceError that says why none does."""
        _quieten()
        mend()
        errors: list[SourceError] = []
        for address in self._addresses:
            try:
                await self._connect(address)
            except SourceError as error:
                errors.append(error)
            else:
                return
        # A node that is down is less of a reason than one that refuses us.
        raise next((error for error in errors if not error.is_retryable), errors[-1])

    async def channel(self) -> Channel:
        """Open a channel."""
        if self.error is not None:
            raise again(self.error)
        channel = Channel(self.place)
        self._listeners.append(channel.on_connection_lost)
        channel.on_forgotten = lambda: self._listeners.remove(channel.on_connection_lost)
        await channel.open(self._pika)
        return channel

    def on_lost(self, listener: Callable[[SourceError], None]) -> None:
        """Tell this one when the connection is lost, after its channels."""
        self._listeners.append(listener)

    async def until_unblocked(self, wait_s: float) -> bool:
        """Wait until the broker takes messages again; False when it does not in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._unblocked.wait()
        return self.blocked_by is None

    async def close(self) -> None:
        """Say goodbye, so that what was written before is carried out; hang up on who does not answer."""
        if self._pika is None:
            return
        with contextlib.suppress(AMQPError):
            self._pika.close()
        if not await self._has_ended(CLOSE_S):
            # A broker that reads nothing for now does not hear us.
            with contextlib.suppress(AMQPError):
                self._pika._terminate_stream(ConnectionClosedByClient(200, "no answer"))  # noqa: SLF001 - no public way
            await self._has_ended(ABORT_S)

    async def _connect(self, address: Address) -> None:
        opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        place = self.place if len(self._addresses) == 1 else f"{self.place} (at {address.shown})"

        def on_open(_connection: Any) -> None:
            if not opened.done():
                opened.set_result(None)

        def on_failed(_connection: Any, error: BaseException) -> None:
            self._ended.set()
            if not opened.done():
                opened.set_exception(_as_source_error(error, place))

        self._ended.clear()
        self._pika = AsyncioConnection(
            address.parameters(self._name),
            on_open_callback=on_open,
            on_open_error_callback=on_failed,
            on_close_callback=self._on_closed,
        )
        try:
            await opened
        except asyncio.CancelledError:
            with contextlib.suppress(AMQPError):
                self._pika.close()
            await self._has_ended(ABORT_S)
            raise
        self.error = None
        self._pika.add_on_connection_blocked_callback(self._on_blocked)
        self._pika.add_on_connection_unblocked_callback(self._on_unblocked)
        properties = self._pika.server_properties or {}
        version = str(properties.get("version", ""))
        self.server = f"{properties.get('product', 'a broker')} {version}".strip()
        self.version = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())

    async def _has_ended(self, wait_s: float) -> bool:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._ended.wait()
        return self._ended.is_set()

    def _on_closed(self, _connection: Any, error: BaseException) -> None:
        if isinstance(error, ConnectionClosedByClient):
            self.error = SourceUnavailable(f"{self.place}: the connection is closed")
        else:
            self.error = _as_source_error(error, self.place)
        self._ended.set()
        self.blocked_by = None
        self._unblocked.set()
        for listener in list(self._listeners):
            listener(self.error)
        self._listeners.clear()

    def _on_blocked(self, _connection: Any, frame: Any) -> None:
        self.blocked_by = str(frame.method.reason) or "an alarm"
        self._unblocked.clear()
        _log.warning("%s: the broker takes no messages for now (%s); sending waits", self.place, self.blocked_by)

    def _on_unblocked(self, _connection: Any, _frame: Any) -> None:
        self.blocked_by = None
        self._unblocked.set()
        _log.info("%s: the broker takes messages again", self.place)


def _as_source_error(error: BaseException, place: str) -> SourceError:
    try:
        return source_error(error, place)
    except Exception as bug:  # noqa: BLE001 - it is told in a callback, where raising would reach nobody
        return SourceUnavailable(f"{place}: the connection failed ({type(bug).__name__}: {bug})")


def _quieten() -> None:
    """Keep the client from logging what we raise as an error, unless somebody asked to see it."""
    logger = logging.getLogger("pika")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL + 1)
