"""All kinds of queues that can be tortured, by the names that `make torture WHAT=…` knows."""

from __future__ import annotations

from torture.queues.embedded_kinds import Embedded, EmbeddedFifo
from torture.queues.kinds import Kind
from torture.queues.redis_kinds import RedisFifo, RedisList, RedisStream

KINDS: dict[str, type[Kind]] = {kind.name: kind for kind in (RedisStream, RedisList, RedisFifo, Embedded, EmbeddedFifo)}
