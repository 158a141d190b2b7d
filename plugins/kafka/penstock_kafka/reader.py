"""One mapping's reader of one topic: the loop's side. Partitions are the shards, and every position is the engine's.

The group decides which partitions are ours and the member's thread reads them; here is only what the engine asks for.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.api import (
    Assignment,
    Backlog,
    Blocking,
    Checkpoint,
    Fetched,
    ShardsAssigned,
    ShardsLost,
    SourceBroken,
    SourceError,
    SourceUnavailable,
    Start,
    StreamCapabilities,
    Want,
)
from penstock_kafka.buffers import Buffers
from penstock_kafka.client import Consumer
from penstock_kafka.commits import refusal
from penstock_kafka.connection import Connection
from penstock_kafka.ends import Ends
from penstock_kafka.member import Assigned, Event, GroupMember, MemberSettings, Trouble
from penstock_kafka.recovery import Recovery
from penstock_kafka.starts import position_before

T = TypeVar("T")

CAPABILITIES = StreamCapabilities(seekable_by_time=True, balanced=True, leased=False, keyed=True)

ASK_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderSettings:
    """A reader's source settings, its member's, and how many bytes of records it may keep."""

    source: dict[str, Any]
    member: MemberSettings
    records_bytes_max: int


class KafkaReader:
    """A `StreamSource` over a member of a consumer group.

    It also tells what it surely holds (`HoldsShards`), and gives up its place in the group where it is not to come back
    (`LeavesAtOnce`).
    """

    capabilities = CAPABILITIES

    def __init__(self, settings: ReaderSettings) -> None:
        """Take the settings; nothing is connected to before `open`."""
        self._settings = settings
        self._topic = settings.member.topic
        self._member: GroupMember | None = None
        self._buffers = Buffers(settings.records_bytes_max, arrived=self._arrived)
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._epochs: dict[int, int] = {}
        self._partitions: dict[str, int] = {}
        self._recovery = Recovery(settings.source)
        self._ends = Ends(settings.source)
        self._trouble: SourceError | None = None
        self._failure: BaseException | None = None
        self._waiting: asyncio.Future[None] | None = None

    async def open(self) -> None:
        thread = Blocking(f"kafka {self._topic} check")
        try:
            await thread.call(self._look)
        finally:
            await thread.close()
        self._loop = asyncio.get_running_loop()
        self._member = GroupMember(self._settings.member, self._buffers, tell=self._hear)
        self._member.start()

    async def leave(self) -> None:
        self._the_member().leaves = True

    async def close(self) -> None:
        await self._recovery.close()
        await self._ends.close()
        if self._member is not None:
            await self._member.stop()

    async def assignments(self) -> AsyncIterator[Assignment]:
        while True:
            event = await self._events.get()
            if isinstance(event, Assigned):
                self._epochs.update(event.epochs)
                self._partitions.update((f"{self._topic}-{number}", number) for number in event.epochs)
                yield ShardsAssigned(event.shards)
            elif isinstance(event, BaseException):
                raise event
            elif not isinstance(event, Trouble):
                if isinstance(event, ShardsLost):
                    self._forget(event.shards)
                yield event

    async def resolve(self, shard: str, start: Start) -> int:
        partition = self._partition(shard)

        def ask(consumer: Consumer) -> int:
            return position_before(consumer, self._topic, partition, start, timeout_s=ASK_TIMEOUT_S)

        return await self._ask(ask)

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        numbered = [(self._partition(want.shard), want) for want in wants]
        deadline_s = asyncio.get_running_loop().time() + wait_ms / 1000
        while True:
            if self._failure is not None:
                raise self._failure
            found = self._buffers.take(numbered)
            if found:
                return found
            if self._trouble is not None:
                await self._see_whether_it_is_over()
                # What arrived meanwhile has woken nobody.
                continue
            if not await self._wait(deadline_s):
                return ()

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        partition = self._partition(shard)
        epoch = self._epochs.get(partition)
        if epoch is None:
            raise refusal(self._topic, partition)
        await self._the_member().commit(partition, epoch, checkpoint)

    async def release(self, shards: Sequence[str]) -> None:
        self._forget(shards)
        self._the_member().release([self._partition(shard) for shard in shards])

    def holds(self, shard: str) -> bool:
        partition = self._partitions.get(shard)
        if partition is None or self._member is None:
            return False
        return self._member.holds(partition, self._epochs.get(partition))

    async def backlog(self, shard: str, after: int) -> Backlog:
        partition = self._partition(shard)
        end = await self._ends.end(partition)
        # Looked at afterwards, so that what was seen to hold no records meanwhile is not counted.
        beyond = self._buffers.beyond(partition, after)
        if beyond < end - 1:
            # What was trimmed since waits for nobody.
            beyond = max(beyond, await self._ends.first(partition) - 1)
        return Backlog(max(0, end - 1 - beyond))

    def _look(self) -> None:
        Connection(self._settings.source).check(read=True, group=self._settings.member.group)

    def _hear(self, event: Event) -> None:
        if isinstance(event, Trouble):
            self._trouble = event.error
        else:
            if isinstance(event, BaseException):
                self._failure = event
            self._events.put_nowait(event)
        self._wake()

    def _forget(self, shards: Sequence[str]) -> None:
        for shard in shards:
            self._epochs.pop(self._partition(shard), None)

    async def _ask(self, ask: Callable[[Consumer], T]) -> T:
        # While no broker answers, the member's thread has better things to do than to wait for one.
        if self._trouble is not None:
            await self._see_whether_it_is_over()
        return await self._the_member().call(ask)

    async def _see_whether_it_is_over(self) -> None:
        trouble = self._trouble
        error = await self._recovery.ask()
        if error is None:
            if self._trouble is trouble:
                self._trouble = None
        elif isinstance(error, SourceUnavailable) and trouble is not None:
            # What was told first says why, and in the same words each time.
            raise trouble
        else:
            raise error

    async def _wait(self, deadline_s: float) -> bool:
        loop = asyncio.get_running_loop()
        left_s = deadline_s - loop.time()
        if left_s <= 0:
            self._buffers.stop_waiting()
            return False
        self._waiting = waiting = loop.create_future()
        timer = loop.call_at(deadline_s, self._wake)
        try:
            await waiting
        finally:
            timer.cancel()
            self._waiting = None
        return True

    def _arrived(self) -> None:
        # On the member's thread, holding the buffers' lock.
        try:
            self._loop.call_soon_threadsafe(self._wake)
        except RuntimeError:
            return  # the loop is closed: nobody waits

    def _wake(self) -> None:
        if self._waiting is not None and not self._waiting.done():
            self._waiting.set_result(None)

    def _the_member(self) -> GroupMember:
        if self._member is None:
            raise SourceBroken(f"{self._settings.member.place}: the reader was not opened")
        return self._member

    def _partition(self, shard: str) -> int:
        known = self._partitions.get(shard)
        if known is not None:
            return known
        topic, _, number = shard.rpartition("-")
        if topic != self._topic or not number.isdigit():
            raise SourceBroken(f"{self._settings.member.place}: there is no shard {shard!r}")
        return self._partitions.setdefault(shard, int(number))
