"""One connection's life as a receiver: its channels, and for FIFO the ownership of the queue (D26).

The channels are lanes. One of them receives; older ones are emptied, and closed when nothing of theirs is held, or
before the broker's `consumer_timeout` would do it.
"""

import asyncio
import contextlib
import logging
from collections.abc import Callable

from penstock.api import SourceError
from penstock_rabbitmq.channel import Channel
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.errors import QueueLocked
from penstock_rabbitmq.lane import Lane
from penstock_rabbitmq.queue import check_order, look
from penstock_rabbitmq.settings import PREFETCH, Settings

STAND_BY_S = 0.5
"""How often a node that stands by looks whether the queue has lost its owner."""
STRANGER_S = 10.0
ENDING_S = 0.2
LOOKS_PER_TIMEOUT = 60
GRACE_S = 60.0
"""So long before the broker would take a channel away we do; and so long a FIFO queue's pause for it may last."""

_log = logging.getLogger(__name__)


class Session:
    """`on_news` is called when there may be something to take, or something went wrong; `on_full` asks for `tend`."""

    def __init__(
        self, connection: Connection, settings: Settings, *, bytes_max: int, now_s: Callable[[], float]
    ) -> None:
        """Take a connection that is not open yet."""
        self.connection = connection
        self.settings = settings
        self.is_owner = not settings.is_fifo
        self.on_news: Callable[[], None] = lambda: None
        self.on_full: Callable[[], None] = lambda: None
        self.lanes: list[Lane] = []
        """The last one receives."""
        self._bytes_max = bytes_max
        self._now_s = now_s
        self._control: Channel | None = None
        self._lock = asyncio.Lock()
        self._has_name = False
        self._alone_since_s = 0.0
        self._prefetch = settings.prefetch or PREFETCH

    async def open(self) -> None:
        """Connect, look at the queue, and begin to receive; of a FIFO queue that begins with `own`."""
        await self.connection.open()
        self.connection.on_lost(lambda _error: self.on_news())
        await look(await self._controlling(), self.settings)
        if self.settings.is_fifo:
            await check_order(self.connection, self.settings)
        else:
            await self._begin()

    @property
    def prefetch(self) -> int:
        """How many messages the broker may have out here."""
        return self._prefetch

    @property
    def error(self) -> SourceError | None:
        """Why nothing can come any more."""
        if self.connection.error is not None:
            return self.connection.error
        return self.lanes[-1].error if self.lanes else None

    async def own(self) -> bool:
        """Become the queue's one receiver, if nobody is. Order is safe when all that others held is back: they are
        no consumers any more then.
        """
        async with self._lock:
            if self.is_owner:
                return True
            if not self._has_name:
                # Trying for the name is an error in the broker's log; looking is none.
                if (await look(await self._controlling(), self.settings)).consumers:
                    return False
                if not await self._take_name():
                    return False
                self._has_name = True
                self._alone_since_s = self._now_s()
            if (await look(await self._controlling(), self.settings)).consumers:
                self._warn_of_strangers()
                return False
            await self._begin()
            self.is_owner = True
            return True

    async def tend(self) -> float:
        """Close what is empty, replace what is too old or too full; tell in how many seconds to look again."""
        async with self._lock:
            now_s = self._now_s()
            for lane in self.lanes[:-1]:
                if not lane.held or now_s - lane.ending_since_s > self._lane_rest_s:
                    self.lanes.remove(lane)
                    await lane.close()
            if self.lanes and self.lanes[-1].error is None:
                await self._tend_newest(self.lanes[-1], now_s)
            is_ending = len(self.lanes) > 1 or any(lane.is_paused for lane in self.lanes)
            return ENDING_S if is_ending else self.settings.consumer_timeout_s / LOOKS_PER_TIMEOUT

    async def look(self) -> int:
        """Tell how many messages are ready in the queue."""
        async with self._lock:
            return (await look(await self._controlling(), self.settings)).messages

    async def close(self) -> None:
        """Let go: first of the channels, so that all is back in its old order before another can own the queue."""
        for lane in self.lanes:
            with contextlib.suppress(SourceError):
                await lane.close()
        await self.connection.close()

    async def _begin(self) -> None:
        lane = await Lane.open(
            self.connection,
            self.settings.queue,
            prefetch=self._prefetch,
            now_s=self._now_s,
            bytes_max=self._bytes_max,
            on_news=self.on_news,
            on_full=self.on_full,
        )
        self.lanes.append(lane)

    async def _tend_newest(self, lane: Lane, now_s: float) -> None:
        if lane.is_paused:
            # A FIFO queue must have all back before it gives anything out again.
            if not lane.held or now_s - lane.ending_since_s > GRACE_S:
                self.lanes.remove(lane)
                await lane.close()
                await self._begin()
            return
        oldest_s = lane.oldest_s()
        is_old = oldest_s is not None and now_s - oldest_s > self.settings.consumer_timeout_s / 2
        fits = self._fitting_prefetch(lane)
        is_full = lane.bytes_count > self._bytes_max and fits < self._prefetch
        if is_full:
            self._prefetch = fits
        if (is_old or is_full) and self.settings.is_fifo:
            lane.pause(now_s)
        elif is_old or is_full:
            lane.retire(now_s)
            await self._begin()

    async def _take_name(self) -> bool:
        channel = await self.connection.channel()
        try:
            await channel.declare(self.settings.owner_queue, exclusive=True)
        except QueueLocked:
            return False
        await channel.close()
        return True

    async def _controlling(self) -> Channel:
        if self._control is None or self._control.error is not None:
            self._control = await self.connection.channel()
        return self._control

    def _warn_of_strangers(self) -> None:
        if self._now_s() - self._alone_since_s > STRANGER_S:
            self._alone_since_s = self._now_s()
            _log.warning(
                "%s: something that is no node of ours reads this FIFO queue; until it ends nothing is received, since "
                "no order could be kept",
                self.settings.place,
            )

    @property
    def _lane_rest_s(self) -> float:
        """How long a channel that receives no more may last: until shortly before the broker takes it away."""
        half_s = self.settings.consumer_timeout_s / 2
        return max(half_s - GRACE_S, half_s / 2)

    def _fitting_prefetch(self, lane: Lane) -> int:
        average = max(1, lane.arrived_bytes // max(1, lane.arrived))
        return max(1, self._bytes_max // average)
