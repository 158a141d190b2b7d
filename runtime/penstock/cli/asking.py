"""Asking a running node over its endpoint, and asking it to do something."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from penstock.cli.failures import Failure, Unreachable, Wrong

TIMEOUT_S = 10
WRONG = frozenset({400, 404, 413})
"""What was asked can never be done."""
UNREACHABLE = 503
"""The node could not reach the broker."""
REFUSED = frozenset({409, 502})
"""It can not be done as things stand; the message says it all."""


def ask(endpoint: str, path: str, *, timeout_s: float = TIMEOUT_S) -> Any:
    """Get a JSON document from a node."""
    return _answer(endpoint, "GET", path, None, timeout_s)


def command(endpoint: str, path: str, body: Any = None, *, timeout_s: float = TIMEOUT_S) -> Any:
    """Have a node do something; gives its JSON answer."""
    return _answer(endpoint, "POST", path, json.dumps({} if body is None else body).encode(), timeout_s)


def _answer(endpoint: str, method: str, path: str, body: bytes | None, timeout_s: float) -> Any:
    # Proxies of the environment are not for it.
    url = urlsplit(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise Wrong(f"the endpoint is '{endpoint}'; wanted is a URL such as http://127.0.0.1:3001")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    headers = {"Accept": "application/json"} | ({} if body is None else {"Content-Type": "application/json"})
    try:
        connection = kind(url.hostname, url.port, timeout=timeout_s)
        try:
            connection.request(method, url.path.rstrip("/") + path, body=body, headers=headers)
            response = connection.getresponse()
            given = response.read()
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"no node answers at {endpoint}: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = json.loads(given)
    except ValueError:
        raise Failure(f"what answers at {endpoint} is no Penstock node") from None
    if response.status not in {http.client.OK, http.client.ACCEPTED}:
        raise _failure(endpoint, response.status, document.get("message", response.reason))
    return document


def _failure(endpoint: str, code: int, message: str) -> Failure:
    if code in WRONG:
        return Wrong(message)
    if code == UNREACHABLE:
        return Unreachable(message)
    return Failure(message if code in REFUSED else f"the node at {endpoint} refused: {message}")
