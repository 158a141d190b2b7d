"""The store's runs of messages for the shell, on a thread of their own (`D22`)."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from penstock.api import Blocking, PenstockError
from penstock.store import RunStore

FORGET_DELAY_S = 1.0
"""What is forgotten waits so long for others to go with."""
RETRY_DELAY_S = 15.0
FORGOTTEN_MAX = 100_000
"""While the file can not be written so many are remembered; what is beyond goes by its age."""


class MessageRuns:
    """One per node. Opens nothing before the first use, and makes no file before the first `write`.

    A StoreError means that the file can not be written or read now (a full disk, a lock): try again later.
    """

    def __init__(self, path: Path) -> None:
        """Take where the store is, or will be made."""
        self._store = RunStore(path)
        self._thread = Blocking("runs")
        self._is_used = False
        self._is_closed = False
        self._forgotten: dict[str, set[str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._forgetting: asyncio.Task[None] | None = None

    async def load(self, queue: str, message_ids: Sequence[str]) -> dict[str, int]:
        """Tell how often each of these was run; what is not in the answer is unknown. Raises StoreError."""
        self._is_used = True
        return await self._thread.call(self._store.load, queue, message_ids)

    async def write(self, queue: str, runs: Mapping[str, int]) -> None:
        """Store how often these were run; on the disk when it returns. Raises StoreError."""
        self._is_used = True
        self._forgotten.get(queue, set()).difference_update(runs)
        await self._thread.call(self._store.write, queue, runs)

    def forget(self, queue: str, message_ids: Iterable[str]) -> None:
        """Drop what is known of messages that are gone for good: soon, in one write with others. Never raises."""
        if self._is_closed or sum(map(len, self._forgotten.values())) >= FORGOTTEN_MAX:
            return
        self._forgotten.setdefault(queue, set()).update(message_ids)
        self._forget_in(FORGET_DELAY_S)

    async def close(self) -> None:
        """Forget what waits, and close the file."""
        self._is_closed = True
        if self._timer is not None:
            self._timer.cancel()
        if self._forgetting is not None:
            await self._forgetting
        if self._is_used:
            await self._forget_all()
            await self._thread.call(self._store.close)
            await self._thread.close()

    def _forget_in(self, delay_s: float) -> None:
        if self._timer is None and self._forgetting is None and not self._is_closed:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_forgetting)

    def _begin_forgetting(self) -> None:
        self._timer = None
        self._forgetting = asyncio.get_running_loop().create_task(self._forget_all(), name="forget message runs")

    async def _forget_all(self) -> None:
        delay_s = FORGET_DELAY_S
        waiting, self._forgotten = self._forgotten, {}
        for queue, message_ids in waiting.items():
            try:
                await self._thread.call(self._store.write, queue, {}, message_ids)
            except PenstockError:
                # Nothing is wrong as long as the messages stay gone; age takes the rows if we can not.
                self._forgotten.setdefault(queue, set()).update(message_ids)
                delay_s = RETRY_DELAY_S
        self._forgetting = None
        if self._forgotten:
            self._forget_in(delay_s)
