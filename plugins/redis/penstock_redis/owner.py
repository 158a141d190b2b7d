"""An owner: the name under which a receiver holds messages, and the lease that is kept alive for all of them.

The lease is one entry on the server, with its end by the server's clock. Every call renews it on the way; a task
renews it when nothing else does, and buries owners whose lease is over, so that what they held comes back. An owner
that was buried itself begins anew under another name: what it held is not its own any more (D27, P8).
"""

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from penstock.api import SourceError
from penstock_redis.client import Argument
from penstock_redis.ending import end
from penstock_redis.shelf import Shelf

LEASE_MS_LEAST = 1_000
LEASE_MS_MOST = 30_000
SURE_SHARE = 0.6
"""A lease is renewed by four fifths at least, so for this share of it it is surely ours after a call."""
AGAIN_S = 0.5
LATE_S = 0.02

_log = logging.getLogger(__name__)


class Owner:
    """Keeps the lease of one receiver. `lost` is told when all that was held is gone, with how it came."""

    def __init__(self, shelf: Shelf, node: str, lease_ms: int, lost: Callable[[], int]) -> None:
        """Take the queue, the node's name, how long a message is leased, and whom to tell of a loss."""
        self.lease_ms = min(max(lease_ms, LEASE_MS_LEAST), LEASE_MS_MOST)
        self.name = ""
        self._shelf = shelf
        self._node = node
        self._lost = lost
        self._sure_until_s = 0.0
        self._bury_from_s = 0.0
        self._bury_at_s: float | None = None
        self._wake_s = 0.0
        self._lock = asyncio.Lock()
        self._poked = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def is_sure(self) -> bool:
        """Whether what is held is surely ours at this moment, without asking."""
        return now_s() < self._sure_until_s

    async def join(self, *, server_uptime_s: float) -> None:
        """Become an owner. Raises a SourceError."""
        if server_uptime_s * 1000 < 2 * self.lease_ms:
            self._be_patient()
        await self._join()

    def keep(self, tend: Callable[[], Awaitable[float | None]]) -> None:
        """Begin to keep the lease; `tend` is called on the way and says in how many seconds it wants to be again."""
        self._task = asyncio.create_task(self._keep(tend))

    def poke(self) -> None:
        """Have `tend` called soon."""
        self._poked.set()

    async def stop(self) -> None:
        """Keep the lease no more; it goes on until its end."""
        if self._task is not None:
            task, self._task = self._task, None
            await end(task)

    async def ask(self, operation: str, *arguments: Argument) -> Any:
        """Carry out an operation under the lease; None where the lease or the group was lost, and both are new now."""
        name, began_s = self.name, now_s()
        try:
            reply = await self._shelf.ask(operation, name, self.lease_ms, *arguments)
        except SourceError:
            # The server was away, maybe for long: the others get the time to renew their leases too.
            self._be_patient()
            raise
        if reply[0] in {b"fenced", b"groupless"} or self.name != name:
            # Also where another call heard of the loss while this one was under way: nothing of that name is ours.
            await self._begin_anew(name)
            return None
        self._sure_until_s = max(self._sure_until_s, began_s + SURE_SHARE * self.lease_ms / 1000)
        return reply

    async def beat(self) -> bool:
        """Renew the lease and bring back what the dead held; False where ours was lost."""
        while True:
            may_bury = now_s() >= self._bury_from_s
            reply = await self.ask("beat", int(may_bury))
            if reply is None:
                return False
            _, server_ms, _, end_ms, _, more, _ = reply
            self.hear_of_end(server_ms, end_ms)
            if not more:
                return True

    def hear_of_end(self, server_ms: int, end_ms: int) -> None:
        """Note when the next lease of another owner ends (-1: nobody's)."""
        self._bury_at_s = None if end_ms < 0 else now_s() + max(0, end_ms - server_ms) / 1000 + LATE_S
        if self._bury_at_s is not None and self._bury_at_s < self._wake_s:
            self._poked.set()

    async def _keep(self, tend: Callable[[], Awaitable[float | None]]) -> None:
        every_s = self.lease_ms / 3000
        beat_at_s = now_s() + every_s
        while True:
            try:
                soon_s = await tend()
                if now_s() >= min(beat_at_s, self._burial_s(beat_at_s)):
                    self._bury_at_s = None
                    await self.beat()
                    beat_at_s = now_s() + every_s
                wake_s = min(beat_at_s, self._burial_s(beat_at_s))
                if soon_s is not None:
                    wake_s = min(wake_s, now_s() + soon_s)
            except SourceError as error:
                _log.debug("the lease of %s could not be renewed: %s", self.name, error)
                wake_s = now_s() + min(AGAIN_S, every_s)
            self._wake_s = wake_s
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(0.0, wake_s - now_s())):
                    await self._poked.wait()
            self._poked.clear()

    def _burial_s(self, latest_s: float) -> float:
        return latest_s if self._bury_at_s is None else max(self._bury_at_s, self._bury_from_s)

    async def _begin_anew(self, name: str) -> None:
        async with self._lock:
            if self.name != name:
                return  # another call has heard of it first
            lost_count = self._lost()
            was_made = await self._join()
        if was_made:
            _log.warning(
                "%s: %s; messages in hand that are dropped: %d",
                self._shelf.client.place,
                self._shelf.lost_words,
                lost_count,
            )
        elif lost_count:
            _log.warning(
                "%s: the lease of this node was over; messages that are delivered again: %d",
                self._shelf.client.place,
                lost_count,
            )

    async def _join(self) -> bool:
        name = f"{self._node}.{uuid.uuid4().hex[:12]}"
        _, was_made = await self._shelf.ask("join", name, self.lease_ms)
        self.name = name
        return bool(was_made)

    def _be_patient(self) -> None:
        self._bury_from_s = now_s() + self.lease_ms / 3000 + AGAIN_S


def now_s() -> float:
    """Tell seconds that go on while the machine sleeps, since leases do."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
