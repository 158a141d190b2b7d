"""Finding the server that a queue is on: always the same, or whichever leads now.

A route knows where to go until somebody doubts it; the next one who asks then has it looked for. It says once when
another server has taken over.
"""

import asyncio
import logging
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Protocol

from penstock.api import SourceError
from penstock_redis.address import Node, OneServer

_log = logging.getLogger(__name__)
_told: dict[tuple[str, str], str] = {}


class Route(Protocol):
    """The way to one queue's server."""

    @property
    def words(self) -> Mapping[str, str]:
        """What some refusals of a server mean here, by their first word."""

    @property
    def changes(self) -> bool:
        """Whether another server may take over while we run."""

    @property
    def is_cluster(self) -> bool:
        """Whether it leads into a cluster."""

    async def find(self) -> Node:
        """Tell where to go now. Raises a SourceError, whose text begins with the queue's name."""

    async def confirm(self) -> Node:
        """Look again although it is known. Raises a SourceError."""

    def doubt(self, node: Node) -> None:
        """Have it looked for again, if this is where the route leads."""

    def follow(self, node: Node, host: str, port: int) -> Node | None:
        """Take the word of the server that we asked for where to go; None where such a word counts nothing."""


class FixedRoute:
    """Leads to one server, whose name may come to mean another machine."""

    changes = False
    is_cluster = False
    words: Mapping[str, str] = {
        "READONLY": "the server is a read-only replica; the Url has to name its primary, or use Sentinels",
        "MOVED": "it is a node of a Redis Cluster; set `Cluster: true`",
        "CLUSTERDOWN": "it is a node of a Redis Cluster, which is down; set `Cluster: true`",
    }

    def __init__(self, address: OneServer) -> None:
        """Take the server."""
        self._node = address.node

    async def find(self) -> Node:
        return self._node

    async def confirm(self) -> Node:
        return self._node

    def doubt(self, node: Node) -> None:
        """Nobody else could be asked."""

    def follow(self, node: Node, host: str, port: int) -> Node | None:  # noqa: ARG002 - the protocol's
        return None


class Search(ABC):
    """What routes that ask others have in common: one looks at a time, and all who wait get what it found."""

    changes = True
    is_cluster = False

    def __init__(self, place: str, role: str) -> None:
        """Take what errors begin with, and what the server that is looked for is called."""
        self._place = place
        self._role = role
        self._node: Node | None = None
        self._last: Node | None = None
        self._lock = asyncio.Lock()
        self._failure: SourceError | None = None
        self._failed_s = 0.0

    async def find(self) -> Node:
        return self._node or await self._search(time.monotonic())

    async def confirm(self) -> Node:
        async with self._lock:
            return self._settle(await self._look())

    def doubt(self, node: Node) -> None:
        if self._node is node:
            self._node = None

    async def _search(self, asked_s: float) -> Node:
        async with self._lock:
            if self._node is not None:
                return self._node
            if self._failure is not None and self._failed_s >= asked_s:
                raise self._failure
            try:
                return self._settle(await self._look())
            except SourceError as error:
                self._failure, self._failed_s = error, time.monotonic()
                raise

    def _settle(self, node: Node) -> Node:
        if self._last is not None and self._last.shown == node.shown:
            node = self._last  # the same one, so that connections to it are kept
        elif self._last is not None and _told.get((self._place, self._role)) != node.shown:
            _log.warning("%s: %s is now %s, and was %s", self._place, self._role, node.shown, self._last.shown)
            _told[self._place, self._role] = node.shown
        self._node = self._last = node
        return node

    @abstractmethod
    async def _look(self) -> Node:
        """Ask those who know. Raises a SourceError."""
