"""Work that several wait for, and that goes on when one of them gives up."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Shared(Generic[T]):
    """Runs one thing at a time; who asks while it runs gets the same answer."""

    def __init__(self, make: Callable[[], Coroutine[Any, Any, T]]) -> None:
        """Take what makes the work."""
        self._make = make
        self._task: asyncio.Task[T] | None = None

    async def run(self) -> T:
        """Wait for what runs, or is begun now. Being cancelled leaves it to its end."""
        if self._task is None:
            self._task = asyncio.create_task(self._make())
            self._task.add_done_callback(self._on_done)
        return await asyncio.shield(self._task)

    async def stop(self) -> None:
        """End what runs, and wait until it has ended."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _on_done(self, task: asyncio.Task[T]) -> None:
        self._task = None
        if not task.cancelled():
            task.exception()  # heard by whoever waits for it, if anybody still does
