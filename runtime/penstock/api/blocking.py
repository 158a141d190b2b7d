"""A blocking client on a thread of its own, for plugins whose client library has no asyncio."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Blocking:
    """One thread, and calls that run on it one after another, in order.

    ```python
    thread = Blocking("orders reader")
    rows = await thread.call(connection.execute, "SELECT …")
    await thread.close()
    ```

    A call that is cancelled still runs to its end on the thread; the next one waits for it. Hand over whole lists: each
    call costs some 50 µs.
    """

    def __init__(self, name: str) -> None:
        """Name the thread, for debuggers and logs. It starts with the first call."""
        self._pool = ThreadPoolExecutor(max_workers=1, thread_name_prefix=name)

    async def call(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run a function on the thread and wait for what it returns or raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, lambda: function(*args, **kwargs))

    async def close(self) -> None:
        """Let the running call end, drop those that wait, and end the thread."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)
