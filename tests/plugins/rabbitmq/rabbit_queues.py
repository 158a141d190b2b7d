"""Queues for the tests, and what is done to them from outside."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pika

from contract.queue_contract import QueueSubject
from penstock.api import MappingContext, SourceContext
from penstock_rabbitmq.plugin import RABBITMQ

KINDS = ("classic", "quorum", "fifo")


def on_broker(url: str, folder: Path, **settings: Any) -> SourceContext:
    """A source with a queue of its own name."""
    queue = settings.pop("Queue", f"test-{uuid.uuid4().hex[:12]}")
    url_settings = {} if "Urls" in settings else {"Url": url}
    return SourceContext(
        project="tests", name="jobs", settings={**url_settings, "Queue": queue, **settings}, data_dir=folder
    )


def a_queue(source: SourceContext) -> QueueSubject:
    return QueueSubject(type=RABBITMQ, source=source)


def settings_of(kind: str) -> dict[str, Any]:
    return {"FifoQueue": True, "QueueType": "classic"} if kind == "fifo" else {"QueueType": kind}


def a_mapping(**changes: Any) -> MappingContext:
    values = {
        "mapping": "function.event",
        "uuid": "u",
        "node": "node",
        "settings": {},
        "buffer_bytes_max": 1 << 24,
        **changes,
    }
    return MappingContext(**values)


class Broker:
    """A client of the test's own."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextlib.contextmanager
    def channel(self) -> Iterator[Any]:
        connection = pika.BlockingConnection(pika.URLParameters(self.url))
        try:
            yield connection.channel()
        finally:
            if connection.is_open:
                connection.close()

    def declare(self, queue: str, kind: str = "classic", **arguments: Any) -> None:
        given = {name.replace("_", "-"): value for name, value in arguments.items()}
        with self.channel() as channel:
            channel.queue_declare(queue, durable=True, arguments={"x-queue-type": kind, **given})

    def delete(self, queue: str) -> None:
        with self.channel() as channel:
            channel.queue_delete(queue)

    def publish(
        self,
        queue: str,
        *bodies: bytes,
        headers: Mapping[str, Any] | None = None,
        exchange: str = "",
        **properties: Any,
    ) -> None:
        with self.channel() as channel:
            channel.confirm_delivery()
            for body in bodies:
                given = pika.BasicProperties(headers=dict(headers) if headers else None, **properties)
                channel.basic_publish(exchange, queue, body, given)

    def exists(self, queue: str) -> bool:
        with self.channel() as channel:
            try:
                channel.queue_declare(queue, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                return False
            return True

    def take_all(self, queue: str) -> list[tuple[Any, bytes]]:
        """Take and delete what is ready."""
        taken = []
        with self.channel() as channel:
            while True:
                method, properties, body = channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return taken
                taken.append((properties, body))


async def until_heard(receiver: Any) -> None:
    """Return when the broker has heard all that was settled: its answer comes after what was said before it."""
    channel = receiver._session.lanes[-1]._channel
    await channel.look(receiver._settings.queue)
