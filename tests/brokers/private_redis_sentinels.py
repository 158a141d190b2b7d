"""A Redis that Sentinels watch, with a replica that takes over; it belongs to those who started it, to be broken."""

from __future__ import annotations

import contextlib
import shutil
import signal
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from local_brokers.process import ServerProcess, pick_ports
from redis import Redis
from redis.exceptions import RedisError

from brokers.private_redis import PrivateRedis
from brokers.waiting import until

SERVICE = "orders"
PASSWORD = "sentinel-secret"
DOWN_AFTER_MS = 500

QUICK = {"repl-diskless-sync-delay": "0", "repl-ping-replica-period": "1", "repl-timeout": "60"}


class PrivateSentinel:
    """One Sentinel, with a port and a folder of its own."""

    def __init__(self, primary: PrivateRedis, *, quorum: int) -> None:
        self.port = pick_ports(0)[0]
        self._directory = Path(tempfile.mkdtemp(prefix="penstock-sentinel-"))
        self._process = ServerProcess("Sentinel", self._directory)
        self._tls = primary.url.startswith("rediss")
        self._ca_file = primary.ca_file
        settings = [
            "bind 127.0.0.1",
            f"dir {self._directory}",
            f"sentinel monitor {SERVICE} 127.0.0.1 {port_of(primary)} {quorum}",
            f"sentinel down-after-milliseconds {SERVICE} {DOWN_AFTER_MS}",
            f"sentinel failover-timeout {SERVICE} 3000",
        ]
        if self._tls:
            certificate = self._ca_file.parent / "server.pem"
            settings += [
                f"tls-port {self.port}\nport 0\ntls-replication yes\ntls-auth-clients no",
                f"tls-cert-file {certificate}\ntls-key-file {certificate}\ntls-ca-cert-file {self._ca_file}",
                f"sentinel auth-user {SERVICE} admin\nsentinel auth-pass {SERVICE} {primary.passwords['admin']}",
                f"requirepass {PASSWORD}",
            ]
        else:
            settings.append(f"port {self.port}")
        (self._directory / "sentinel.conf").write_text("\n".join(settings) + "\n")

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def start(self) -> None:
        self._process.start(["redis-server", str(self._directory / "sentinel.conf"), "--sentinel"])

    def facts(self) -> dict[str, Any]:
        """What it tells of the service; nothing while it does not answer."""
        try:
            with self._client() as client:
                found: dict[str, Any] = client.sentinel_master(SERVICE)
                return found
        except (RedisError, OSError):
            return {}

    def allow(self, user: str, password: str, right: str) -> None:
        """Make a user who has one right."""
        with self._client() as client:
            client.execute_command("ACL", "SETUSER", user, "on", f">{password}", right)  # type: ignore[no-untyped-call]

    def freeze(self) -> None:
        self._process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._process.signal(signal.SIGCONT)

    def watch(self, primary: PrivateRedis) -> None:
        """Take another server for the primary, as an operator has it do."""
        with self._client() as client:
            client.execute_command("SENTINEL", "REMOVE", SERVICE)  # type: ignore[no-untyped-call]
            client.execute_command("SENTINEL", "MONITOR", SERVICE, "127.0.0.1", port_of(primary), 2)  # type: ignore[no-untyped-call]

    def _client(self) -> Redis:
        secured: dict[str, Any] = {"ssl": True, "ssl_ca_certs": str(self._ca_file), "password": PASSWORD}
        return Redis(host="127.0.0.1", port=self.port, socket_timeout=5, **(secured if self._tls else {}))

    def remove(self) -> None:
        self._process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)


class PrivateSentinels:
    """A primary, a replica and three Sentinels; with `secured`, one server and one Sentinel, both with TLS and users.

    Entering starts them and waits until each knows the others; leaving ends them and removes their data.
    """

    def __init__(self, *, secured: bool = False) -> None:
        count = 1 if secured else 2
        self.servers = [PrivateRedis(persistent=False, tls=secured, config=QUICK) for _ in range(count)]
        self._secured = secured
        self.sentinels: list[PrivateSentinel] = []

    @property
    def addresses(self) -> Sequence[str]:
        return [sentinel.address for sentinel in self.sentinels]

    def primary(self) -> PrivateRedis | None:
        """Which server a majority of the Sentinels holds for the primary, if they agree."""
        ports = [facts.get("port") for sentinel in self.sentinels if (facts := sentinel.facts())]
        agreed = [server for server in self.servers if ports.count(port_of(server)) > len(self.sentinels) / 2]
        return agreed[0] if agreed else None

    def wait_for_a_replica(self) -> None:
        """Return when the primary has a replica that could take over, by its own word and the Sentinels'."""
        until(self._has_replica, what="the primary has a replica that the Sentinels know")

    def _has_replica(self) -> bool:
        primary = self.primary()
        if primary is None or self.servers.index(primary) not in (0, 1):
            return False
        with contextlib.suppress(RedisError, OSError), Redis.from_url(primary.url, socket_timeout=2) as client:
            info: Any = client.info("replication")
            is_synced = info["role"] == "master" and info.get("slave0", {}).get("state") == "online"
            facts = [sentinel.facts() for sentinel in self.sentinels]
            return is_synced and all(
                fact.get("num-slaves") == 1 and fact.get("num-other-sentinels") == 2 and fact["flags"] == "master"
                for fact in facts
            )
        return False

    def __enter__(self) -> Self:
        try:
            for server in self.servers:
                server.__enter__()
            for replica in self.servers[1:]:
                with Redis.from_url(replica.url) as client:
                    client.replicaof("127.0.0.1", port_of(self.servers[0]))  # type: ignore[no-untyped-call]
            quorum = 1 if self._secured else 2
            self.sentinels = [PrivateSentinel(self.servers[0], quorum=quorum) for _ in range(2 * quorum - 1)]
            for sentinel in self.sentinels:
                sentinel.start()
            if self._secured:
                until(self.sentinels[0].facts, what="the Sentinel answers")
            else:
                self.wait_for_a_replica()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """End all of them at once and remove their data."""
        for part in (*self.sentinels, *self.servers):
            part.remove()


def port_of(server: PrivateRedis) -> int:
    """Tell where a server listens."""
    return int(server.url.rpartition(":")[2])
