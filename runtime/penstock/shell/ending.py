"""The end of something that runs: because it was asked to end, or because something in it failed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Ending:
    """Runs work that others may end, by asking for it or by failing."""

    def __init__(self) -> None:
        """Belongs to the running loop."""
        loop = asyncio.get_running_loop()
        self._asked: asyncio.Future[None] = loop.create_future()
        # Holds the failure as a value: whether anybody ever looks at it depends on what ends first.
        self._failed: asyncio.Future[BaseException] = loop.create_future()

    def ask(self) -> None:
        """Ask for the end."""
        if not self._asked.done():
            self._asked.set_result(None)

    def fail(self, error: BaseException) -> None:
        """Say what went wrong; the first one counts."""
        if not self._failed.done():
            self._failed.set_result(error)

    async def until_asked(self, work: Coroutine[Any, Any, None]) -> None:
        """Run until the end is asked for, then cancel the work. Raises what `fail` was given or the work raised.

        Work that ends by itself has failed.
        """
        if not await self._run(work, self._asked):
            raise RuntimeError("the source's assignments() ended by itself; it may only end by being cancelled")

    async def to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the work to its end. Raises what `fail` was given or the work raised."""
        await self._run(work)

    async def _run(self, work: Coroutine[Any, Any, None], *others: asyncio.Future[None]) -> bool:
        task = asyncio.get_running_loop().create_task(work)
        try:
            awaited: set[asyncio.Future[Any]] = {task, self._failed, *others}
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if self._failed.done():
            if not task.cancelled():
                task.exception()
            raise self._failed.result()
        if not task.cancelled():
            task.result()
        return any(other.done() for other in others)
