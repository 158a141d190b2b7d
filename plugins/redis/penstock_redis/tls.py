"""TLS to a server: from the settings' section to what redis-py's connections take. The files are tried at once."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.api import SettingsError


def tls_options(tls: Mapping[str, Any]) -> dict[str, Any]:
    """Read the section `Tls`. Raises SettingsError."""
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
