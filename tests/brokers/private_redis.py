"""A Redis that belongs to one test, which may break it."""

from __future__ import annotations

import shutil
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self

from local_brokers.kinds import KINDS, install_missing
from local_brokers.process import pick_ports
from local_brokers.redis import PASSWORDS, RedisServer

_EVERYTHING_KEPT = {"appendonly": "yes", "appendfsync": "always"}


class PrivateRedis:
    """A server with a directory and a port of its own; both stay the same when it is stopped and started again.

        with PrivateRedis() as redis:
            redis.kill()
            redis.start()
            redis.wait_ready()

    It keeps all that it has answered, unless made with `persistent=False`. Entering starts it and waits until it
    answers; leaving ends it and removes its data.
    """

    passwords = PASSWORDS

    def __init__(self, *, persistent: bool = True, tls: bool = False, config: Mapping[str, str] | None = None) -> None:
        self._directory = Path(tempfile.mkdtemp(prefix="penstock-redis-"))
        config = {**(_EVERYTHING_KEPT if persistent else {}), **(config or {})}
        self._server = RedisServer(self._directory, pick_ports(0)[0], tls=tls, config=config)

    @property
    def url(self) -> str:
        return self._server.url

    @property
    def ca_file(self) -> Path:
        return self._server.certificates.authority

    @property
    def pid(self) -> int | None:
        return self._server.process.pid()

    def start(self) -> None:
        """Start the server, if it is not running, and return at once."""
        if self.pid is None:
            self._server.start()

    def wait_ready(self) -> None:
        """Return when the server handles commands."""
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
        install_missing([kind for kind in KINDS if kind.name == "redis"])
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
