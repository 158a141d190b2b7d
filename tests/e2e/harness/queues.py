"""Queues as their producers and operators see them: one class per kind of queue, all with the same face.

A further kind is a class with this face, and an entry in `KINDS`.
"""

from __future__ import annotations

import asyncio
import base64
import json
import sqlite3
import time
import urllib.request
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import pika
import pytest
from redis import Redis

from brokers import Produced
from brokers.fixtures import RabbitMqBroker
from penstock.api import Outgoing, SourceContext, SourceType
from penstock.embedded.plugin import QUEUE
from penstock_rabbitmq.plugin import RABBITMQ


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

    sends_ahead: ClassVar[bool] = False
    """The broker hands messages over before they are asked for, so that who has them does not say what will run."""

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

    def room_for(self, count: int) -> dict[str, Any]:  # noqa: ARG002 - most brokers send what is asked for
        """Give the settings of a source by which one node may have so many messages at a time."""
        return {}

    def is_stuck(self) -> bool:
        """Tell whether a node that was stopped in the middle of a write keeps all others from writing."""
        return False

    @abstractmethod
    def remove(self) -> None:
        """Take away what it left behind."""

    def _fifo(self) -> dict[str, Any]:
        return {"FifoQueue": True} if self.is_fifo else {}


async def create(kind: SourceType, source: SourceContext) -> None:
    """Make a queue as an operator does."""
    assert kind.operate is not None
    operations = kind.operate(source)
    await operations.create()
    await operations.close()


def outgoing(messages: Iterable[Produced], *, is_fifo: bool) -> list[Outgoing]:
    """Make them messages of a queue; with a group where it has groups."""
    return [
        Outgoing(value=message.value, group=(message.key or b"").decode() if is_fifo else None) for message in messages
    ]


async def deliver(kind: SourceType, source: SourceContext, messages: Sequence[Outgoing]) -> None:
    """Send them by the source's own plugin."""
    assert kind.open_destination is not None
    destination = kind.open_destination(source)
    await destination.open()
    try:
        assert await destination.send(messages) == [None] * len(messages)
    finally:
        await destination.close()


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
        asyncio.run(create(QUEUE, self._context))

    def source(self) -> dict[str, Any]:
        return {"Type": "sqlite-queue", **self._context.settings}

    def send(self, messages: Iterable[Produced]) -> None:
        asyncio.run(deliver(QUEUE, self._context, outgoing(messages, is_fifo=self.is_fifo)))

    def figures(self) -> Figures:
        with closing(sqlite3.connect(f"file:{self._path}?mode=ro", uri=True, timeout=30)) as connection:
            rows = connection.execute(
                "SELECT coalesce(sum(receive_count = 0), 0), coalesce(sum(token IS NOT NULL), 0), count(*)"
                " FROM message JOIN queue ON queue.id = queue_id WHERE name = ?",
                (self.name,),
            )
            ((waiting, held, count),) = rows.fetchall()
        return Figures(waiting, held, count - waiting - held)

    def room_for(self, count: int) -> dict[str, Any]:  # noqa: ARG002 - most brokers send what is asked for
        """Give the settings of a source by which one node may have so many messages at a time."""
        return {}

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


