"""Queues on a Redis that has an append-only file and forces every write of it to the disk."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from redis import Redis

from brokers import PrivateRedis
from torture.queues.kinds import Kind, Sending

KEPT = ("meta", "seen", "wake")
"""What a queue may keep on the server with nothing in it; see the plugin's README."""


class _OnRedis(Kind):
    @property
    def broker(self) -> PrivateRedis:
        return self.brokers.redis

    def make(self, queue: str) -> None:
        """An absent key is an empty queue."""

    def has_buried(self, queue: str, nodes: int) -> bool:
        with self._client() as client:
            owners = list(client.scan_iter(f"penstock:*{queue}:*:owners"))
            return all(int(client.zcard(key)) <= nodes for key in owners)

    def leftovers(self, queue: str) -> list[str]:
        with self._client() as client:
            names = sorted(str(name) for name in client.scan_iter(f"penstock:*{queue}:*"))
        return [name for name in names if name.rpartition(":")[2] not in KEPT]

    def _client(self) -> Redis:
        # A new one each time: the server is restarted between two of them.
        return Redis.from_url(self.broker.url, decode_responses=True)

    def _delayed(self, client: Redis, queue: str) -> int:
        return int(client.zcard(f"penstock:{{{queue}}}:{queue}:delayed"))


class RedisStream(_OnRedis):
    name = "redis"

    def source(self, queue: str) -> dict[str, Any]:
        return {"Type": "redis-queue", "Url": self.broker.url, "Key": queue}

    def send(self, queue: str, messages: Sequence[Sending]) -> None:
        with self._client() as client:
            pipeline = client.pipeline(transaction=False)
            for message in messages:
                pipeline.xadd(queue, self._fields(message))
            pipeline.execute()

    def count(self, queue: str) -> int:
        with self._client() as client:
            groups: Any = client.xinfo_groups(queue) if client.exists(queue) else []
            pending = sum(group["pending"] for group in groups)
            # What is settled is deleted, since one group alone reads it.
            length: Any = client.xlen(queue)
            return int(max(length, pending)) + self._delayed(client, queue)

    def has_buried(self, queue: str, nodes: int) -> bool:
        return super().has_buried(queue, nodes) and len(self._consumers(queue)) <= nodes

    def leftovers(self, queue: str) -> list[str]:
        return [f"consumer {name}" for name in self._consumers(queue)] + super().leftovers(queue)

    def _consumers(self, queue: str) -> list[str]:
        with self._client() as client:
            groups: Any = client.xinfo_groups(queue) if client.exists(queue) else []
            consumers: Any = [each for group in groups for each in client.xinfo_consumers(queue, group["name"])]
        # What was returned is claimed for a consumer of that name, which stays.
        return [each["name"] for each in consumers if each["name"] != "returned"]

    def _fields(self, message: Sending) -> dict[Any, Any]:
        fields = {"body": message.body, "MessageGroupId": message.group}
        fields["MessageDeduplicationId"] = message.deduplication_id
        return {name: value for name, value in fields.items() if value is not None}


class RedisFifo(RedisStream):
    name = "redis-fifo"
    is_fifo = True

    def source(self, queue: str) -> dict[str, Any]:
        return {**super().source(queue), "FifoQueue": True}


class RedisList(_OnRedis):
    name = "redis-list"

    def source(self, queue: str) -> dict[str, Any]:
        return {"Type": "redis-list", "Url": self.broker.url, "Key": queue}

    def send(self, queue: str, messages: Sequence[Sending]) -> None:
        with self._client() as client:
            client.lpush(queue, *(message.body for message in messages))

    def count(self, queue: str) -> int:
        with self._client() as client:
            waiting: Any = client.llen(queue)
            held: Any = client.hlen(f"penstock:{{{queue}}}:{queue}:list:values")
            return int(waiting) + int(held) + self._delayed(client, queue)
