"""What a queue source is: messages that are received under a lease, and settled one by one.

Each message is with one owner at a time: who receives it has it until it is acked, nacked, or the lease runs out
because its owner died.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from penstock.api.records import Message
from penstock.api.stream import Backlog


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueCapabilities:
    """What a queue source can do. A mapping that asks for more is refused when it is made."""

    delayed: bool = False
    """`nack` honours a delay. Without it the engine holds a failed message for the delay itself; once such messages
    take half of what it may hold it gives further ones back with their delay, for `nack` to keep as well as it can."""
    grouped: bool = False
    """FIFO: with `FifoQueue` messages carry their group and come in its order, and while we hold one no other receiver
    gets a later one of its group."""
    exclusive: bool = False
    """FIFO: one receiver at a time has the whole queue, and others stand by until it is gone. So a second mapping on it
    is refused."""
    counted: bool = False
    """Runs are counted in the queue: each receive is one unless `nack(counted=False)` takes it back, and `count` says
    how many there are. They survive us. Without it the node counts, by the messages' ids, and `count` is never called;
    a message that has no id of its own gets a new one with each delivery then, and counts as the broker says (D22)."""
    leased: bool = False
    """A lease lapses by time, and `extend` moves its end; without it a lease is the connection."""


class QueueSource(Protocol):
    """One mapping's receiver of one queue.

    All methods run on the engine's loop and never block it. Every one may raise a `SourceError`. A receipt that is no
    longer valid makes the call raise `ReceiptExpired` *after* the valid ones of the same call were settled.
    """

    async def open(self) -> None:
        """Connect and check what is needed to receive. Raises the `SourceError` that says what is wrong."""

    async def close(self) -> None:
        """Let go of everything; what is still held comes back by its lease. Called once, also after a failed `open`."""

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        """Take up to so many messages under a lease of the queue's visibility timeout; wait up to `wait_ms` for one.

        One receive is outstanding per mapping. Being cancelled loses nothing: what was taken is returned, uncounted, or
        given by the next receive.
        """

    async def ack(self, receipts: Sequence[str]) -> None:
        """Delete messages for good."""

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        """Give messages back, to be received again after a delay. `counted=False`: they were never run (D20)."""

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        """Store that these are run for the nth time now; they stay held by us (D22). Twice is the same as once.

        Only called where `counted`, before the run. A message of a FIFO queue is not given back between two runs.
        """

    async def reject(self, receipts: Sequence[str]) -> None:
        """Hand messages over to the broker's own dead-letter queue, where it has one."""

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:
        """Make the leases end so long from now."""

    async def backlog(self) -> Backlog:
        """Tell how many messages wait to be received, and how many are delayed or held by anyone."""
