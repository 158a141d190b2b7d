"""The servers that a plugin's tests run on, one after the other: each generation and each make that is promised."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from local_brokers.kinds import REDIS_PROGRAMS, install_missing, kind_named

from brokers.private_redis import PrivateRedis

REDIS_GENERATIONS = ("redis", "redis-8", "valkey")
RABBITMQ_GENERATIONS = ("rabbitmq", "rabbitmq-4")


class PrivateRedisOf(PrivateRedis):
    """A `PrivateRedis` of one of `REDIS_GENERATIONS`."""

    def __init__(
        self,
        generation: str,
        *,
        persistent: bool = True,
        tls: bool = False,
        config: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(persistent=persistent, tls=tls, config=config)
        self._generation = generation
        self._server.program = REDIS_PROGRAMS[generation]

    def __enter__(self) -> Self:
        install_missing([kind_named(self._generation)])
        return super().__enter__()
