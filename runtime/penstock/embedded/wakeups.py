"""Who waits for what in one process: a write wakes exactly those who wait for what it touched.

A key names what can change: `stream:3`, `queue:1`, `mapping:…`. Nobody who waits reads the file meanwhile.
"""

import asyncio
from collections.abc import Iterable


class Waiter:
    """Waits for one key. Make it before you look; what changes after that is never missed.

    ```python
    waiter = wakeups.waiter("queue:1")
    while not (found := await look()):
        await waiter.wait(timeout_ms=20_000)
    waiter.close()
    ```
    """

    __slots__ = ("_event", "_key", "_registry")

    def __init__(self, registry: "Wakeups", key: str) -> None:
        self._registry = registry
        self._key = key
        self._event = asyncio.Event()

    @property
    def is_awake(self) -> bool:
        """Tell whether something changed since the last `rearm`."""
        return self._event.is_set()

    def wake(self) -> None:
        """Wake whoever waits, now or next."""
        self._event.set()

    def rearm(self) -> None:
        """Forget what changed until now, since it is about to be looked at."""
        self._event.clear()

    async def wait(self, timeout_ms: float | None) -> bool:
        """Wait until something changed, or the time is up; tell which."""
        try:
            async with asyncio.timeout(None if timeout_ms is None else max(timeout_ms, 0) / 1000):
                await self._event.wait()
        except TimeoutError:
            return False
        return True

    def close(self) -> None:
        """Stop being woken."""
        self._registry.forget(self._key, self)


class Wakeups:
    """All the waiters of one file."""

    def __init__(self) -> None:
        self._waiters: dict[str, set[Waiter]] = {}

    def waiter(self, key: str) -> Waiter:
        """Begin to listen for a key."""
        waiter = Waiter(self, key)
        self._waiters.setdefault(key, set()).add(waiter)
        return waiter

    def wake(self, keys: Iterable[str]) -> None:
        """Wake all who wait for these keys."""
        for key in keys:
            for waiter in self._waiters.get(key, ()):
                waiter.wake()

    def forget(self, key: str, waiter: Waiter) -> None:
        """Drop a waiter."""
        waiters = self._waiters.get(key)
        if waiters is None:
            return
        waiters.discard(waiter)
        if not waiters:
            del self._waiters[key]
