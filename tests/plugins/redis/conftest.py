"""The Redis plugin on a server, for every test of it: on Redis as packaged, on Redis 8 and on Valkey."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

if str(Path(__file__).parent) not in sys.path:
    sys.path.append(str(Path(__file__).parent))

from redis_queues import on_server

from brokers import REDIS_GENERATIONS
from brokers.fixtures import RedisBroker
from penstock.api import SourceContext


@pytest.fixture(scope="session", params=REDIS_GENERATIONS)
def redis_generation(request: pytest.FixtureRequest) -> str:
    """The server that a test is run on."""
    return str(request.param)


@pytest.fixture
def server(redis: RedisBroker) -> Iterator[Redis]:
    """A client of the test's own on the session's Redis."""
    with Redis.from_url(redis.url) as client:
        yield client


@pytest.fixture
def queue_source(redis: RedisBroker, server: Redis, tmp_path: Path) -> Iterator[Callable[..., SourceContext]]:
    """Makes sources of keys of their own, which are deleted after the test."""
    made: list[str] = []

    def make(**settings: Any) -> SourceContext:
        source = on_server(redis.url, tmp_path, **settings)
        made.append(source.settings["Key"])
        return source

    yield make
    for key in made:
        server.delete(key, *server.scan_iter(f"penstock:*{key}*"))
