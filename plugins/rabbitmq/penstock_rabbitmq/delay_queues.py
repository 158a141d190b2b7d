"""Where failed messages wait that are too many to be held: queues of ours that give them back when they expire (D26).

A queue for each length of time, since the broker looks for what has expired only at a queue's head: in one queue a
long delay would hold up the short ones behind it. The queue's own visibility timeout is kept to the second; other
delays are made up to a quarter longer, so that they need few queues.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from penstock.api import SourceBroken, SourceDenied, SourceError
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.delayed import copy_of
from penstock_rabbitmq.messages import Delivery
from penstock_rabbitmq.publisher import Publication, Publisher
from penstock_rabbitmq.queue import is_there
from penstock_rabbitmq.settings import DELAY_PREFIX, NAME_BYTES_MAX, Settings

UNUSED_S = 86_400
"""A queue goes when nothing was moved there for this much longer than its delay."""
DECLARE_AGAIN_S = 3_600.0
"""Declaring is what a broker takes for use; publishing is not."""
SETTLING_S = 10.0
"""A broker that is killed within seconds of making a queue may forget it and what is in it (seen on 3.10)."""
_HIGH = 4
"""Above it a message overtakes others in quorum queues of 4.x, whose head would then say little of the others."""
_STEPS_PER_OCTAVE_BITS = 3

_log = logging.getLogger(__name__)


class DelayQueues:
    """Those of one queue. Connects when there is something to move, and again after an error."""

    def __init__(self, settings: Settings, *, lease_ms: int, name: str, now_s: Callable[[], float]) -> None:
        """Take the queue, its visibility timeout, and what the broker's own tools show."""
        self.is_refused = False
        """We may not make them; that was said."""
        self._settings = settings
        self._lease_ms = lease_ms
        self._name = name
        self._now_s = now_s
        self._publisher: Publisher | None = None
        self._declared_s: dict[str, float] = {}
        self._lock = asyncio.Lock()

    async def move(self, deliveries: Sequence[Delivery], *, delay_ms: int, counted: bool) -> bool:
        """Have copies wait for so long; True when the broker has confirmed them all. What is False was said."""
        if self.is_refused:
            return False
        seconds = seconds_of(delay_ms, own_ms=self._lease_ms)
        publications = [
            Publication(
                queue_name(self._settings.queue, seconds, is_high=(delivery.properties.priority or 0) > _HIGH),
                delivery.body,
                copy_of(delivery, counted=counted),
            )
            for delivery in deliveries
        ]
        publisher: Publisher | None = None
        try:
            async with self._lock:
                publisher = await self._usable_publisher()
                for queue in sorted({publication.queue for publication in publications}):
                    await self._declare(publisher.connection, queue, seconds)
            await publisher.send(publications)
        except (SourceDenied, SourceBroken) as error:
            self.is_refused = True
            _log.warning(
                "%s; messages that failed and are too many to be held go back to the queue before their time. A larger "
                "Prefetch holds more, and the right to configure and read %s<seconds>.%s has them wait there",
                error,
                DELAY_PREFIX,
                self._settings.queue,
            )
            return False
        except SourceError as error:
            _log.warning("%s; %d messages that failed go back to the queue before their time", error, len(publications))
            await self._forget(publisher)
            return False
        return True

    async def close(self) -> None:
        """Hang up; what waits there comes back all the same."""
        await self._forget(self._publisher)

    async def _usable_publisher(self) -> Publisher:
        publisher = self._publisher
        if publisher is not None and publisher.connection.error is None:
            return publisher
        await self._forget(publisher)
        settings = self._settings
        made = Publisher(settings.addresses, place=settings.place, name=f"{self._name} delays")
        self._publisher = made
        await made.open()
        return made

    async def _forget(self, publisher: Publisher | None) -> None:
        if publisher is None:
            return
        if self._publisher is publisher:
            self._publisher = None
            self._declared_s.clear()
        await publisher.close()

    async def _declare(self, connection: Connection, queue: str, seconds: int) -> None:
        declared_s = self._declared_s.get(queue)
        if declared_s is not None and self._now_s() - declared_s < DECLARE_AGAIN_S:
            return
        if len(queue.encode()) > NAME_BYTES_MAX:
            raise SourceBroken(f"{self._settings.place}: its name is too long for {DELAY_PREFIX}<seconds>. before it")
        is_new = not await is_there(connection, queue)
        channel = await connection.channel()
        try:
            await channel.declare(
                queue,
                arguments={
                    # Classic queues drop what has expired before they know that it arrived elsewhere.
                    "x-queue-type": "quorum",
                    "x-dead-letter-strategy": "at-least-once",
                    "x-overflow": "reject-publish",
                    "x-dead-letter-exchange": "",
                    "x-dead-letter-routing-key": self._settings.queue,
                    "x-message-ttl": seconds * 1000,
                    "x-expires": (seconds + UNUSED_S) * 1000,
                },
            )
        finally:
            await channel.close()
        if is_new:
            await asyncio.sleep(SETTLING_S)
        self._declared_s[queue] = self._now_s()


async def may_delay(connection: Connection, settings: Settings) -> bool:
    """Tell whether we may make delay queues; nothing is made."""
    queue = queue_name(settings.queue, 0)
    if len(queue.encode()) > NAME_BYTES_MAX:
        return False
    channel = await connection.channel()
    try:
        # There is none of that name; whether we might make it shows all the same.
        await channel.delete(queue)
    except SourceDenied:
        return False
    await channel.close()
    return True


def queue_name(queue: str, seconds: int, *, is_high: bool = False) -> str:
    """Name the delay queue of a queue for so many seconds."""
    return f"{DELAY_PREFIX}{seconds}{'-high' if is_high else ''}.{queue}"


def seconds_of(delay_ms: int, *, own_ms: int) -> int:
    """Tell for how long a message waits that is to wait for so many ms: never shorter.

    >>> [seconds_of(ms, own_ms=33_000) for ms in (1, 7_000, 33_000, 33_001, 900_000)]
    [1, 7, 33, 40, 1024]
    """
    seconds = -(-delay_ms // 1000)
    if delay_ms == own_ms:
        return max(1, seconds)
    step = 1 << max(0, seconds.bit_length() - _STEPS_PER_OCTAVE_BITS)
    return max(1, -(-seconds // step) * step)
