"""Asking a running node over its endpoint."""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

from penstock.cli.failures import Failure, Unreachable, Wrong

TIMEOUT_S = 10


def ask(endpoint: str, path: str) -> Any:
    """Get a JSON document from a node. Proxies of the environment are not for it."""
    url = urlsplit(endpoint)
    if url.scheme not in {"http", "https"} or not url.hostname:
        raise Wrong(f"the endpoint is '{endpoint}'; wanted is a URL such as http://127.0.0.1:3001")
    kind = http.client.HTTPSConnection if url.scheme == "https" else http.client.HTTPConnection
    try:
        connection = kind(url.hostname, url.port, timeout=TIMEOUT_S)
        try:
            connection.request("GET", url.path.rstrip("/") + path, headers={"Accept": "application/json"})
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise Unreachable(f"no node answers at {endpoint}: {getattr(error, 'strerror', None) or error}") from error
    try:
        document = json.loads(body)
    except ValueError:
        raise Failure(f"what answers at {endpoint} is no Penstock node") from None
    if response.status != http.client.OK:
        raise Failure(f"the node at {endpoint} refused: {document.get('message', response.reason)}")
    return document
