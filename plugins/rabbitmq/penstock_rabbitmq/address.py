"""Where a broker's nodes are and as whom we come: from a source's settings to what pika's connections take."""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, unquote, urlsplit

from penstock.api import SettingsError
from penstock_rabbitmq.pika_types import ConnectionParameters, ExternalCredentials, PlainCredentials, SSLOptions

PORT = 5672
TLS_PORT = 5671
HEARTBEAT_S = 20
"""Short enough that what a node held that hangs is soon another's; no healthy loop is held up for so long."""
CONNECT_S = 5.0
LOG_IN_S = 10.0
_SCHEMES = "amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://… for TLS"


@dataclass(frozen=True, slots=True)
class Address:
    """One node's place, for people, and what a connection to it is made with."""

    shown: str
    virtual_host: str
    options: Mapping[str, Any] = field(repr=False)

    def parameters(self, name: str) -> Any:
        """Make pika's parameters for a connection that the broker shows by this name."""
        return ConnectionParameters(**self.options, client_properties={"connection_name": name})


def addresses_of(settings: Mapping[str, Any]) -> tuple[Address, ...]:
    """Read `Url` or `Urls`, `Username`, `Password`, `VirtualHost`, `Authentication` and `Tls`. Raises SettingsError."""
    url, urls = settings.get("Url"), settings.get("Urls")
    if url and urls:
        raise SettingsError("Urls", "is set beside Url", allowed="one of the two")
    if not url and not urls:
        raise SettingsError("Url", "is missing, and there are no Urls", allowed=_SCHEMES)
    given = [("Url", url)] if url else [("Urls", each) for each in urls or ()]
    addresses = tuple(_address(path, text, settings) for path, text in given)
    if len({address.virtual_host for address in addresses}) > 1:
        raise SettingsError("Urls", "name several virtual hosts", allowed="the nodes of one cluster")
    return addresses


def _address(path: str, url: str, settings: Mapping[str, Any]) -> Address:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise SettingsError(path, "is no URL", allowed=_SCHEMES) from None
    if parts.scheme not in {"amqp", "amqps"}:
        raise SettingsError(path, f"begins with {parts.scheme or 'no scheme'!r}", allowed=_SCHEMES)
    if parts.query or parts.fragment:
        raise SettingsError(path, "has a part after '?' or '#'", allowed="settings have keys of their own")
    tls = settings.get("Tls")
    has_tls = parts.scheme == "amqps" or tls is not None
    host = parts.hostname or "localhost"
    port = port or (TLS_PORT if has_tls else PORT)
    virtual_host = _virtual_host(path, parts, settings)
    options = {
        "host": host,
        "port": port,
        "virtual_host": virtual_host,
        "credentials": _credentials(parts, settings, has_tls=has_tls),
        "heartbeat": HEARTBEAT_S,
        "connection_attempts": 1,
        "socket_timeout": CONNECT_S,
        "stack_timeout": LOG_IN_S,
    }
    if has_tls:
        options["ssl_options"] = SSLOptions(_tls_context(tls or {}), host)
    shown = f"{host}:{port}" + (f" in virtual host {virtual_host!r}" if virtual_host != "/" else "")
    return Address(shown, virtual_host, options)


def _virtual_host(path: str, parts: SplitResult, settings: Mapping[str, Any]) -> str:
    named = unquote(parts.path[1:])
    if "/" in parts.path[1:]:
        raise SettingsError(path, f"has the path {parts.path!r}", allowed="a virtual host, with its own slashes as %2F")
    given: str | None = settings.get("VirtualHost")
    if named and given and named != given:
        raise SettingsError("VirtualHost", f"is {given!r}, and {path} names {named!r}", allowed="one of them is enough")
    return given or named or "/"


def _credentials(parts: SplitResult, settings: Mapping[str, Any], *, has_tls: bool) -> Any:
    if settings.get("Authentication") == "external":
        if not has_tls or not (settings.get("Tls") or {}).get("CertFile"):
            raise SettingsError("Authentication", "is external, without a certificate", allowed="set Tls.CertFile")
        return ExternalCredentials()
    user = settings.get("Username") or (unquote(parts.username) if parts.username else "guest")
    password = settings.get("Password") or (unquote(parts.password) if parts.password else "guest")
    return PlainCredentials(user, password)


def _tls_context(tls: Mapping[str, Any]) -> ssl.SSLContext:
    for name in ("CaFile", "CertFile", "KeyFile"):
        if tls.get(name) and not Path(tls[name]).is_file():
            raise SettingsError(f"Tls.{name}", f"there is no file {str(tls[name])!r}")
    if bool(tls.get("CertFile")) != bool(tls.get("KeyFile")):
        missing, given = ("KeyFile", "CertFile") if tls.get("CertFile") else ("CertFile", "KeyFile")
        raise SettingsError(f"Tls.{missing}", f"is missing; a {given} needs it")
    try:
        context = ssl.create_default_context(cafile=str(tls["CaFile"]) if tls.get("CaFile") else None)
    except (ssl.SSLError, OSError) as raised:
        raise SettingsError("Tls.CaFile", f"holds no certificates ({raised.strerror or raised})") from None
    try:
        if tls.get("CertFile"):
            context.load_cert_chain(tls["CertFile"], tls["KeyFile"], tls.get("KeyPassword") or "")
    except (ssl.SSLError, OSError) as raised:
        raise SettingsError("Tls.CertFile", f"does not go with its key ({raised.strerror or raised})") from None
    if tls.get("Verify") is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context
