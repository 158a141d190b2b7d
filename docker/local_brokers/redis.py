"""Redis as processes of its own: one without a password, and one with users over TLS. They keep nothing on disk."""

from __future__ import annotations

import shutil
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from local_brokers.certificates import Certificates
from local_brokers.process import ServerProcess
from local_brokers.systems import THIS_MACHINE, System

PORT = 6379
TLS_PORT = 6390
PASSWORDS = {"admin": "admin-secret", "limited": "limited-secret"}

# What `penstock-redis` needs, and no more; its README has the same line.
LIMITED_RIGHTS = (
    "~acl-* ~penstock:* +evalsha +eval +info +time +type +exists "
    "+xadd +xread +xreadgroup +xack +xdel +xclaim +xpending +xrange +xrevrange +xinfo +xgroup "
    "+zadd +zrem +zscore +zcard +zcount +zrange +zrangebyscore +zremrangebyscore +zrangebylex "
    "+hget +hset +hdel +hmget +hincrby +hlen +lpush +rpush +lpop +rpop +llen +lrange +blmove"
)

_STARTS_WITHIN_SECONDS = 30
_NOTHING_KEPT = {"save": "", "appendonly": "no"}


@dataclass(frozen=True)
class Program:
    """What to start: a Redis or one of its relatives, and the system it is in."""

    name: str = "redis-server"
    system: System = THIS_MACHINE


@dataclass
class RedisServer:
    """One server, by default without anything on disk. With `tls` it has users and no plain port."""

    directory: Path
    port: int
    tls: bool = False
    config: Mapping[str, str] = field(default_factory=dict)
    program: Program = Program()

    def __post_init__(self) -> None:
        self.process = ServerProcess("Redis", self.directory)
        self.certificates = Certificates(self.directory / "tls")

    @property
    def url(self) -> str:
        return f"{'rediss' if self.tls else 'redis'}://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start the server and return at once."""
        self.directory.mkdir(parents=True, exist_ok=True)
        options = {"port": str(self.port), "bind": "127.0.0.1", "daemonize": "no", **_NOTHING_KEPT, **self.config}
        if self.tls:
            self.certificates.ensure()
            users = self.directory / "users.acl"
            users.write_text(
                "user default off\n"
                f"user admin on >{PASSWORDS['admin']} ~* &* +@all\n"
                f"user limited on >{PASSWORDS['limited']} {LIMITED_RIGHTS}\n"
            )
            options |= {
                "port": "0",
                "tls-port": str(self.port),
                "tls-cert-file": str(self.certificates.server),
                "tls-key-file": str(self.certificates.server),
                "tls-ca-cert-file": str(self.certificates.authority),
                "tls-auth-clients": "no",
                "aclfile": str(users),
            }
        arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
        command = [self.program.name, *arguments, "--dir", str(self.directory)]
        self.process.start(self.program.system.command(command, self.directory))

    def wait_ready(self) -> None:
        """Return when the server answers."""
        self.process.wait_until(self.answers, timeout_seconds=_STARTS_WITHIN_SECONDS)

    def answers(self) -> bool:
        """Say whether the Redis handles commands; where it wants to know who asks, that is an answer too."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as plain:
                if not self.tls:
                    return _ping(plain) == b"+PONG"
                context = ssl.create_default_context(cafile=str(self.certificates.authority))
                with context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                    return _ping(secured) == b"-NOAU"
        except OSError:
            return False

    def remove(self) -> None:
        """Stop the server and remove everything it wrote."""
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)


class Redis:
    """The two servers of the checkout; a TLS port of 0 stands for none."""

    def __init__(self, directory: Path, port: int, tls_port: int, program: Program) -> None:
        self.plain = RedisServer(directory, port, program=program)
        self.secured = RedisServer(directory / "secured", tls_port, tls=True, program=program) if tls_port else None

    def start(self) -> None:
        """Start the servers and return at once."""
        for server in self._servers():
            server.start()

    def wait_ready(self) -> None:
        """Return when both answer."""
        for server in self._servers():
            server.wait_ready()

    def answers(self) -> bool:
        """Say whether both handle commands."""
        return all(server.answers() for server in self._servers())

    def exports(self, variable: str) -> list[tuple[str, str]]:
        """List the variables by which the tests find the servers."""
        found = [(variable, self.plain.url)]
        if self.secured is not None:
            found += [
                (f"{variable}_TLS", self.secured.url),
                (f"{variable}_CA", str(self.secured.certificates.authority)),
                *((f"{variable}_{user.upper()}_PASSWORD", word) for user, word in PASSWORDS.items()),
            ]
        return found

    def remove(self) -> None:
        """Stop the servers and remove everything they wrote."""
        for server in reversed(self._servers()):
            server.remove()

    def _servers(self) -> list[RedisServer]:
        return [self.plain] if self.secured is None else [self.plain, self.secured]


def _ping(connection: socket.socket) -> bytes:
    connection.sendall(b"PING\r\n")
    return connection.recv(5)
