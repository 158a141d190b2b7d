"""Looking at a server before using it: is it new enough, does it keep what it is given, may we?"""

import contextlib
import logging
from collections.abc import Mapping
from typing import Any

from penstock.api import SourceBroken, SourceDenied, SourceError
from penstock_redis.client import Client

VERSION_LEAST = (7, 0)
_LOSES_KEYS = ("allkeys-lru", "allkeys-lfu", "allkeys-random", "allkeys-lrm")

_log = logging.getLogger(__name__)
_warned: set[str] = set()


class Server:
    """One server, as far as a queue cares."""

    def __init__(self, client: Client) -> None:
        """Take the connections to it."""
        self.client = client

    async def look(self, *, warns: bool) -> float:
        """Check its version, warn of what can lose messages; tell for how many seconds it leads. Raises SourceError."""
        facts = await self._facts()
        # Where servers replace each other, when this one began to lead is not told: it may have been just now.
        leads_s = 0.0 if self.client.route.changes else float((facts or {}).get("uptime_in_seconds", "inf"))
        if facts is None:
            return leads_s
        place = self.client.place
        if facts.get("redis_mode") == "sentinel":
            raise SourceBroken(f"{place}: it is a Sentinel; name it in Sentinels, and leave out the Url")
        version = facts.get("redis_version", "")
        if version and _numbers(version) < VERSION_LEAST:
            least = ".".join(map(str, VERSION_LEAST))
            raise SourceBroken(f"{place}: the server is Redis {version}; {least} or later is needed, or Valkey")
        if facts.get("cluster_enabled") == "1" and not self.client.route.is_cluster:
            raise SourceBroken(f"{place}: it is a node of a Redis Cluster; set `Cluster: true`")
        if warns:
            self._warn(facts)
            self.client.look_when_replaced(self._look_again)
        return leads_s

    async def show(self) -> dict[str, str]:
        """Say what it is, for people; nothing where our user may not ask."""
        facts = await self._facts()
        if facts is None:
            return {}
        name, version = ("Valkey", "valkey_version") if "valkey_version" in facts else ("Redis", "redis_version")
        kept = "append-only file" if facts.get("aof_enabled") == "1" else "no append-only file"
        return {"server": f"{name} {facts.get(version, '?')}, {facts.get('redis_mode', 'standalone')}, {kept}"}

    async def close(self) -> None:
        """Let go of its connections."""
        await self.client.close()

    async def _look_again(self) -> None:
        """Warn of what the server that took over can lose, where the one before could not."""
        with contextlib.suppress(SourceError):
            self._warn(await self._facts() or {})

    def _warn(self, facts: Mapping[str, str]) -> None:
        for warning in _dangers(facts):
            _warn(f"{self.client.place}: {warning}")

    async def _facts(self) -> Mapping[str, str] | None:
        try:
            text = await self.client.call("INFO")
        except (SourceDenied, SourceBroken) as refused:
            if "INFO" in str(refused):
                return None  # the user may not, or the provider has taken it away; the scripts show what it can
            raise
        return _parse(text)


def _parse(text: Any) -> dict[str, str]:
    lines = bytes(text).decode(errors="replace").splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line and not line.startswith("#"))


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())


def _dangers(facts: Mapping[str, str]) -> list[str]:
    found = []
    policy = facts.get("maxmemory_policy", "")
    if policy in _LOSES_KEYS and facts.get("maxmemory") != "0":
        found.append(
            f"maxmemory-policy is {policy}: when memory is short the server drops whole queues; use noeviction"
        )
    if facts.get("aof_enabled") == "0":
        found.append("the server keeps no append-only file: what was sent since its last snapshot is lost in a crash")
    return found


def _warn(text: str) -> None:
    if text not in _warned:
        _warned.add(text)
        _log.warning("%s", text)
