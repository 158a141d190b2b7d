"""A Redis that belongs to one test, which may break it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path

from local_brokers.kinds import install_missing, kind_named
from local_brokers.process import pick_ports
from local_brokers.redis import PASSWORDS, RedisServer

from brokers.private_server import PrivateServer

_EVERYTHING_KEPT = {"appendonly": "yes", "appendfsync": "always"}


class PrivateRedis(PrivateServer):
    """A Redis; it keeps all that it has answered, unless made with `persistent=False`."""

    passwords = PASSWORDS

    def __init__(self, *, persistent: bool = True, tls: bool = False, config: Mapping[str, str] | None = None) -> None:
        directory = Path(tempfile.mkdtemp(prefix="penstock-redis-"))
        config = {**(_EVERYTHING_KEPT if persistent else {}), **(config or {})}
        self._redis = RedisServer(directory, pick_ports(0)[0], tls=tls, config=config)
        super().__init__(self._redis, directory, partial(install_missing, [kind_named("redis")]))

    @property
    def url(self) -> str:
        return self._redis.url

    @property
    def ca_file(self) -> Path:
        return self._redis.certificates.authority
