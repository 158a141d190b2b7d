"""Redis as a process of its own, keeping nothing on disk."""

from __future__ import annotations

import shutil
import socket
from dataclasses import dataclass
from pathlib import Path

from local_brokers.process import ServerProcess

PORT = 6379
_STARTS_WITHIN_SECONDS = 30


@dataclass
class Redis:
    directory: Path
    port: int

    def __post_init__(self) -> None:
        self.process = ServerProcess("Redis", self.directory)

    def start(self) -> None:
        """Start the server and return at once."""
        options = {"port": str(self.port), "bind": "127.0.0.1", "save": "", "appendonly": "no", "daemonize": "no"}
        arguments = [argument for name, value in options.items() for argument in (f"--{name}", value)]
        self.process.start(["redis-server", *arguments, "--dir", str(self.directory)])

    def wait_ready(self) -> None:
        """Return when the server answers."""
        self.process.wait_until(self.answers, timeout_seconds=_STARTS_WITHIN_SECONDS)

    def answers(self) -> bool:
        """Say whether the Redis handles commands."""
        try:
            with socket.create_connection(("127.0.0.1", self.port), timeout=5) as connection:
                connection.sendall(b"PING\r\n")
                return connection.recv(5) == b"+PONG"
        except OSError:
            return False

    def exports(self) -> list[tuple[str, str]]:
        """List the variable by which the tests find the server."""
        return [("PENSTOCK_TEST_REDIS", f"redis://127.0.0.1:{self.port}")]

    def remove(self) -> None:
        """Stop the server and remove everything it wrote."""
        self.process.stop()
        shutil.rmtree(self.directory, ignore_errors=True)
