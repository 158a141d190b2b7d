"""Queues as their producers and operators see them: one class per kind of queue, all with the same face.

A further kind is a class with this face, and an entry in `KINDS`.
"""

from __future__ import annotations

import asyncio
import sqlite3
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from brokers import Produced
from penstock.api import Outgoing, SourceContext
from penstock.embedded.plugin import QUEUE


@dataclass(frozen=True, slots=True)
class Figures:
    """What a broker itself says of a queue, in messages."""

    waiting: int
    """Nobody has them."""
    held: int
    """A receiver has them."""
    returned: int
    """Received before, and back in the queue for whoever comes, at once or later."""

    @property
    def left(self) -> int:
        """How many are there at all."""
        return self.waiting + self.held + self.returned


class Queue(ABC):
    """One queue of one test."""

    def __init__(self, kind: str, *, is_fifo: bool) -> None:
        self.kind = kind
        self.is_fifo = is_fifo
        self.name = f"e2e-{uuid.uuid4().hex[:12]}"

    @abstractmethod
    def source(self) -> dict[str, Any]:
        """Give the settings that name it in `Sources`."""

    @abstractmethod
    def send(self, messages: Iterable[Produced]) -> None:
        """Put messages on it as a producer does that knows nothing of us. A FIFO queue's group is the record's key."""

    @abstractmethod
    def figures(self) -> Figures:
        """Ask the broker."""

    def is_stuck(self) -> bool:
        """Tell whether a node that was stopped in the middle of a write keeps all others from writing."""
        return False

    @abstractmethod
    def remove(self) -> None:
        """Take away what it left behind."""

    def _fifo(self) -> dict[str, Any]:
        return {"FifoQueue": True} if self.is_fifo else {}


class EmbeddedQueue(Queue):
    """In an SQLite file, which several nodes may share."""

    def __init__(self, kind: str, path: Path, *, is_fifo: bool) -> None:
        super().__init__(kind, is_fifo=is_fifo)
        self._path = path
        self._context = SourceContext(
            project="e2e",
            name=self.name,
            settings={"Path": str(path), "Queue": self.name, **self._fifo()},
            data_dir=path.parent,
        )
        asyncio.run(self._create())

    def source(self) -> dict[str, Any]:
        return {"Type": "sqlite-queue", **self._context.settings}

    def send(self, messages: Iterable[Produced]) -> None:
        made = [
            Outgoing(value=message.value, group=(message.key or b"").decode() if self.is_fifo else None)
            for message in messages
        ]
        asyncio.run(self._send(made))

    def figures(self) -> Figures:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)) as connection:
            rows = connection.execute(
                "SELECT coalesce(sum(receive_count = 0), 0), coalesce(sum(token IS NOT NULL), 0), count(*)"
                " FROM message JOIN queue ON queue.id = queue_id WHERE name = ?",
                (self.name,),
            )
            ((waiting, held, count),) = rows.fetchall()
        return Figures(waiting, held, count - waiting - held)

    def is_stuck(self) -> bool:
        with closing(sqlite3.connect(self._path, timeout=1, isolation_level=None)) as connection:
            try:
                connection.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError:
                return True
            connection.execute("ROLLBACK")
            return False

    def remove(self) -> None:
        """The file goes with the test's folder."""

    async def _create(self) -> None:
        assert QUEUE.operate is not None
        operations = QUEUE.operate(self._context)
        await operations.create()
        await operations.close()

    async def _send(self, messages: Sequence[Outgoing]) -> None:
        assert QUEUE.open_destination is not None
        destination = QUEUE.open_destination(self._context)
        await destination.open()
        try:
            assert await destination.send(messages) == [None] * len(messages)
        finally:
            await destination.close()


class RedisQueue(Queue):
    """What streams and lists have in common."""

    def __init__(self, kind: str, url: str, *, is_fifo: bool) -> None:
        super().__init__(kind, is_fifo=is_fifo)
        self.url = url
        self.client: Redis = Redis.from_url(url, decode_responses=True)

    def remove(self) -> None:
        for key in [self.name, *self.client.scan_iter(f"penstock:{{{self.name}}}:*", count=1000)]:
            self.client.delete(key)
        self.client.close()

    def _source(self, type_name: str) -> dict[str, Any]:
        return {"Type": type_name, "Url": self.url, "Key": self.name, **self._fifo()}


class RedisStream(RedisQueue):
    """A stream with a consumer group."""

    group = "shop"
    _BACK = "returned"

    def source(self) -> dict[str, Any]:
        return {**self._source("redis-queue"), "ConsumerGroup": self.group}

    def send(self, messages: Iterable[Produced]) -> None:
        with self.client.pipeline(transaction=False) as pipeline:
            for message in messages:
                group = {"MessageGroupId": (message.key or b"").decode()} if self.is_fifo else {}
                pipeline.xadd(self.name, {"body": message.value or b"", **group})
            pipeline.execute()

    def figures(self) -> Figures:
        groups = {group["name"]: group for group in self.client.xinfo_groups(self.name)}
        if self.group not in groups:
            return Figures(self.client.xlen(self.name), 0, 0)
        pending = {
            consumer["name"]: consumer["pending"] for consumer in self.client.xinfo_consumers(self.name, self.group)
        }
        back = pending.pop(self._BACK, 0)
        unread = self.client.xrange(self.name, f"({groups[self.group]['last-delivered-id']}", "+")
        return Figures(len(unread), sum(pending.values()), back)


class RedisList(RedisQueue):
    """A list; what is taken of it is held beside it."""

    def source(self) -> dict[str, Any]:
        return self._source("redis-list")

    def send(self, messages: Iterable[Produced]) -> None:
        self.client.lpush(self.name, *(message.value or b"" for message in messages))

    def figures(self) -> Figures:
        own = f"penstock:{{{self.name}}}:{self.name}:list"
        with self.client.pipeline() as pipeline:
            pipeline.llen(self.name).hlen(f"{own}:values").zcard(f"{own}:returned")
            waiting, taken, back = pipeline.execute()
        return Figures(waiting, taken - back, back)


Make = Callable[[Callable[[str], str], Path], Queue]
"""Makes a queue, given what tells a broker's address by its name, and a folder for what needs files."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of queue: how one is made, and which broker it needs."""

    make: Make
    broker: str | None = None
    is_fifo: bool = False


KINDS = {
    "embedded-queue": Kind(lambda _, folder: EmbeddedQueue("embedded-queue", folder / "queues.db", is_fifo=False)),
    "embedded FIFO": Kind(
        lambda _, folder: EmbeddedQueue("embedded FIFO", folder / "queues.db", is_fifo=True), is_fifo=True
    ),
    "redis-queue": Kind(lambda address, _: RedisStream("redis-queue", address("redis"), is_fifo=False), broker="redis"),
    "redis-queue FIFO": Kind(
        lambda address, _: RedisStream("redis-queue FIFO", address("redis"), is_fifo=True), broker="redis", is_fifo=True
    ),
    "redis-list": Kind(lambda address, _: RedisList("redis-list", address("redis"), is_fifo=False), broker="redis"),
}


def parameters(wanted: Iterable[str]) -> list[Any]:
    """Make parameters of kinds, each with the mark of the broker that it needs."""
    return [
        pytest.param(name, marks=[getattr(pytest.mark, broker)] if (broker := KINDS[name].broker) else [])
        for name in wanted
    ]


EVERY_KIND = parameters(KINDS)
FIFO_KINDS = parameters(name for name, kind in KINDS.items() if kind.is_fifo)
STANDARD_KINDS = parameters(name for name, kind in KINDS.items() if not kind.is_fifo)
