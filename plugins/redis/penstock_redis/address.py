"""Where a queue's server is, or who knows it, and as whom we come: what the connection's settings mean.

One server is named by its Url; a primary that may be replaced by the Sentinels that watch it; a node of a cluster by
the cluster's seeds and the slot of the queue's key.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from penstock.api import SettingsError
from penstock_redis.client_types import Connection, SSLConnection, UnixDomainSocketConnection, key_slot
from penstock_redis.keys import hash_tag
from penstock_redis.tls import tls_options

PORT = 6379
SENTINEL_PORT = 26379
_SCHEMES = "redis://HOST:PORT/DATABASE, rediss://… for TLS, or unix:///PATH/OF/SOCKET"
_FOR_SENTINELS = ("SentinelService", "SentinelUsername", "SentinelPassword", "SentinelTls")

ConnectionClass = type[Connection] | type[SSLConnection] | type[UnixDomainSocketConnection]


@dataclass(frozen=True, slots=True)
class Node:
    """One server: its place, for people, and what a connection to it is made with."""

    shown: str
    connection_class: ConnectionClass
    options: Mapping[str, Any] = field(repr=False)

    def beside(self, host: str, port: int) -> "Node":
        """Describe another server that takes the same words."""
        shown = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return replace(self, shown=shown, options={**self.options, "host": host, "port": port})


@dataclass(frozen=True, slots=True)
class OneServer:
    """A server that nobody replaces, or behind a name that leads to the one that counts."""

    node: Node

    @property
    def shown(self) -> str:
        """Name it as errors do."""
        return self.node.shown

    @property
    def places(self) -> frozenset[str]:
        """Name what another address of the same queue would have in common with this one."""
        return frozenset({self.node.shown})


@dataclass(frozen=True, slots=True)
class BehindSentinels:
    """The primary of a service. `primary` is what is said to it, wherever it is."""

    sentinels: tuple[Node, ...]
    service: str
    primary: Node

    @property
    def shown(self) -> str:
        """Name it as errors do."""
        return f"service {self.service!r}"

    @property
    def places(self) -> frozenset[str]:
        """Name what another address of the same queue would have in common with this one."""
        database = self.primary.options["db"]
        return frozenset(f"{self.service}/{database} of {sentinel.shown}" for sentinel in self.sentinels)


@dataclass(frozen=True, slots=True)
class InCluster:
    """The node of a cluster that has the slot of the queue's keys."""

    seeds: tuple[Node, ...]
    slot: int

    @property
    def shown(self) -> str:
        """Name it as errors do."""
        return f"cluster {self.seeds[0].shown}"

    @property
    def places(self) -> frozenset[str]:
        """Name what another address of the same queue would have in common with this one."""
        return frozenset(seed.shown for seed in self.seeds)


Address = OneServer | BehindSentinels | InCluster


def address_of(settings: Mapping[str, Any]) -> Address:
    """Read the settings of the connection, and `Key` for its slot. Raises SettingsError."""
    if settings.get("Sentinels") is not None:
        return _behind_sentinels(settings)
    for name in _FOR_SENTINELS:
        if settings.get(name) is not None:
            raise SettingsError(name, "is set without Sentinels", allowed="leave it out, or set Sentinels and no Url")
    if not settings.get("Url"):
        raise SettingsError("Url", "is missing", allowed=f"{_SCHEMES}; or Sentinels and SentinelService in its place")
    url = _url(settings)
    if url.scheme == "unix":
        return OneServer(_socket(settings, url))
    seeds = _seeds(settings, url)
    if settings.get("Cluster"):
        return _in_cluster(settings, seeds)
    if len(seeds) > 1:
        raise SettingsError("Url", "names several servers", allowed="only a cluster has several; set `Cluster: true`")
    return OneServer(seeds[0])


def _behind_sentinels(settings: Mapping[str, Any]) -> BehindSentinels:
    if settings.get("Url"):
        raise SettingsError("Url", "is set beside Sentinels, who tell where the server is", allowed="leave one out")
    if settings.get("Cluster"):
        raise SettingsError("Cluster", "is set beside Sentinels", allowed="a cluster needs none; leave one out")
    if not settings["Sentinels"]:
        raise SettingsError("Sentinels", "is empty", allowed="a list of HOST:PORT")
    if not settings.get("SentinelService"):
        raise SettingsError("SentinelService", "is missing", allowed="the name of the primary at the Sentinels")
    tls = settings.get("Tls")
    options = {"socket_keepalive": True, "db": int(settings.get("Database") or 0), **_user(settings, "")}
    primary = _node(options, tls)
    is_secured = tls is not None and settings.get("SentinelTls") is not False
    if settings.get("SentinelTls") and tls is None:
        raise SettingsError("SentinelTls", "is true without Tls", allowed="Tls says how; it is the servers' too")
    ask = _node({"db": 0, **_user(settings, "Sentinel")}, tls if is_secured else None)
    sentinels = tuple(ask.beside(*_host_and_port("Sentinels", text, SENTINEL_PORT)) for text in settings["Sentinels"])
    return BehindSentinels(sentinels, settings["SentinelService"], primary)