class RabbitQueue(Queue):
    """A queue of a RabbitMQ.

    AMQP tells how many messages are ready, and nothing of those that somebody has. The management API counts what was
    acknowledged, some seconds late and never too much: so what is left is what there ever was without that. What a
    connection acknowledged just before its end may be missing there for ever; the API's own figure of what is left
    does not miss it, and is right when it is old news that something came.
    """

    sends_ahead = True
    _OLD_S = 20
    """A queue says what is left every 5 s, and the management API takes note of that every 5 s."""

    def __init__(
        self, kind: str, broker: RabbitMqBroker, folder: Path, *, queue_type: str, is_fifo: bool = False
    ) -> None:
        super().__init__(kind, is_fifo=is_fifo)
        assert broker.management, "what is held only the management API tells: PENSTOCK_TEST_RABBITMQ_MANAGEMENT"
        self._broker = broker
        self._most = 0
        self._grew_s = 0.0
        self._context = SourceContext(
            project="e2e",
            name=self.name,
            settings={"Url": broker.url, "Queue": self.name, "QueueType": queue_type, **self._fifo()},
            data_dir=folder,
        )
        asyncio.run(create(RABBITMQ, self._context))

    def source(self) -> dict[str, Any]:
        return {"Type": "rabbitmq", **self._context.settings}

    def send(self, messages: Iterable[Produced]) -> None:
        made = outgoing(messages, is_fifo=self.is_fifo)
        # One by one a producer with confirms sends some hundreds a second; this one has a thousand under way.
        asyncio.run(deliver(RABBITMQ, self._context, made))
        self._grow(self._most + len(made))

    def figures(self) -> Figures:
        said = self._said()
        acknowledged = int(said.get("message_stats", {}).get("ack", 0))
        with self._connected() as connection:
            declared = connection.channel().queue_declare(self.name, passive=True).method
        ready = declared.message_count
        # What a mapping sent here, too.
        self._grow(ready + acknowledged)
        if not declared.consumer_count:
            return Figures(ready, 0, 0)
        left = self._most - acknowledged
        if time.monotonic() > self._grew_s + self._OLD_S:
            left = min(left, int(said.get("messages", left)))
        return Figures(ready, max(0, left - ready), 0)

    def room_for(self, count: int) -> dict[str, Any]:
        return {"Prefetch": count}

    def remove(self) -> None:
        with self._connected() as connection:
            connection.channel().queue_delete(self.name)

    def _connected(self) -> pika.BlockingConnection:
        return pika.BlockingConnection(pika.URLParameters(self._broker.url))

    def _grow(self, most: int) -> None:
        if most > self._most:
            self._most, self._grew_s = most, time.monotonic()

    def _said(self) -> dict[str, Any]:
        user = base64.b64encode(b"guest:guest").decode()
        request = urllib.request.Request(
            f"{self._broker.management}/api/queues/%2F/{self.name}", headers={"Authorization": f"Basic {user}"}
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            said: dict[str, Any] = json.load(answer)
            return said


Make = Callable[[Callable[[str], Any], Path], Queue]
"""Makes a queue, given what gives a broker by the name of its fixture, and a folder for what needs files."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of queue: how one is made, and which broker it needs."""

    make: Make
    broker: str | None = None
    is_fifo: bool = False
    like: str | None = None
    """The kind that differs from it in what the broker does alone, and shows the rest for it."""
    lapses: bool = True
    """What a node holds that stands still is another's after the visibility timeout."""


KINDS = {
    "embedded-queue": Kind(lambda _, folder: EmbeddedQueue("embedded-queue", folder / "queues.db", is_fifo=False)),
    "embedded FIFO": Kind(
        lambda _, folder: EmbeddedQueue("embedded FIFO", folder / "queues.db", is_fifo=True), is_fifo=True
    ),
    "redis-queue": Kind(
        lambda broker, _: RedisStream("redis-queue", broker("redis").url, is_fifo=False), broker="redis"
    ),
    "redis-queue FIFO": Kind(
        lambda broker, _: RedisStream("redis-queue FIFO", broker("redis").url, is_fifo=True),
        broker="redis",
        is_fifo=True,
    ),
    "redis-list": Kind(lambda broker, _: RedisList("redis-list", broker("redis").url, is_fifo=False), broker="redis"),
    "rabbitmq classic": Kind(
        lambda broker, folder: RabbitQueue("rabbitmq classic", broker("rabbitmq"), folder, queue_type="classic"),
        broker="rabbitmq",
        like="rabbitmq quorum",
    ),
    "rabbitmq quorum": Kind(
        lambda broker, folder: RabbitQueue("rabbitmq quorum", broker("rabbitmq"), folder, queue_type="quorum"),
        broker="rabbitmq",
    ),
    "rabbitmq FIFO": Kind(
        lambda broker, folder: RabbitQueue(
            "rabbitmq FIFO", broker("rabbitmq"), folder, queue_type="classic", is_fifo=True
        ),
        broker="rabbitmq",
        is_fifo=True,
        lapses=False,
    ),
}


def parameters(wanted: Iterable[str]) -> list[Any]:
    """Make parameters of kinds, each with the mark of the broker that it needs."""
    return [
        pytest.param(name, marks=[getattr(pytest.mark, broker)] if (broker := KINDS[name].broker) else [])
        for name in wanted
    ]


EVERY_KIND = parameters(KINDS)
DISTINCT_KINDS = parameters(name for name, kind in KINDS.items() if kind.like is None)
FIFO_KINDS = parameters(name for name, kind in KINDS.items() if kind.is_fifo)
LAPSING_FIFO_KINDS = parameters(name for name, kind in KINDS.items() if kind.is_fifo and kind.lapses)
STANDARD_KINDS = parameters(name for name, kind in KINDS.items() if not kind.is_fifo)
