"""The template: a warm process, one per interpreter, that forks environments and answers for what they start.

It holds the bootstrap, and with `Preload` one function's code; it runs no function itself and has no threads. The node
asks over a packet socket (`fork`, `end`, `preload`) and hears what happened (`forked`, `not_forked`, `exited`, …). When
the node is gone the socket ends, and with it everything below the template.
"""

from __future__ import annotations

import array
import contextlib
import gc
import json
import os
import select
import signal
import socket
import sys
import threading
import time
from typing import Any

from penstock.functions.bootstrap import descendants, environment, failures, frames, kernel, output
from penstock.functions.bootstrap.codec import Codec, warm_up
from penstock.functions.bootstrap.handler import load

_MESSAGE_BYTES_MAX = 65_536
_DESCRIPTORS_MAX = 8
_END_WITHIN_S = 2.0


def main(control_descriptor: int) -> None:
    """Serve the node at the other end of this packet socket until it closes."""
    control = socket.socket(fileno=control_descriptor)
    control.set_inheritable(False)
    Template(control).run()


class Template:
    """Forks, reaps and ends environments; one message is dealt with at a time."""

    def __init__(self, control: socket.socket) -> None:
        self._control = control
        self._environments: dict[int, tuple[str, int]] = {}
        self._statuses: dict[str, int] = {}
        self._wake_read, self._wake_write = os.pipe()
        os.set_blocking(self._wake_read, False)
        os.set_blocking(self._wake_write, False)
        self._adopts = kernel.adopt_orphans()
        self._has_to_end = False
        self._is_loading = False

    def run(self) -> None:
        self._listen_to_signals()
        kernel.die_with_parent(signal.SIGTERM)
        warm_up()
        gc.collect()
        gc.freeze()
        self._tell(event="hello", python=".".join(map(str, sys.version_info[:3])), adopts=self._adopts)
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(self._wake_read, select.POLLIN)
        while not self._has_to_end:
            ready = {descriptor for descriptor, _ in poll.poll()}
            if self._wake_read in ready:
                with contextlib.suppress(BlockingIOError):
                    os.read(self._wake_read, 4096)
                self._report_exits()
            if self._control.fileno() in ready and not self._take_message():
                break
        self._end_everything()

    def _listen_to_signals(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.signal(signal.SIGTERM, self._on_terminate)
        signal.set_wakeup_fd(self._wake_write, warn_on_full_buffer=False)

    def _on_terminate(self, *_: Any) -> None:
        self._has_to_end = True
        if self._is_loading:
            # The code that is being imported may never come to an end.
            self._end_everything()
            os._exit(1)

    def _take_message(self) -> bool:
        try:
            data, ancillary, _, _ = self._control.recvmsg(
                _MESSAGE_BYTES_MAX, socket.CMSG_SPACE(_DESCRIPTORS_MAX * 4), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return False
        if not data:
            return False
        descriptors: list[int] = []
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                passed = array.array("i")
                passed.frombytes(content[: len(content) - len(content) % passed.itemsize])
                descriptors.extend(passed)
        message = json.loads(data)
        if message["ask"] == "fork":
            self._fork(message, descriptors)
        elif message["ask"] == "end":
            self._end(message["environment"])
        elif message["ask"] == "preload":
            self._preload(descriptors)
        for descriptor in descriptors:
            os.close(descriptor)
        return True

    def _fork(self, message: dict[str, Any], descriptors: list[int]) -> None:
        identifier = message["environment"]
        template_pid = os.getpid()
        try:
            pid = os.fork()
        except OSError as error:
            self._tell(event="not_forked", environment=identifier, reason=os.strerror(error.errno or 0))
            return
        if pid == 0:
            self._leave_to_environment(message, descriptors, template_pid)
        self._environments[pid] = (identifier, message["mark"])
        self._tell(event="forked", environment=identifier, pid=pid)

    def _leave_to_environment(self, message: dict[str, Any], descriptors: list[int], template_pid: int) -> None:
        """Become an environment; this never returns."""
        try:
            signal.set_wakeup_fd(-1)
            environment.become(template_pid=template_pid, mark=message["mark"], memory_mb=message["memory_mb"])
            for descriptor in (self._wake_read, self._wake_write, self._control.detach()):
                os.close(descriptor)
            sock_descriptor, out, err = descriptors
            output.connect(out, err)
            environment.run(socket.socket(fileno=sock_descriptor))
        finally:
            os._exit(1)

    def _report_exits(self) -> None:
        self._reap()
        for identifier in list(self._statuses):
            self._finish(identifier)

    def _finish(self, identifier: str) -> None:
        """End an environment and all that it started, and tell the node how it ended."""
        pid, mark = next((pid, mark) for pid, (known, mark) in self._environments.items() if known == identifier)
        left = self._kill_all(identifier, pid, mark)
        del self._environments[pid]
        self._tell(event="exited", environment=identifier, status=self._statuses.pop(identifier, None), left=left)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            known = self._environments.get(pid)
            if known is not None:
                self._statuses[known[0]] = status

    def _end(self, identifier: str) -> None:
        if any(known == identifier for known, _ in self._environments.values()):
            self._finish(identifier)

    def _kill_all(self, identifier: str, pid: int, mark: int) -> int:
        """Kill an environment, if it still lives, and all that it started; returns how many would not die."""
        deadline = time.monotonic() + _END_WITHIN_S
        # A process that is born or adopted while we look may be missed once, but not twice.
        clean_passes = 0
        while clean_passes < 2:
            self._reap()
            victims = self._below(identifier, pid, mark)
            if not victims:
                clean_passes += 1
                continue
            if time.monotonic() > deadline:
                return len(victims)
            clean_passes = 0
            descendants.kill(victims)
            time.sleep(0.0005)
        return 0

    def _below(self, identifier: str, pid: int, mark: int) -> list[int]:
        if not self._adopts:
            return [
                each
                for each in descendants.marked(descendants.family_of(mark) or 0)
                if descendants.mark_of(each) == mark
            ]
        found: list[int] = []
        for child in descendants.children(os.getpid()):
            is_it = child == pid and identifier not in self._statuses
            if is_it or (child not in self._environments and descendants.mark_of(child) == mark):
                found.extend(descendants.tree(child))
        return found

    def _end_everything(self) -> None:
        deadline = time.monotonic() + 2 * _END_WITHIN_S
        own_pid = os.getpid()
        marks = [mark for _, mark in self._environments.values()]
        clean_passes = 0
        while clean_passes < 2 and time.monotonic() < deadline:
            self._reap()
            found = descendants.tree(own_pid)[1:]
            clean_passes = 0 if found else clean_passes + 1
            descendants.kill(found)
            time.sleep(0.0005)
        if marks and not self._adopts:
            descendants.end_family(descendants.family_of(marks[0]) or 0, within_s=_END_WITHIN_S)

    def _preload(self, descriptors: list[int]) -> None:
        """Load one function's code here, before any fork; refused where that leaves what a fork can not share."""
        sock_descriptor, out, err = (os.dup(descriptor) for descriptor in descriptors)
        null = os.open(os.devnull, os.O_WRONLY)
        own_error = os.dup(2)
        output.connect(out, err)
        channel = frames.FrameSocket(socket.socket(fileno=sock_descriptor))
        frame = channel.read()
        if frame is None:
            return
        setup = json.loads(frame.header)
        sockets_before = _sockets()
        kind, body = frames.READY, b""
        self._is_loading = True
        try:
            environment.prepare(setup)
            load(setup["handler"], setup["hint"])
            _refuse_what_is_left(setup["handler"], sockets_before)
            # Imports the faster JSON, if there is one, for every fork.
            Codec()
        except failures.InitFailure as failed:
            output.report("ERROR", failures.as_text(failed.document))
            kind, body = frames.INIT_FAILED, failures.encode(failed.document)
        self._is_loading = False
        output.flush()
        channel.write(kind, frame.sequence, body)
        os.dup2(null, 1)
        os.dup2(own_error, 2)
        for descriptor in (null, own_error):
            os.close(descriptor)
        # The code just imported may have taken them.
        self._listen_to_signals()
        gc.collect()
        gc.freeze()

    def _tell(self, **message: Any) -> None:
        # A node that is gone is noticed by the next read.
        with contextlib.suppress(OSError):
            self._control.send(json.dumps(message).encode())


def _refuse_what_is_left(handler: str, sockets_before: set[str]) -> None:
    left: list[str] = []
    threads = len(os.listdir("/proc/self/task")) - 1  # noqa: PTH208 - pathlib would stay in every template
    if threads:
        names = ", ".join(thread.name for thread in threading.enumerate() if thread is not threading.main_thread())
        left.append(f"{threads} thread{'s' * (threads > 1)} running" + (f" ({names})" if names else ""))
    sockets = len(_sockets() - sockets_before)
    if sockets:
        left.append(f"{sockets} socket{'s' * (sockets > 1)} open")
    processes = len(descendants.children(os.getpid()))
    if processes:
        left.append(f"{processes} child process{'es' * (processes > 1)}")
    if left:
        raise failures.InitFailure(
            failures.document(
                "Runtime.PreloadRefused",
                f"Preload: importing the module of '{handler}' left {' and '.join(left)}, which environments can not "
                "share; open it inside the handler, or set Preload to false",
            )
        )


def _sockets() -> set[str]:
    found: set[str] = set()
    for descriptor in os.listdir("/proc/self/fd"):  # noqa: PTH208 - the same
        with contextlib.suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")  # noqa: PTH115 - the same
            if target.startswith("socket:"):
                found.add(target)
    return found
