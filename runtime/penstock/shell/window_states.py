"""The store's window states for the shell: many saves in one transaction, on a thread of its own (`D11`)."""

import asyncio
from collections import deque
from dataclasses import dataclass
from pathlib import Path

from penstock.api import Blocking, PenstockError
from penstock.store import LoadedState, StateStore, StoreError, WindowState

STORE_NAME = "store.db"
FORGET_DELAY_S = 1.0
"""What is forgotten waits so long for a save to go with."""
RETRY_DELAY_S = 15.0
"""What could not be forgotten is tried again after so long, or with the next save."""
WRITE_BYTES_MAX = 16 * 1024 * 1024
"""One transaction takes no more; what is left makes the next one."""
FORGOTTEN_MAX = 10_000
"""While the file can not be written so much is remembered; what is beyond is swept up after a restart."""


class StateUnknown(PenstockError):
    """This store has no such version, or the checkpoint names another store. The sentence says which."""


@dataclass(frozen=True, slots=True, eq=False)
class _Saving:
    state: WindowState
    answer: asyncio.Future[str]


class WindowStates:
    """One per node. Opens nothing before the first `save` or `load`, and makes no file before the first `save`.

    ```python
    states = WindowStates(data_dir.path / STORE_NAME)
    store = await states.save(mapping_uuid, shard, version, state)
    ...
    await states.close()
    ```

    A StoreError means that the file can not be written or read now (a full disk, a lock): try again later.
    """

    def __init__(self, path: Path) -> None:
        """Take where the store is, or will be made."""
        self._store = StateStore(path)
        self._thread = Blocking("store")
        self._is_used = False
        self._is_closed = False
        self._saving: deque[_Saving] = deque()
        self._forgotten: list[str] = []
        self._loaded: list[LoadedState] = []
        self._writing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def save(self, mapping_uuid: str, shard: str, version: str, state: bytes) -> str:
        """Save a state under a version that is new; gives the store's id. It is on the disk when this returns.

        When this is cancelled it is not saved, unless that has begun. Raises StoreError.
        """
        if self._is_closed:
            raise StoreError(f"the store {self._store.path} is closed, since the node ends")
        waiting = _Saving(WindowState(mapping_uuid, shard, version, state), asyncio.get_running_loop().create_future())
        self._saving.append(waiting)
        self._begin_writing()
        try:
            return await waiting.answer
        except asyncio.CancelledError:
            if waiting in self._saving:
                self._saving.remove(waiting)
            raise

    async def load(self, store: str, version: str) -> bytes:
        """Read the state that a stored checkpoint names.

        Only for that: what a load proves about other versions lets them be deleted. Raises StateUnknown, for good, and
        StoreError.
        """
        path = self._store.path
        if self._is_closed:
            raise StoreError(f"the store {path} is closed, since the node ends")
        self._is_used = True
        ours = await self._thread.call(self._store.find_id)
        if ours is None:
            raise StateUnknown(f"the window's state is in the store '{store}', and this node has none at {path}")
        if ours != store:
            raise StateUnknown(f"the window's state is in the store '{store}', and this node's, {path}, is '{ours}'")
        loaded = await self._thread.call(self._store.load, version)
        if loaded is None:
            raise StateUnknown(f"the store {path} has no window state '{version}'")
        if loaded.has_others:
            self._loaded.append(loaded)
            self._write_soon()
        return loaded.state

    def forget(self, version: str) -> None:
        """Delete a version that no checkpoint names any more: soon, in one write with others. Never raises."""
        if not self._is_closed and len(self._forgotten) < FORGOTTEN_MAX:
            self._forgotten.append(version)
            self._write_soon()

    async def close(self) -> None:
        """Write what waits, and close the file."""
        self._is_closed = True
        self._stop_timer()
        if self._saving or self._forgotten or self._loaded:
            self._begin_writing()
        if self._writing is not None:
            await self._writing
        self._stop_timer()
        if self._is_used:
            await self._thread.call(self._store.close)
            await self._thread.close()

    def _write_soon(self, delay_s: float = FORGET_DELAY_S) -> None:
        if self._timer is None and self._writing is None:
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._begin_writing)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin_writing(self) -> None:
        self._stop_timer()
        if self._writing is None:
            self._is_used = True
            self._writing = asyncio.get_running_loop().create_task(self._write_all(), name="save window states")

    async def _write_all(self) -> None:
        try:
            is_well = await self._write()
            while self._saving or (is_well and (self._forgotten or self._loaded)):
                is_well = await self._write()
        finally:
            self._writing = None
        if self._forgotten and not self._is_closed:
            self._write_soon(RETRY_DELAY_S)

    async def _write(self) -> bool:
        """Write what waits in one transaction; False when that failed, and whoever waited has been told."""
        taken = self._take()
        forgotten, self._forgotten = self._forgotten, []
        loaded, self._loaded = self._loaded, []
        try:
            store = await self._thread.call(self._store.write, [one.state for one in taken], forgotten, loaded)
        except Exception as error:  # noqa: BLE001 - a bug is told to whoever waits, and later writes go on
            # What was proven long ago need not hold any more; the next load proves it anew.
            self._forgotten = [*forgotten, *self._forgotten][:FORGOTTEN_MAX]
            for one in taken:
                if not one.answer.done():
                    one.answer.set_exception(StoreError(str(error)) if isinstance(error, PenstockError) else error)
            return False
        for one in taken:
            if not one.answer.done():
                one.answer.set_result(store)
        return True

    def _take(self) -> list[_Saving]:
        taken: list[_Saving] = []
        bytes_count = 0
        while self._saving and bytes_count < WRITE_BYTES_MAX:
            taken.append(self._saving.popleft())
            bytes_count += len(taken[-1].state.state)
        return taken
