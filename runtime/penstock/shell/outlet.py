"""One destination of one mapping: opened when it is needed, shared by the shards, opened anew after a failure."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from penstock.api import (
    PenstockError,
    RecordRefused,
    SourceBroken,
    SourceDenied,
    SourceError,
    SourceMissing,
    SourceUnavailable,
)
from penstock.core.events.invocation_documents import Document
from penstock.shell.logs import Log
from penstock.shell.writers import ANSWER_S, Writer

CLOSE_S = 5.0


@dataclass(slots=True)
class _Opened:
    """A writer, and how many sends use it. One that failed is closed by whoever uses it last."""

    writer: Writer
    users: int = 0
    is_retired: bool = False


class Outlet:
    """Where documents go. Every error that comes out of here names it, and is a `SourceError` unless it is a bug."""

    def __init__(
        self, name: str, make: Callable[[], Writer], *, check: Callable[[], Awaitable[None]] | None, log: Log
    ) -> None:
        """Take how to call it, what makes a writer, and how to look at it without one (None: by opening one)."""
        self.name = name
        self._log = log
        self._make = make
        self._check = check
        self._opening = asyncio.Lock()
        self._current: _Opened | None = None
        self._closing: set[asyncio.Task[None]] = set()

    async def check(self) -> None:
        """Raise the `SourceError` that says why nothing can be written there now; also for a bug of the plugin's."""
        try:
            async with asyncio.timeout(ANSWER_S):
                if self._check is not None:
                    await self._check()
                else:
                    await self._open_and_close()
        except TimeoutError:
            raise self._silent(ANSWER_S) from None
        except SourceError as error:
            raise self._about(error) from error
        except PenstockError as error:
            raise SourceBroken(f"{self.name}: {error}") from error
        except Exception as error:
            raise SourceBroken(f"{self.name}: internal error, {type(error).__name__}: {error}") from error

    async def write(self, documents: Sequence[Document]) -> Sequence[RecordRefused | None]:
        """Write documents, through the writer that is open or a new one.

        Raises a SourceError for what may pass, or may be mended; anything else is a bug of the destination's.
        """
        try:
            opened = await self._borrow()
        except SourceError as error:
            raise self._about(error) from error
        try:
            async with asyncio.timeout(opened.writer.answer_s):
                return await opened.writer.write(documents)
        except TimeoutError:
            self._retire(opened)
            raise self._silent(opened.writer.answer_s or 0) from None
        except SourceError as error:
            self._retire(opened)
            raise self._about(error) from error
        except BaseException:
            # Also one that was cancelled: nobody knows what it is still busy with.
            self._retire(opened)
            raise
        finally:
            opened.users -= 1
            self._close_unused(opened)

    async def close(self) -> None:
        """Let go of the destination. It is opened again by the next write."""
        if self._current is not None:
            current = self._current
            self._retire(current)
            self._close_unused(current)
        if self._closing:
            await asyncio.wait(self._closing)

    async def _borrow(self) -> _Opened:
        async with self._opening:
            if self._current is None:
                self._current = _Opened(await self._open())
            self._current.users += 1
            return self._current

    async def _open(self) -> Writer:
        writer = self._make()
        try:
            async with asyncio.timeout(ANSWER_S):
                await writer.open()
        except TimeoutError:
            self._close_soon(writer)
            raise self._silent(ANSWER_S) from None
        except BaseException:
            self._close_soon(writer)
            raise
        return writer

    async def _open_and_close(self) -> None:
        writer = self._make()
        try:
            await writer.open()
        finally:
            self._close_soon(writer)

    def _retire(self, opened: _Opened) -> None:
        opened.is_retired = True
        if self._current is opened:
            self._current = None

    def _close_unused(self, opened: _Opened) -> None:
        if opened.is_retired and opened.users == 0:
            self._close_soon(opened.writer)

    def _close_soon(self, writer: Writer) -> None:
        task = asyncio.get_running_loop().create_task(self._close(writer))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close(self, writer: Writer) -> None:
        try:
            async with asyncio.timeout(CLOSE_S):
                await writer.close()
        except Exception as error:  # noqa: BLE001 - it is let go of either way
            reason = f"{type(error).__name__}: {error}".removesuffix(": ")
            self._log.warning("destination did not close", destination=self.name, reason=reason)

    def _about(self, error: SourceError) -> SourceError:
        text = str(error)
        if text.startswith(self.name):
            return error
        for kind in (SourceDenied, SourceMissing):
            if isinstance(error, kind):
                return kind(f"{self.name}: {text}")
        return (SourceUnavailable if error.is_retryable else SourceBroken)(f"{self.name}: {text}")

    def _silent(self, waited_s: float) -> SourceUnavailable:
        return SourceUnavailable(f"{self.name}: it has not answered within {waited_s:.0f} s")
