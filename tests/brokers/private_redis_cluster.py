"""A Redis Cluster of three nodes with a replica each; it belongs to one test or module, which may break it."""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, Self

from local_brokers.process import pick_ports
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import RedisError

from brokers.private_redis import PrivateRedis
from brokers.private_redis_sentinels import port_of
from brokers.waiting import until

SLOTS = 16384
MASTERS = 3
NODE_TIMEOUT_MS = 1000

_QUICK = {
    "cluster-enabled": "yes",
    "cluster-node-timeout": str(NODE_TIMEOUT_MS),
    "cluster-replica-validity-factor": "0",
    "repl-diskless-sync-delay": "0",
    "repl-ping-replica-period": "1",
}


class PrivateCluster:
    """Nodes 0 to 2 begin with a third of the slots each, nodes 3 to 5 as their replicas.

    Entering starts them and waits until each node knows all others; leaving ends them and removes their data.
    """

    def __init__(self, *, replicas: bool = True) -> None:
        count = 2 * MASTERS if replicas else MASTERS
        buses = pick_ports(*[0] * count)
        self.nodes = [PrivateRedis(persistent=False, config={**_QUICK, "cluster-port": str(bus)}) for bus in buses]
        self._buses = buses

    def call(self, node: PrivateRedis, *command: Any) -> Any:
        """Have one node carry out a command."""
        with Redis.from_url(node.url, socket_timeout=5) as client:
            return client.execute_command(*command)

    def id_of(self, node: PrivateRedis) -> str:
        return str(self.call(node, "CLUSTER", "MYID").decode())

    def owner(self, key: str) -> PrivateRedis | None:
        """Which node has the slot of a key, in the eyes of all that are alive; None while they differ."""
        slot = key_slot(key.encode())
        found = {self._owner_port(node, slot) for node in self.nodes if node.pid is not None}
        return next((node for node in self.nodes if found == {port_of(node)}), None)

    def replica_of(self, owner: PrivateRedis) -> PrivateRedis:
        """Which node would take over from one."""
        by_index = self.nodes.index(owner)
        return self.nodes[(by_index + MASTERS) % len(self.nodes)]

    def begin_to_move(self, key: str, target: PrivateRedis) -> PrivateRedis:
        """Make the slot of a key migrating and importing, without moving anything; gives the node that has it."""
        slot, source = key_slot(key.encode()), self.owner(key)
        assert source is not None
        self.call(target, "CLUSTER", "SETSLOT", slot, "IMPORTING", self.id_of(source))
        self.call(source, "CLUSTER", "SETSLOT", slot, "MIGRATING", self.id_of(target))
        return source

    def move_keys(self, key: str, source: PrivateRedis, target: PrivateRedis, count: int = 1000) -> int:
        """Move some keys of the slot; gives how many."""
        names = self.call(source, "CLUSTER", "GETKEYSINSLOT", key_slot(key.encode()), count)
        if names:
            self.call(source, "MIGRATE", "127.0.0.1", port_of(target), "", 0, 5000, "KEYS", *names)
        return len(names)

    def end_move(self, key: str, target: PrivateRedis) -> None:
        """Give the slot to its new owner, in the eyes of all."""
        slot, name = key_slot(key.encode()), self.id_of(target)
        masters = [target, *(node for node in self.nodes if node is not target and self._is_master(node))]
        for node in masters:
            self.call(node, "CLUSTER", "SETSLOT", slot, "NODE", name)

    def __enter__(self) -> Self:
        try:
            for node in self.nodes:
                node.__enter__()
            self._join()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """End all nodes at once and remove their data."""
        for node in self.nodes:
            node.remove()

    def _join(self) -> None:
        for index, node in enumerate(self.nodes[:MASTERS]):
            first, last = SLOTS * index // MASTERS, SLOTS * (index + 1) // MASTERS - 1
            self.call(node, "CLUSTER", "ADDSLOTSRANGE", first, last)
            self.call(node, "CLUSTER", "SET-CONFIG-EPOCH", index + 1)
        for node, bus in list(zip(self.nodes, self._buses, strict=True))[1:]:
            self.call(self.nodes[0], "CLUSTER", "MEET", "127.0.0.1", port_of(node), bus)
        until(lambda: all(self._knows_all(node) for node in self.nodes), what="each node knows the others")
        for index, node in enumerate(self.nodes[MASTERS:]):
            self.call(node, "CLUSTER", "REPLICATE", self.id_of(self.nodes[index]))
        self.wait_ready()

    def wait_ready(self) -> None:
        """Return when all slots are served and each replica that lives is in step."""
        until(lambda: all(self._is_ready(node) for node in self.nodes if node.pid), what="the cluster is ready")

    def _knows_all(self, node: PrivateRedis) -> bool:
        return len(self._flags(node)) == len(self.nodes)

    def _is_ready(self, node: PrivateRedis) -> bool:
        with contextlib.suppress(RedisError, OSError), Redis.from_url(node.url, socket_timeout=5) as client:
            replication: Any = client.info("replication")
            is_linked = replication["role"] == "master" or replication.get("master_link_status") == "up"
            flags = self._flags(node)
            replicas = sum("slave" in each for each in flags) == len(self.nodes) - MASTERS
            return is_linked and replicas and b"cluster_state:ok" in self.call(node, "CLUSTER", "INFO")
        return False

    def _flags(self, node: PrivateRedis) -> list[str]:
        return [line.split()[2] for line in self.call(node, "CLUSTER", "NODES").decode().splitlines()]

    def _is_master(self, node: PrivateRedis) -> bool:
        return node.pid is not None and bool(self.call(node, "ROLE")[0] == b"master")

    def _owner_port(self, node: PrivateRedis, slot: int) -> int | None:
        with contextlib.suppress(RedisError, OSError):
            for first, last, owner, *_ in self.call(node, "CLUSTER", "SLOTS"):
                if first <= slot <= last:
                    return int(owner[1])
        return None
