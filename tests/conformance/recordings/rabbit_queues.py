"""Queues of a RabbitMQ, for the cases of queues."""

from __future__ import annotations

import uuid
from typing import Any, ClassVar

import pika

from conformance.recordings.queues import Queues, context_of
from penstock.api import Message
from penstock.configuration import Project
from penstock_rabbitmq.messages import Delivery, Reader
from penstock_rabbitmq.settings import Settings


class RabbitQueues(Queues):
    """Queues of a broker, of the type that the plugin makes."""

    # A failed delivery is held, unacknowledged, and run again in place (D26).
    gives_back: ClassVar[bool] = False
    # The broker hands messages over one by one.
    window_s: ClassVar[int] = 1

    def __init__(self, url: str) -> None:
        self._url = url
        self._queues: list[str] = []

    def source(self, name: str) -> dict[str, Any]:
        queue = f"{name}-{uuid.uuid4().hex[:12]}"
        self._queues.append(queue)
        return {"Type": "rabbitmq", "Url": self._url, "Queue": queue, "Create": True}

    def read(self, project: Project, name: str) -> list[Message]:
        # The plugin shows nothing without taking it; nobody is disturbed by that now.
        settings = Settings.of(context_of(project, name))
        reader, found = Reader(settings), []
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            while (got := channel.basic_get(settings.queue))[0] is not None:
                method, properties, body = got
                delivery = Delivery(method.delivery_tag, method.redelivered, method.routing_key, properties, body, 0.0)
                found.append(reader.message(delivery, receipt="", now_ms=1))
        return found

    def close(self) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            for queue in self._queues:
                channel.queue_delete(queue)
