"""The two requests of Kafka's protocol that setting up a broker needs, written by hand: no client is installed yet."""

from __future__ import annotations

import itertools
import socket
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from local_brokers.process import BrokerError

_API_VERSIONS = 18
_CREATE_ACLS = 30
_CREATE_ACLS_VERSION = 1

_TOPIC, _GROUP = 2, 3
_LITERAL, _PREFIXED = 3, 4
_READ, _ALLOW = 3, 3


@dataclass(frozen=True)
class ReadRight:
    """The right of READ, and nothing more, on the topics or consumer groups whose name begins with a prefix."""

    principal: str
    prefix: str
    on_groups: bool = False

    def encode(self) -> bytes:
        resource = struct.pack(">b", _GROUP if self.on_groups else _TOPIC) + _string(self.prefix)
        entity = struct.pack(">b", _PREFIXED) + _string(self.principal) + _string("*")
        return resource + entity + struct.pack(">bb", _READ, _ALLOW)


def answers(host: str, port: int) -> bool:
    """Say whether the broker there handles requests, and does not only accept connections."""
    try:
        response = _request(host, port, _API_VERSIONS, 0, b"")
    except (OSError, EOFError):
        return False
    (code,) = struct.unpack_from(">h", response)
    return bool(code == 0)


def grant(host: str, port: int, rights: Sequence[ReadRight]) -> None:
    """Give the rights; giving them again changes nothing.

    Raises:
        BrokerError: the broker refused, with its reason.
    """
    body = struct.pack(">i", len(rights)) + b"".join(right.encode() for right in rights)
    response = _request(host, port, _CREATE_ACLS, _CREATE_ACLS_VERSION, body)
    _throttled_ms, count = struct.unpack_from(">ii", response)
    at = 8
    for _ in range(count):
        code, length = struct.unpack_from(">hh", response, at)
        at += 4
        message = response[at : at + max(length, 0)].decode()
        at += max(length, 0)
        if code != 0:
            raise BrokerError(f"Kafka refused an access right: error {code} {message}")


_correlation_ids = itertools.count(1)


def _request(host: str, port: int, api: int, version: int, body: bytes) -> bytes:
    head = struct.pack(">hhi", api, version, next(_correlation_ids)) + _string("penstock-brokers")
    with socket.create_connection((host, port), timeout=5) as connection:
        connection.sendall(struct.pack(">i", len(head) + len(body)) + head + body)
        (length,) = struct.unpack(">i", _read(connection, 4))
        return _read(connection, length)[4:]


def _read(connection: socket.socket, length: int) -> bytes:
    received = b""
    while len(received) < length:
        part = connection.recv(length - len(received))
        if not part:
            raise EOFError("the broker closed the connection")
        received += part
    return received


def _string(text: str) -> bytes:
    return struct.pack(">h", len(text.encode())) + text.encode()
