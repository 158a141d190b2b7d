"""The queues that cases run on, one for each: embedded in a file, or on a Redis, a stream or a list.

Another kind is a class that gives the settings of its sources, as those below. Messages are sent through what every
plugin has for that, and read without taking them where it can do so.
"""

from __future__ import annotations

import asyncio
import uuid
from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from redis import Redis

from penstock.api import Message, Outgoing, SourceContext, SourceType, Start
from penstock.configuration import Project


class Queues(ABC):
    """Where the queues of all cases are."""

    gives_back: ClassVar[bool] = True
    """What failed is received again, under a receipt of its own, and not held by the node until it runs again."""

    window_s: ClassVar[int] = 0
    """The batching window that makes one batch of what is sent at once: none, where it is received at once too."""

    @abstractmethod
    def source(self, name: str) -> dict[str, Any]:
        """Give the settings of a source that is a queue of this name; it is made when something is sent there."""

    @abstractmethod
    def close(self) -> None:
        """Delete what was made."""

    def send(self, project: Project, name: str, messages: Sequence[Outgoing]) -> None:
        """Send messages to a source of a project at once, making it where it is not there."""
        asyncio.run(_send(project.sources[name].type, context_of(project, name), messages))

    def read(self, project: Project, name: str) -> list[Message]:
        """Read what is on a source of a project, which nobody reads now."""
        return asyncio.run(_read(project.sources[name].type, context_of(project, name)))


class EmbeddedQueues(Queues):
    """Queues of one file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "queues.db"

    def source(self, name: str) -> dict[str, Any]:
        return {"Type": "sqlite-queue", "Path": str(self._path), "Queue": name, "Create": True}

    def close(self) -> None:
        """They are in the test's own folder."""


class RedisStreamQueues(Queues):
    """Streams of a server, each with a consumer group."""

    type: ClassVar[str] = "redis-queue"

    def __init__(self, url: str) -> None:
        self._url = url
        self._keys: list[str] = []

    def source(self, name: str) -> dict[str, Any]:
        key = f"{name}-{uuid.uuid4().hex[:12]}"
        self._keys.append(key)
        return {"Type": self.type, "Url": self._url, "Key": key}

    def close(self) -> None:
        with Redis.from_url(self._url) as server:
            for key in self._keys:
                server.delete(key, *server.scan_iter(f"penstock:*{key}*"))


class RedisLists(RedisStreamQueues):
    """Lists of a server, which have no groups."""

    type: ClassVar[str] = "redis-list"


async def _send(kind: SourceType, context: SourceContext, messages: Sequence[Outgoing]) -> None:
    assert kind.operate is not None
    assert kind.open_destination is not None
    operations = kind.operate(context)
    try:
        await operations.create()
    finally:
        await operations.close()
    destination = kind.open_destination(context)
    try:
        await destination.open()
        refused = [answer for answer in await destination.send(messages) if answer is not None]
    finally:
        await destination.close()
    assert not refused, f"{context.name} refused {len(refused)} messages: {refused[0]}"


async def _read(kind: SourceType, context: SourceContext) -> list[Message]:
    assert kind.operate is not None
    operations = kind.operate(context)
    try:
        found = [each async for each in operations.peek(Start("TRIM_HORIZON"), limit=None, follow=False)]
    finally:
        await operations.close()
    return [each for each in found if isinstance(each, Message)]


def context_of(project: Project, name: str) -> SourceContext:
    """Describe a source of a project to its plugin."""
    return SourceContext(
        project=project.name,
        name=name,
        settings=project.sources[name].settings,
        data_dir=project.settings.data_dir,
    )