def _in_cluster(settings: Mapping[str, Any], seeds: Sequence[Node]) -> InCluster:
    if seeds[0].options["db"]:
        raise SettingsError(
            "Database" if settings.get("Database") else "Url",
            f"asks for database {seeds[0].options['db']}",
            allowed="a cluster has database 0 only",
        )
    key = settings.get("Key") or ""
    if "}" in hash_tag(key):
        # What is in braces ends at the first of them, so no key of ours would be in its slot.
        raise SettingsError("Key", f"is {key!r}", allowed="in a cluster a key without a hash tag may hold no `}`")
    return InCluster(tuple(seeds), key_slot(key.encode()))


def _url(settings: Mapping[str, Any]) -> SplitResult:
    try:
        url = urlsplit(str(settings["Url"]))
    except ValueError:
        raise SettingsError("Url", "is no URL", allowed=_SCHEMES) from None
    if url.scheme not in {"redis", "rediss", "unix"}:
        raise SettingsError("Url", f"begins with {url.scheme or 'no scheme'!r}", allowed=_SCHEMES)
    if url.query or url.fragment:
        raise SettingsError("Url", "has a part after '?' or '#'", allowed="settings have keys of their own")
    return url


def _seeds(settings: Mapping[str, Any], url: SplitResult) -> list[Node]:
    tls = settings.get("Tls")
    database = _database(settings, url.path)
    options = {"socket_keepalive": True, "db": database, **_user(settings, "", url)}
    secured = {} if tls is None and url.scheme == "rediss" else tls
    common = _node(options, secured)
    places = [_host_and_port("Url", text, PORT) for text in url.netloc.rpartition("@")[2].split(",")]
    found = [common.beside(host, port) for host, port in places]
    return [replace(node, shown=f"{node.shown}/{database}") for node in found] if database else found


def _socket(settings: Mapping[str, Any], url: SplitResult) -> Node:
    path = unquote(url.path)
    if not path:
        raise SettingsError("Url", "names no socket", allowed=_SCHEMES)
    if settings.get("Tls") is not None:
        raise SettingsError("Tls", "is set beside a unix:// address", allowed="sockets have no TLS; leave it out")
    if settings.get("Cluster"):
        raise SettingsError("Cluster", "is set beside a unix:// address", allowed="the nodes of a cluster are at ports")
    database = _database(settings, "")
    shown = path + (f" database {database}" if database else "")
    return Node(shown, UnixDomainSocketConnection, {**_user(settings, "", url), "path": path, "db": database})


def _node(options: Mapping[str, Any], tls: Mapping[str, Any] | None) -> Node:
    if tls is None:
        return Node("", Connection, options)
    return Node("", SSLConnection, {**options, **tls_options(tls)})


def _user(settings: Mapping[str, Any], prefix: str, url: SplitResult | None = None) -> dict[str, str]:
    user = settings.get(f"{prefix}Username") or (unquote(url.username) if url and url.username else None)
    password = settings.get(f"{prefix}Password") or (unquote(url.password) if url and url.password else None)
    return {name: value for name, value in (("username", user), ("password", password)) if value}


def _host_and_port(setting: str, text: str, port: int) -> tuple[str, int]:
    try:
        parts = urlsplit(f"//{text.strip()}")
        found = parts.hostname or "localhost", parts.port or port
    except ValueError:
        raise SettingsError(setting, f"has {text!r} in it", allowed="HOST:PORT") from None
    if parts.path or parts.query or parts.username or (setting == "Sentinels" and not parts.hostname):
        raise SettingsError(setting, f"has {text!r} in it", allowed="HOST:PORT")
    return found


def _database(settings: Mapping[str, Any], path: str) -> int:
    given = settings.get("Database")
    named = path.strip("/")
    if not named:
        return int(given or 0)
    if not named.isdecimal():
        raise SettingsError("Url", f"has the path {path!r}", allowed="the number of a database may follow the port")
    if given is not None and int(given) != int(named):
        raise SettingsError("Database", f"is {given}, and the Url names {named}", allowed="one of them is enough")
    return int(named)
