"""The RabbitMQ plugin on a broker of each generation, for every test of it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from rabbit_queues import Broker, on_broker

from brokers import RABBITMQ_GENERATIONS, PrivateRabbitMq
from brokers.fixtures import RabbitMqBroker
from penstock.api import SourceContext


@pytest.fixture(scope="session", params=RABBITMQ_GENERATIONS)
def rabbitmq_generation(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def _breakable_for_all(rabbitmq_generation: str) -> Iterator[PrivateRabbitMq]:
    with PrivateRabbitMq(generation=rabbitmq_generation) as private:
        yield private


@pytest.fixture
def breakable(_breakable_for_all: PrivateRabbitMq) -> PrivateRabbitMq:
    """A broker that a test may stop, kill, freeze and control. The next test finds it running; queues stay on it."""
    _breakable_for_all.start()
    _breakable_for_all.wait_ready()
    return _breakable_for_all


@pytest.fixture
def broker(rabbitmq: RabbitMqBroker) -> Broker:
    return Broker(rabbitmq.url)


@pytest.fixture
def queue_source(rabbitmq: RabbitMqBroker, broker: Broker, tmp_path: Path) -> Iterator[Callable[..., SourceContext]]:
    """Makes sources on queues of their own, which are there and are deleted after the test."""
    made: list[str] = []

    def make(*, exists: bool = True, **settings: Any) -> SourceContext:
        source = on_broker(rabbitmq.url, tmp_path, **settings)
        queue = source.settings["Queue"]
        made.append(queue)
        if exists:
            broker.declare(queue, settings.get("QueueType", "classic"))
        return source

    yield make
    for queue in made:
        broker.delete(queue)
