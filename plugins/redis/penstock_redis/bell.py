"""Waiting for news without taking anything.

A call that waits and takes at once (`XREADGROUP … BLOCK`) would hand messages to a node that stood still and is
already taken for dead: nothing checks its lease while it waits. So what waits here only looks; what is taken is taken
by a script that checks. One look is outstanding and outlives the receive that began it, so cancelling costs nothing.
"""

import asyncio
from collections.abc import Sequence

from penstock_redis.client_types import Argument
from penstock_redis.ending import end
from penstock_redis.line import Line

ROUND_S = 60


class Bell:
    """Rings when there may be news since a command was made."""

    def __init__(self, line: Line) -> None:
        """Take a connection of its own."""
        self._line = line
        self._looking: asyncio.Task[bool] | None = None

    def arm(self, command: Sequence[Argument]) -> None:
        """Begin to wait with this command, unless an earlier one still waits; that one sees the same news."""
        if self._looking is not None and self._looking.done() and self._looking.exception() is not None:
            self._looking = None  # a connection that was lost while nobody waited; the server answers again by now
        if self._looking is None:
            self._looking = asyncio.create_task(self._look(command))

    @property
    def waiting(self) -> asyncio.Task[bool] | None:
        """What ends when it rings."""
        return self._looking

    def answer(self) -> bool:
        """Tell whether it rang. Raises the SourceError that kept it from waiting."""
        if self._looking is None or not self._looking.done():
            return False
        looked, self._looking = self._looking, None
        return looked.result()

    async def close(self) -> None:
        """Wait no more."""
        if self._looking is not None:
            looking, self._looking = self._looking, None
            await end(looking)
        await self._line.close()

    async def _look(self, command: Sequence[Argument]) -> bool:
        return bool(await self._line.call(*command, wait_s=ROUND_S))


async def first_of(bells: Sequence[Bell], stop: asyncio.Event, wait_s: float) -> bool:
    """Wait until one rings, `stop` is set, or so long; tell whether one rang. Raises a bell's SourceError."""
    stopped = asyncio.create_task(stop.wait())
    try:
        waiting = [bell.waiting for bell in bells if bell.waiting is not None]
        await asyncio.wait([*waiting, stopped], timeout=max(0.0, wait_s), return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopped.cancel()
    # Each is asked, so that none keeps an old answer.
    rang = [bell.answer() for bell in bells]
    return any(rang)
