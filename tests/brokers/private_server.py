"""What servers that belong to one test have in common: how they are started, broken and removed."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from local_brokers.process import ServerProcess


class Startable(Protocol):
    """A server of `local_brokers`."""

    process: ServerProcess

    def start(self) -> None: ...

    def wait_ready(self) -> None: ...


class PrivateServer:
    """A server with a directory and ports of its own; both stay the same when it is stopped and started again.

        with PrivateRedis() as redis:
            redis.kill()
            redis.start()
            redis.wait_ready()

    Entering starts it, and installs it where it is missing; leaving ends it at once and removes its data.
    """

    def __init__(self, server: Startable, directory: Path, install: Callable[[], object]) -> None:
        self._server = server
        self._directory = directory
        self._install = install

    @property
    def pid(self) -> int | None:
        return self._server.process.pid()

    def start(self) -> None:
        """Start the server, if it is not running, and return at once."""
        if self.pid is None:
            self._server.start()

    def wait_ready(self) -> None:
        """Return when the server handles requests."""
        self._server.wait_ready()

    def stop(self) -> None:
        """End the server in order, as an operator does, and return when it is gone."""
        self._server.process.stop()

    def kill(self) -> None:
        """End the server by SIGKILL."""
        self._server.process.kill()

    def freeze(self) -> None:
        """Stop the server in its tracks: connections stay open and nothing answers, until `thaw`."""
        self._server.process.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let a frozen server go on."""
        self._server.process.signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        self._install()
        try:
            self.start()
            self.wait_ready()
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.remove()

    def remove(self) -> None:
        """End the server at once and remove its data."""
        self._server.process.kill()
        shutil.rmtree(self._directory, ignore_errors=True)
