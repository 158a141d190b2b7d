"""Frames: how the node and an environment talk over their socket, one frame out and one frame back.

A frame is a prefix (kind, sequence, header bytes, body bytes; network order), a header, a body. The environment's end
is blocking and lives here; the node's end is `penstock.functions.channel`.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

PREFIX = struct.Struct("!BIII")

INIT = 1
"""Node to environment: what to load, as a JSON header."""
INVOKE = 2
"""Node to environment: `request id \\n deadline, epoch ms \\n trace id \\n 1 where no number is beyond 64 bits`."""
READY = 3
"""Environment to node: the handler is loaded."""
INIT_FAILED = 4
"""Environment to node: it could not be loaded; the body is the error document."""
RETURNED = 5
"""Environment to node: the body is the response."""
FAILED = 6
"""Environment to node: the body is the error document."""

ANSWERS = frozenset((READY, INIT_FAILED, RETURNED, FAILED))

_CHUNK_BYTES = 65_536


class Frame(NamedTuple):
    """One frame, whole. `body` is bytes where it is small, a bytearray of its own where it is large."""

    kind: int
    sequence: int
    header: bytes
    body: bytes | bytearray


class FrameSocket:
    """The blocking end of a frame socket: at most one frame is ever on its way to us."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(_CHUNK_BYTES)
        self._view = memoryview(self._buffer)

    def fileno(self) -> int:
        return self._sock.fileno()

    def read(self) -> Frame | None:
        """Wait for the next frame; None when the node has closed its end."""
        filled = 0
        while filled < PREFIX.size:
            received = self._sock.recv_into(self._view[filled:])
            if not received:
                return None
            filled += received
        kind, sequence, header_bytes, body_bytes = PREFIX.unpack_from(self._buffer)
        whole = PREFIX.size + header_bytes + body_bytes
        rest = self._receive_rest(filled, whole)
        if rest is None:
            return None
        start = PREFIX.size + header_bytes
        if rest:
            header = bytes(rest[PREFIX.size : start])
            # Cutting the front off moves the start of the array, not its bytes.
            del rest[:start]
            return Frame(kind, sequence, header, rest)
        return Frame(kind, sequence, bytes(self._view[PREFIX.size : start]), bytes(self._view[start:whole]))

    def _receive_rest(self, filled: int, whole: int) -> bytearray | None:
        """Receive what is missing: into the buffer (an empty array is returned) or, where it is too long, a new one."""
        target = self._view
        grown = bytearray()
        if whole > _CHUNK_BYTES:
            grown = bytearray(whole)
            grown[:filled] = self._view[:filled]
            target = memoryview(grown)
        while filled < whole:
            received = self._sock.recv_into(target[filled:whole], 0, socket.MSG_WAITALL)
            if not received:
                return None
            filled += received
        if grown:
            target.release()
        return grown

    def write(self, kind: int, sequence: int, body: bytes) -> None:
        """Send one frame without a header; raises OSError when the node is gone."""
        prefix = PREFIX.pack(kind, sequence, 0, len(body))
        if len(body) <= _CHUNK_BYTES:
            self._sock.sendall(prefix + body)
            return
        self._sock.sendall(prefix)
        self._sock.sendall(body)
