"""Where a topic's partitions begin and end, asked over a connection of its own.

A broker answers one connection's questions in their order, and a consumer's fetch waits there for up to half a second:
whatever else the consumer asks the same broker waits behind it.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

from penstock.api import Blocking
from penstock_kafka.client import Admin, KafkaException, TopicPartition, new_admin
from penstock_kafka.config import common_config
from penstock_kafka.connection import place_of
from penstock_kafka.errors import source_error

ASK_TIMEOUT_S = 5.0


class Ends:
    """One per reader. Connects when it is first asked."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take the source's settings."""
        self._settings = settings
        self._topic: str = settings["Topic"]
        self._thread = Blocking(f"kafka {self._topic} ends")
        self._admin: Admin | None = None
        self._connecting = asyncio.Lock()

    async def first(self, partition: int) -> int:
        """Tell the offset of the oldest record that is there. Raises the SourceError that says why not."""
        return await self._ask(partition, newest=False)

    async def end(self, partition: int) -> int:
        """Tell the offset after the last record that is committed. Raises the SourceError that says why not."""
        return await self._ask(partition, newest=True)

    async def close(self) -> None:
        """Let go of the connection."""
        self._admin = None
        await self._thread.close()

    async def _ask(self, partition: int, *, newest: bool) -> int:
        async with self._connecting:
            # One client for all shards: one that is let go of takes what it was asked with it.
            if self._admin is None:
                self._admin = await self._thread.call(new_admin, common_config(self._settings))
        part = TopicPartition(self._topic, partition)
        answer = self._admin.list_offset(part, newest=newest, timeout_s=ASK_TIMEOUT_S)
        try:
            # The answers come on the client's own thread; only waiting for one must not block the loop.
            found = await asyncio.wrap_future(answer)
        except KafkaException as raised:
            raise source_error(raised, place_of(self._settings)) from None
        return int(found.offset)
