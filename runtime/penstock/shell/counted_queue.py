"""A queue whose broker does not count runs, counted by us (`D22`).

Brokers count other things: a quorum queue each message that a lost connection held, a classic queue nothing at all. So
the runs of a message are kept in the node's store by its id, from its second delivery on: a first delivery needs no
row, and costs nothing. What is counted is what was handed to the function; a node that dies while it holds a message
adds one, since it may have run it.
"""

from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

import msgspec

from penstock.api import Backlog, Message, PenstockError, QueueSource, ReceiptExpired, SourceUnavailable
from penstock.shell.message_runs import MessageRuns


class _Held(msgspec.Struct, gc=False):
    message_id: str
    runs: int
    """This one included, if it comes to it."""
    is_stored: bool


class CountedQueue:
    """A `QueueSource` with counts, on one without.

    Where the store can not be written every call that has to write raises SourceUnavailable, so that nothing is run
    that could not be counted.
    """

    def __init__(self, source: QueueSource, runs: MessageRuns, queue: str) -> None:
        """Take the source, the node's counts, and the name under which they are kept."""
        self._source = source
        self._runs = runs
        self._queue = queue
        self._held: dict[str, _Held] = {}
        self._taken: list[Message] = []
        """Received, and not given to anybody yet."""
        self._uncounted: list[Message] = []
        self._unwritten: dict[str, int] = {}

    async def open(self) -> None:
        """Open the source."""
        await self._source.open()

    async def close(self) -> None:
        """Close the source; what is still held comes back with its count."""
        self._held.clear()
        self._taken, self._uncounted, self._unwritten = [], [], {}
        await self._source.close()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        """Receive, and count what was delivered before. Being cancelled loses nothing."""
        if not self._taken:
            self._taken = list(await self._source.receive(messages_max=messages_max, wait_ms=wait_ms))
            self._uncounted = [message for message in self._taken if message.redelivered]
        if self._uncounted:
            await self._count_again()
        # A write that was cut off is written again with the same figures.
        await self._write(self._unwritten)
        # Never after that: what is given now may be counted further before the rest is.
        self._unwritten = {}
        given, self._taken = self._taken[:messages_max], self._taken[messages_max:]
        for message in given:
            self._held[message.receipt] = _Held(message.message_id, message.receive_count, message.redelivered)
        return given

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        """Store that these are run for the nth time now."""
        held = [self._held[receipt] for receipt in receipts if receipt in self._held]
        await self._write({each.message_id: receive_count for each in held})
        for each in held:
            each.runs, each.is_stored = receive_count, True

    async def ack(self, receipts: Sequence[str]) -> None:
        """Delete messages for good, and what is known of them."""
        await self._settle(receipts, self._source.ack)

    async def reject(self, receipts: Sequence[str]) -> None:
        """Hand messages over to the broker's own dead-letter queue, where they begin anew."""
        await self._settle(receipts, self._source.reject)

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        """Give messages back with their count; what was never run is not counted."""
        held = [self._held[receipt] for receipt in receipts if receipt in self._held]
        changed = {each.message_id: each.runs - (not counted) for each in held if not (counted and each.is_stored)}
        await self._write(changed)
        try:
            await self._source.nack(receipts, delay_ms=delay_ms, counted=counted)
        except ReceiptExpired:
            self._drop(receipts)
            raise
        self._drop(receipts)

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:
        """Make the leases end so long from now."""
        await self._source.extend(receipts, lease_ms=lease_ms)

    async def backlog(self) -> Backlog:
        """Tell how many messages wait."""
        return await self._source.backlog()

    async def _count_again(self) -> None:
        """Put into messages that come once more how often they will have been run with this delivery."""
        try:
            known = await self._runs.load(self._queue, [message.message_id for message in self._uncounted])
        except PenstockError as error:
            raise _not_counted(error) from error
        counts = {
            message.message_id: known[message.message_id] + 1 if message.message_id in known else message.receive_count
            for message in self._uncounted
        }
        self._taken = [
            msgspec.structs.replace(message, receive_count=counts[message.message_id])
            if message.redelivered
            else message
            for message in self._taken
        ]
        self._unwritten, self._uncounted = counts, []

    async def _write(self, runs: Mapping[str, int]) -> None:
        if not runs:
            return
        try:
            await self._runs.write(self._queue, runs)
        except PenstockError as error:
            raise _not_counted(error) from error

    async def _settle(
        self, receipts: Sequence[str], settle: Callable[[Sequence[str]], Coroutine[Any, Any, None]]
    ) -> None:
        try:
            await settle(receipts)
        except ReceiptExpired:
            # Some of them come again, and nobody says which.
            self._drop(receipts)
            raise
        stored = [held.message_id for receipt in receipts if (held := self._held.pop(receipt, None)) and held.is_stored]
        if stored:
            self._runs.forget(self._queue, stored)

    def _drop(self, receipts: Sequence[str]) -> None:
        for receipt in receipts:
            self._held.pop(receipt, None)


def _not_counted(error: PenstockError) -> SourceUnavailable:
    return SourceUnavailable(f"runs of messages can not be counted: {error}")
