"""Where a server is and as whom we come: from a source's settings to what redis-py's connections take."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from penstock.api import SettingsError
from penstock_redis.client_types import Connection, SSLConnection, UnixDomainSocketConnection

PORT = 6379
_SCHEMES = "redis://HOST:PORT/DATABASE, rediss://… for TLS, or unix:///PATH/OF/SOCKET"

ConnectionClass = type[Connection] | type[SSLConnection] | type[UnixDomainSocketConnection]


@dataclass(frozen=True, slots=True)
class Address:
    """A server's place, for people, and what a connection to it is made with."""

    shown: str
    connection_class: ConnectionClass
    options: Mapping[str, Any] = field(repr=False)

    @classmethod
    def of(cls, settings: Mapping[str, Any]) -> "Address":
        """Read `Url`, `Username`, `Password`, `Database` and `Tls`. Raises SettingsError."""
        url = settings.get("Url") or ""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise SettingsError("Url", "is no URL", allowed=_SCHEMES) from None
        if parts.scheme not in {"redis", "rediss", "unix"}:
            raise SettingsError("Url", f"begins with {parts.scheme or 'no scheme'!r}", allowed=_SCHEMES)
        if parts.query or parts.fragment:
            raise SettingsError("Url", "has a part after '?' or '#'", allowed="settings have keys of their own")
        options: dict[str, Any] = {}
        if user := settings.get("Username") or (unquote(parts.username) if parts.username else None):
            options["username"] = user
        if password := settings.get("Password") or (unquote(parts.password) if parts.password else None):
            options["password"] = password
        tls = settings.get("Tls")
        if parts.scheme == "unix":
            return cls._of_socket(settings, unquote(parts.path), options, tls)
        database = _database(settings, parts.path)
        options |= {"host": parts.hostname or "localhost", "port": port or PORT, "db": database}
        options |= {"socket_keepalive": True}
        shown = f"{options['host']}:{options['port']}" + (f"/{database}" if database else "")
        if parts.scheme == "redis" and tls is None:
            return cls(shown, Connection, options)
        return cls(shown, SSLConnection, {**options, **_tls_options(tls or {})})

    @classmethod
    def _of_socket(
        cls, settings: Mapping[str, Any], path: str, options: dict[str, Any], tls: Mapping[str, Any] | None
    ) -> "Address":
        if not path:
            raise SettingsError("Url", "names no socket", allowed=_SCHEMES)
        if tls is not None:
            raise SettingsError("Tls", "is set beside a unix:// address", allowed="sockets have no TLS; leave it out")
        database = _database(settings, "")
        shown = path + (f" database {database}" if database else "")
        return cls(shown, UnixDomainSocketConnection, {**options, "path": path, "db": database})


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


def _tls_options(tls: Mapping[str, Any]) -> dict[str, Any]:
    for name in ("CaFile", "CertFile", "KeyFile"):
        if tls.get(name) and not Path(tls[name]).is_file():
            raise SettingsError(f"Tls.{name}", f"there is no file {str(tls[name])!r}")
    if bool(tls.get("CertFile")) != bool(tls.get("KeyFile")):
        missing, given = ("KeyFile", "CertFile") if tls.get("CertFile") else ("CertFile", "KeyFile")
        raise SettingsError(f"Tls.{missing}", f"is missing; a {given} needs it")
    _try_files(tls)
    options: dict[str, Any] = {
        "ssl_ca_certs": _text(tls.get("CaFile")),
        "ssl_certfile": _text(tls.get("CertFile")),
        "ssl_keyfile": _text(tls.get("KeyFile")),
        "ssl_password": tls.get("KeyPassword"),
    }
    if tls.get("Verify") is False:
        options |= {"ssl_cert_reqs": "none", "ssl_check_hostname": False}
    return {name: value for name, value in options.items() if value is not None}


def _try_files(tls: Mapping[str, Any]) -> None:
    context = ssl.create_default_context()
    try:
        if tls.get("CaFile"):
            context.load_verify_locations(_text(tls["CaFile"]))
    except (ssl.SSLError, OSError) as raised:
        raise SettingsError("Tls.CaFile", f"holds no certificates ({raised.strerror or raised})") from None
    try:
        if tls.get("CertFile"):
            context.load_cert_chain(tls["CertFile"], tls["KeyFile"], tls.get("KeyPassword") or "")
    except (ssl.SSLError, OSError) as raised:
        raise SettingsError("Tls.CertFile", f"does not go with its key ({raised.strerror or raised})") from None


def _text(path: Any) -> str | None:
    return None if path is None else str(path)
