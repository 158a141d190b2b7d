"""A queue source under check, and what is done with it again and again."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass

from penstock.api import Destination, MappingContext, Message, QueueSource, SourceContext, SourceType


@dataclass(frozen=True, kw_only=True)
class QueueSubject:
    """A source to be checked: it exists, is empty, and is this check's alone."""

    type: SourceType
    source: SourceContext
    patience_s: float = 20.0

    @property
    def is_fifo(self) -> bool:
        """Whether its messages have groups and an order."""
        return self.type.capabilities.grouped and bool(self.source.settings.get("FifoQueue"))

    @contextlib.asynccontextmanager
    async def writer(self) -> AsyncIterator[Destination]:
        destination = self.type.open_destination(self.source)
        try:
            await destination.open()
            yield destination
        finally:
            await destination.close()

    @contextlib.asynccontextmanager
    async def receiver(self, node="node-1", lease_ms=30_000) -> AsyncIterator[QueueSource]:
        mapping = MappingContext(
            mapping="function.event",
            uuid=str(uuid.uuid5(uuid.NAMESPACE_DNS, self.source.name)),
            node=node,
            settings={},
            buffer_bytes_max=1 << 24,
            lease_ms=lease_ms,
        )
        source = self.type.open_queue(self.source, mapping)
        try:
            await source.open()
            yield source
        finally:
            await source.close()

    async def receive(self, receiver: QueueSource, count: int) -> list[Message]:
        """Receive until there are so many."""
        messages: list[Message] = []
        async with asyncio.timeout(self.patience_s):
            while len(messages) < count:
                messages += await receiver.receive(messages_max=count - len(messages), wait_ms=1000)
        return messages

    async def is_empty(self, receiver: QueueSource) -> bool:
        backlog = await receiver.backlog()
        return backlog.count == 0 and backlog.delayed == 0
