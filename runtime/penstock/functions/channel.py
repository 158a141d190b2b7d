"""The node's end of an environment's socket: whole frames out, whole frames in, nothing blocking.

It reads and writes the socket itself, as a reader of the loop: one system call each way for a small frame, no copy of a
 large event on its way out. What arrives is checked before anything is allocated for it, since a function can write to
any descriptor it has.
"""

import asyncio
import socket
from collections.abc import Callable
from typing import NamedTuple

from penstock.functions.bootstrap.frames import ANSWERS, PREFIX

_CHUNK_BYTES = 65_536


class Answer(NamedTuple):
    """One frame from an environment."""

    kind: int
    sequence: int
    body: bytes


class Channel:
    """Frames over one socket. `on_answer` gets each frame, `on_broken` why there will be no more (once)."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        body_bytes_max: int,
        on_answer: Callable[[Answer], None],
        on_broken: Callable[[str], None],
    ) -> None:
        self._sock = sock
        self._loop = asyncio.get_running_loop()
        self._body_bytes_max = body_bytes_max
        self._on_answer = on_answer
        self._on_broken = on_broken
        self._buffer = bytearray(_CHUNK_BYTES)
        self._view = memoryview(self._buffer)
        self._filled = 0
        self._large: bytearray | None = None
        self._unsent: list[memoryview] = []
        self._is_open = True
        sock.setblocking(False)
        self._loop.add_reader(sock, self.pump)

    def send(self, kind: int, sequence: int, header: bytes, body: bytes) -> None:
        """Send one frame; what the socket does not take at once follows when it can."""
        if not self._is_open:
            return
        parts: list[bytes] = [PREFIX.pack(kind, sequence, len(header), len(body)) + header]
        if body:
            parts.append(body)
        try:
            sent = self._sock.sendmsg(parts)
        except (BlockingIOError, InterruptedError):
            sent = 0
        except OSError as error:
            self._break(str(error))
            return
        for part in parts:
            if sent < len(part):
                self._unsent.append(memoryview(part)[sent:])
            sent = max(0, sent - len(part))
        if self._unsent:
            self._loop.add_writer(self._sock, self._send_rest)

    def drain(self) -> None:
        """Take in all that has arrived: the process at the other end is gone, its last words may not be."""
        while self.pump():
            pass

    def pump(self) -> bool:
        """Take in some of what has arrived; False when nothing had."""
        if not self._is_open:
            return False
        large = self._large
        try:
            if large is None:
                received = self._sock.recv_into(self._view[self._filled :])
            else:
                with memoryview(large) as view:
                    received = self._sock.recv_into(view[self._filled :])
        except (BlockingIOError, InterruptedError):
            return False
        except OSError as error:
            self._break(str(error))
            return False
        if not received:
            self._break("it closed its socket")
            return False
        self._filled += received
        if large is None:
            self._take_frames()
        elif self._filled == len(large):
            kind, sequence, _, _ = PREFIX.unpack_from(large)
            self._large, self._filled = None, 0
            self._on_answer(Answer(kind, sequence, bytes(memoryview(large)[PREFIX.size :])))
        return True

    def close(self) -> None:
        """Close the socket; neither callback is called any more."""
        if self._is_open:
            self._is_open = False
            self._loop.remove_reader(self._sock)
            if self._unsent:
                self._loop.remove_writer(self._sock)
                self._unsent.clear()
            self._sock.close()

    def _take_frames(self) -> None:
        start = 0
        while self._is_open and self._filled - start >= PREFIX.size:
            kind, sequence, header_bytes, body_bytes = PREFIX.unpack_from(self._buffer, start)
            if kind not in ANSWERS or header_bytes or body_bytes > self._body_bytes_max:
                self._break("it sent something that is not a response")
                return
            whole = PREFIX.size + body_bytes
            if whole > _CHUNK_BYTES:
                self._large = bytearray(whole)
                self._large[: self._filled - start] = self._view[start : self._filled]
                self._filled -= start
                return
            if self._filled - start < whole:
                break
            body = bytes(self._view[start + PREFIX.size : start + whole])
            start += whole
            self._on_answer(Answer(kind, sequence, body))
        if start:
            self._filled -= start
            self._buffer[: self._filled] = self._buffer[start : start + self._filled]

    def _send_rest(self) -> None:
        try:
            sent = self._sock.sendmsg(self._unsent)
        except (BlockingIOError, InterruptedError):
            return
        except OSError as error:
            self._break(str(error))
            return
        while self._unsent and sent >= len(self._unsent[0]):
            sent -= len(self._unsent.pop(0))
        if self._unsent:
            self._unsent[0] = self._unsent[0][sent:]
        else:
            self._loop.remove_writer(self._sock)

    def _break(self, reason: str) -> None:
        self.close()
        self._on_broken(reason)
