"""One real function process, talked to in the simplest way there is: blocking, one event out and one response back.

The template, the fork and the bootstrap are the node's own; the node's end of the sockets is these sixty lines.
"""

import json
import socket
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from variant import CODE, Variant

from penstock.api import FunctionSpec
from penstock.functions import bootstrap
from penstock.functions.bootstrap import descendants, frames
from penstock.functions.variables import setup

TEMPLATE = Path(bootstrap.__file__).with_name("template_main.py")
TIMEOUT_S = 60
FAMILY = 1


class FunctionProcess:
    """A function, loaded and ready; `send` an event, `receive` its response, and again."""

    def __init__(self, variant: Variant, *, environment: Mapping[str, str]) -> None:
        self._control, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        command = [str(variant.python), str(TEMPLATE), str(control.fileno())]
        self._template = subprocess.Popen(command, pass_fds=[control.fileno()], stdin=subprocess.DEVNULL)
        control.close()
        hello = self._hear("hello")
        spec = FunctionSpec(
            name="bench",
            handler=variant.handler,
            code=CODE,
            arn="bench",
            python=variant.python,
            environment=environment,
        )
        described = setup(spec, environment_id="1", python_version=hello["python"], interpreter=variant.python)
        self._socket, theirs = socket.socketpair()
        ask = {"ask": "fork", "environment": "1", "mark": descendants.mark(FAMILY, 1), "memory_mb": None}
        socket.send_fds(self._control, [json.dumps(ask).encode()], [theirs.fileno(), 2, 2])
        theirs.close()
        self._hear("forked")
        self._frames = frames.FrameSocket(self._socket)
        self._sequence = 0
        self._send(frames.INIT, json.dumps(described).encode(), b"")
        self._expect(frames.READY)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
        # The template ends what it forked, and itself, when its node is gone.
        self._control.close()
        self._template.wait(TIMEOUT_S)

    def send(self, event: bytes) -> None:
        deadline_ms = int((time.time() + TIMEOUT_S) * 1000)
        self._send(frames.INVOKE, f"request\n{deadline_ms}\n\n1".encode(), event)

    def receive(self) -> bytes | bytearray:
        return self._expect(frames.RETURNED)

    def _send(self, kind: int, header: bytes, body: bytes) -> None:
        self._sequence += 1
        self._socket.sendall(frames.PREFIX.pack(kind, self._sequence, len(header), len(body)) + header)
        self._socket.sendall(body)

    def _expect(self, kind: int) -> bytes | bytearray:
        frame = self._frames.read()
        if frame is None or frame.kind != kind:
            raise SystemExit(f"the function's process failed: {frame}")
        return frame.body

    def _hear(self, event: str) -> dict[str, Any]:
        message: dict[str, Any] = json.loads(self._control.recv(65_536) or b"{}")
        if message.get("event") != event:
            raise SystemExit(f"the function's template failed: {message}")
        return message
