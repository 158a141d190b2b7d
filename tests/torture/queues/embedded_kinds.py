"""Queues in an SQLite file that all nodes share. There is no server to restart."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from penstock.api import Outgoing, SourceContext
from penstock.embedded.plugin import QUEUE
from torture.queues.kinds import Kind, Sending

FILE = "queues.db"


class Embedded(Kind):
    name = "embedded"

    def source(self, queue: str) -> dict[str, Any]:
        return {"Type": "sqlite-queue", "Path": str(self._path), "Queue": queue, **self._settings}

    def make(self, queue: str) -> None:
        asyncio.run(self._make(queue))

    def send(self, queue: str, messages: Sequence[Sending]) -> None:
        asyncio.run(self._send(queue, messages))

    def count(self, queue: str) -> int:
        with closing(sqlite3.connect(f"{self._path.as_uri()}?mode=ro", uri=True, timeout=60)) as connection:
            (found,) = connection.execute(
                "SELECT count(*) FROM message JOIN queue ON queue.id = queue_id WHERE name = ?", (queue,)
            ).fetchone()
            return int(found)

    def leftovers(self, queue: str) -> list[str]:  # noqa: ARG002 - the messages are all that a queue has in the file
        return []

    @property
    def _path(self) -> Path:
        return self.brokers.folder / FILE

    @property
    def _settings(self) -> dict[str, Any]:
        return {"FifoQueue": True} if self.is_fifo else {}

    def _context(self, queue: str) -> SourceContext:
        settings = {"Path": self._path, "Queue": queue, **self._settings}
        return SourceContext(project="torture", name=queue, settings=settings, data_dir=self.brokers.folder)

    async def _make(self, queue: str) -> None:
        assert QUEUE.operate is not None
        operations = QUEUE.operate(self._context(queue))
        try:
            await operations.create()
        finally:
            await operations.close()

    async def _send(self, queue: str, messages: Sequence[Sending]) -> None:
        assert QUEUE.open_destination is not None
        destination = QUEUE.open_destination(self._context(queue))
        try:
            await destination.open()
            answers = await destination.send(
                [
                    Outgoing(value=message.body, group=message.group, deduplication_id=message.deduplication_id)
                    for message in messages
                ]
            )
        finally:
            await destination.close()
        assert not any(answers), answers


class EmbeddedFifo(Embedded):
    name = "embedded-fifo"
    is_fifo = True
