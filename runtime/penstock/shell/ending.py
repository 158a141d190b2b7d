"""The end of something that runs: because it was asked to end, or because something in it failed."""

import asyncio
from collections.abc import Coroutine
from typing import Any


class Ending:
    """Waits for the end of something, and raises what it was told has failed in the meantime."""

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

    async def until_asked(self) -> None:
        """Wait until somebody asks for the end. Raises what `fail` was given."""
        await self._wait(self._asked)

    async def to_its_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work to its end; a failure cancels it. Raises what `fail` was given, or what the work raised."""
        task = asyncio.get_running_loop().create_task(work)
        try:
            await self._wait(task)
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        task.result()

    async def _wait(self, other: asyncio.Future[None]) -> None:
        awaited: set[asyncio.Future[Any]] = {other, self._failed}
        await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
        if self._failed.done():
            raise self._failed.result()
