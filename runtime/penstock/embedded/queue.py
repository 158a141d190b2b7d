"""The queue source `sqlite-queue`: one mapping's receiver of one queue in an embedded file."""

import asyncio
import sqlite3
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial

from penstock.api import (
    Backlog,
    MappingContext,
    Message,
    ReceiptExpired,
    SourceBroken,
    SourceContext,
    SourceError,
    SourceMissing,
)
from penstock.embedded.commits import Transaction
from penstock.embedded.fifo import next_change_ms
from penstock.embedded.file import SourceFile
from penstock.embedded.messages import (
    Queue,
    count_runs,
    delete_messages,
    extend_leases,
    find_queue,
    next_visible_ms,
    queue_backlog,
    receive_messages,
    return_messages,
)
from penstock.embedded.settings import QueueSettings
from penstock.embedded.wakeups import Waiter

_TRY_NOW = 0
"""Stands for a time at which a message may be visible when nothing is known."""


class EmbeddedQueue:
    """Receives under leases. See `penstock.api.QueueSource` for what each method promises.

    A receipt stands for one receive: once the message was received again, or settled, it has expired. A lease that ran
    out harms nobody while nobody received the message again.
    """

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._settings = QueueSettings.of(source)
        self._lease_ms = mapping.lease_ms
        self._owner = uuid.uuid4().hex
        self._file: SourceFile | None = None
        self._queue: Queue | None = None
        self._waiter: Waiter | None = None
        self._next_visible_ms: int | None = _TRY_NOW
        self._returns: set[asyncio.Task[None]] = set()

    async def open(self) -> None:
        self._file = await SourceFile.acquire(self._settings.path)
        self._queue = await open_queue(self._file, self._settings)
        self._waiter = self._file.wakeups.waiter(self._queue.signal)

    async def close(self) -> None:
        if self._file is None:
            return
        await asyncio.gather(*self._returns, return_exceptions=True)
        file, self._file = self._file, None
        if self._waiter is not None:
            self._waiter.close()
        await file.release()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        file, queue, waiter = self._opened()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + wait_ms / 1000
        while True:
            if waiter.is_awake:
                # Cleared before looking: what comes while we look wakes us again.
                waiter.rearm()
                self._next_visible_ms = _TRY_NOW
            if self._next_visible_ms is not None and self._next_visible_ms <= _now_ms():
                if messages := await self._take(messages_max):
                    return messages
                self._next_visible_ms = await file.read(partial(_next_look_ms, queue=queue))
            left_ms = (deadline - loop.time()) * 1000
            if left_ms <= 0:
                return []
            if self._next_visible_ms is not None:
                left_ms = min(left_ms, max(0, self._next_visible_ms - _now_ms()) + 1)
            await waiter.wait(left_ms)

    async def ack(self, receipts: Sequence[str]) -> None:
        queue = self._opened()[1]
        await self._settle(receipts, partial(delete_messages, queue=queue, receipts=receipts))
        self._opened()[0].housekeeper.space_was_freed()

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        queue = self._opened()[1]
        await self._settle(
            receipts, partial(return_messages, queue=queue, receipts=receipts, delay_ms=delay_ms, counted=counted)
        )

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        await self._settle(receipts, partial(count_runs, receipts=receipts, receive_count=receive_count))

    async def reject(self, receipts: Sequence[str]) -> None:  # noqa: ARG002 - the protocol's
        raise SourceBroken(f"queue {self._settings.name!r} has no dead-letter queue of its own; set a RedrivePolicy")

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:
        await self._settle(receipts, partial(extend_leases, receipts=receipts, lease_ms=lease_ms), relaxed=True)

    async def backlog(self) -> Backlog:
        file, queue, _ = self._opened()
        return await file.read(partial(queue_backlog, queue=queue, now_ms=_now_ms()))

    async def _take(self, messages_max: int) -> list[Message]:
        file, queue, _ = self._opened()
        token = uuid.uuid4().hex
        taken: list[Message] = []

        def take(transaction: Transaction) -> None:
            taken[:] = receive_messages(transaction, queue, token, messages_max, self._lease_ms, owner=self._owner)

        try:
            await file.write(take)
        except asyncio.CancelledError:
            # The taking may still be under way on its thread; what gives back runs on the same thread, after it.
            giving_back = asyncio.create_task(self._give_back(file, queue, taken))
            self._returns.add(giving_back)
            giving_back.add_done_callback(self._returns.discard)
            raise
        return taken

    async def _give_back(self, file: SourceFile, queue: Queue, taken: list[Message]) -> None:
        def give_back(transaction: Transaction) -> None:
            if taken:
                receipts = [message.receipt for message in taken]
                return_messages(transaction, queue, receipts, delay_ms=0, counted=False)

        try:
            await file.write(give_back)
        except SourceError:
            return  # they come back when their lease ends

    async def _settle(
        self, receipts: Sequence[str], settle: Callable[[Transaction], int], *, relaxed: bool = False
    ) -> None:
        settled_count = await self._opened()[0].write(settle, relaxed=relaxed)
        expired_count = len(set(receipts)) - settled_count
        if expired_count > 0:
            raise ReceiptExpired(
                f"queue {self._settings.name!r}: {expired_count} of {len(receipts)} receipts stand for no message that "
                "we hold"
            )

    def _opened(self) -> tuple[SourceFile, Queue, Waiter]:
        assert self._file is not None
        assert self._queue is not None
        assert self._waiter is not None
        return self._file, self._queue, self._waiter


async def open_queue(file: SourceFile, settings: QueueSettings) -> Queue:
    """Find a queue in its file. Raises SourceMissing, and SourceBroken where it is of the other kind."""
    queue = await file.read(partial(find_queue, name=settings.name))
    if queue is None:
        raise SourceMissing(f"queue {settings.name!r} is not in {file.path}")
    if queue.is_fifo != settings.is_fifo:
        kinds = ("a FIFO queue", "false") if queue.is_fifo else ("a standard queue", "true")
        raise SourceBroken(f"queue {settings.name!r} in {file.path} is {kinds[0]}, and FifoQueue is {kinds[1]}")
    return queue


def _next_look_ms(connection: sqlite3.Connection, queue: Queue) -> int | None:
    # What is visible in a FIFO queue and was not given has to wait for others of its group.
    return next_change_ms(connection, queue.id, _now_ms()) if queue.is_fifo else next_visible_ms(connection, queue)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
