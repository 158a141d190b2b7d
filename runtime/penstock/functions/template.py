"""The node's side of a template process: start it, ask it to fork and to end, hear what happened."""

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import socket
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

import msgspec

from penstock.functions.bootstrap import descendants
from penstock.functions.variables import of_the_node

_SCRIPT: Final = Path(__file__).parent / "bootstrap" / "template_main.py"
_MESSAGE_BYTES_MAX: Final = 65_536
_HELLO_WITHIN_S: Final = 15.0
_END_WITHIN_S: Final = 5.0
_LAST_WORDS_BYTES_MAX: Final = 4096


class TemplateFailed(Exception):
    """The template could not be started; the text says why, as the end of a sentence about the interpreter."""


class Forked(Protocol):
    """An environment as its template knows it: what it is told."""

    id: str

    @property
    def function(self) -> str: ...
    @property
    def is_busy(self) -> bool: ...
    def on_forked(self, pid: int) -> None: ...
    def on_not_forked(self, reason: str) -> None: ...
    def on_exited(self, status: int | None) -> None: ...
    def on_template_died(self, *, is_suspect: bool) -> None: ...


class _Heard(msgspec.Struct, frozen=True):
    event: str
    environment: str = ""
    pid: int = 0
    status: int | None = None
    reason: str = ""
    left: int = 0
    python: str = ""


class Template:
    """One template process. Use it with `async with`; leaving ends everything that it forked."""

    def __init__(self, interpreter: Path, *, on_died: Callable[[set[str]], None] | None = None) -> None:
        self.interpreter = interpreter
        self.python_version = ""
        self._on_died = on_died
        self._family = secrets.randbits(28)
        self._serial = 0
        self._environments: dict[str, Forked] = {}
        self._decoder = msgspec.json.Decoder(_Heard)
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._hello: asyncio.Future[str] | None = None
        self._died = asyncio.Event()
        self._burial: asyncio.Task[None] | None = None

    @property
    def is_alive(self) -> bool:
        return self._control is not None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def wait_status(self) -> int | None:
        """How the process ended, as `os.wait` would tell it; None while it runs."""
        code = None if self._process is None else self._process.returncode
        if code is None:
            return None
        return -code if code < 0 else code << 8

    async def start(self) -> None:
        """Start the process and wait until it is ready to fork. Raises TemplateFailed."""
        loop = asyncio.get_running_loop()
        control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            try:
                self._process = subprocess.Popen(  # noqa: ASYNC220, S603 - a spawn of milliseconds, of the interpreter that the configuration names
                    [self.interpreter, _SCRIPT, str(theirs.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.PIPE,
                    env=of_the_node(),
                    cwd="/",
                    pass_fds=[theirs.fileno()],
                    start_new_session=True,
                )
            except OSError as error:
                control.close()
                raise TemplateFailed(f"can not be run: {error.strerror}") from None
        control.setblocking(False)
        self._control = control
        self._hello = loop.create_future()
        loop.add_reader(control, self._listen)
        try:
            async with asyncio.timeout(_HELLO_WITHIN_S):
                self.python_version = await self._hello
        except TimeoutError:
            await self.close()
            raise TemplateFailed(f"did not get ready within {_HELLO_WITHIN_S:.0f} seconds") from None
        except BaseException:
            await self.close()
            raise

    def fork(self, environment: Forked, *, descriptors: Sequence[int], memory_mb: int | None) -> None:
        """Ask for an environment; it is told `on_forked` or `on_not_forked`, and at its end `on_exited`.

        Raises OSError when the template is gone.
        """
        if self._control is None:
            raise OSError(errno.EPIPE, "the template process is gone")
        self._serial += 1
        self._environments[environment.id] = environment
        message = {
            "ask": "fork",
            "environment": environment.id,
            "mark": descendants.mark(self._family, self._serial),
            "memory_mb": memory_mb,
        }
        self._ask(message, descriptors)

    def preload(self, environment: Forked, *, descriptors: Sequence[int]) -> None:
        """Ask to load a function's code before any fork; the answer comes over the first of the descriptors."""
        self._environments[environment.id] = environment
        self._ask({"ask": "preload"}, descriptors)

    def forget(self, environment: Forked) -> None:
        """Tell it nothing more."""
        self._environments.pop(environment.id, None)

    def end(self, environment: Forked) -> None:
        """Ask to kill an environment and all that it started."""
        if environment.id in self._environments:
            self._ask({"ask": "end", "environment": environment.id}, ())

    async def close(self) -> None:
        """End the process and everything below it; returns when nothing of it is left."""
        self._lose("the node ended it", is_ours=True)
        await self._died.wait()

    async def kill(self) -> None:
        """End it as `close` does, without waiting for it to do its part."""
        if self._process is not None:
            self._process.kill()
        await self.close()

    def _ask(self, message: dict[str, object], descriptors: Sequence[int]) -> None:
        if self._control is None:
            return
        try:
            socket.send_fds(self._control, [msgspec.json.encode(message)], list(descriptors))
        except OSError as error:
            # Its queue holds a few hundred messages of ours; a template that far behind is stopped or stuck.
            self._lose(f"it does not take messages: {error.strerror}")

    def _listen(self) -> None:
        while self._control is not None:
            try:
                data = self._control.recv(_MESSAGE_BYTES_MAX)
            except (BlockingIOError, InterruptedError):
                return
            except OSError:
                data = b""
            if not data:
                self._lose(self._last_words())
                return
            try:
                heard = self._decoder.decode(data)
            except (msgspec.DecodeError, msgspec.ValidationError):
                # A preloaded function's code can reach our socket. What speaks nonsense is started anew.
                self._lose("it sent something unreadable")
                return
            self._hear(heard)

    def _hear(self, heard: _Heard) -> None:
        if heard.event == "hello":
            if self._hello is not None and not self._hello.done():
                self._hello.set_result(heard.python)
            return
        environment = self._environments.get(heard.environment)
        if environment is None:
            return
        if heard.event == "forked":
            environment.on_forked(heard.pid)
        elif heard.event == "not_forked":
            del self._environments[heard.environment]
            environment.on_not_forked(heard.reason)
        elif heard.event == "exited":
            del self._environments[heard.environment]
            environment.on_exited(heard.status)

    def _lose(self, reason: str, *, is_ours: bool = False) -> None:
        """Have done with the process, whether it died or we end it; what is left of it is swept up."""
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control)
        self._control.close()
        self._control = None
        if self._hello is not None and not self._hello.done():
            self._hello.set_exception(TemplateFailed(f"did not start: {reason}"))
        # A function can kill its template. When only one was running it was that one's doing; when several were, it is
        # held against none, and each runs below a template of its own from then on.
        running = set() if is_ours else {each.function for each in self._environments.values() if each.is_busy}
        if self._on_died is not None:
            self._on_died(running)
        self._burial = asyncio.ensure_future(self._bury(is_suspect=len(running) == 1))

    async def _bury(self, *, is_suspect: bool) -> None:
        """Wait for its end (it ends its environments first), then sweep by the mark, then tell who was below it."""
        process = self._process
        assert process is not None
        process.terminate()
        await asyncio.to_thread(_wait_or_kill, process)
        await asyncio.to_thread(descendants.end_family, self._family, within_s=_END_WITHIN_S)
        if process.stderr is not None:
            process.stderr.close()
        environments, self._environments = self._environments, {}
        for environment in environments.values():
            environment.on_template_died(is_suspect=is_suspect)
        self._died.set()

    def _last_words(self) -> str:
        """Read what it wrote to standard error before it ended: the last line says why."""
        assert self._process is not None
        stderr = self._process.stderr
        words = b""
        if stderr is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(timeout=0.2)
            fcntl.fcntl(stderr, fcntl.F_SETFL, fcntl.fcntl(stderr, fcntl.F_GETFL) | os.O_NONBLOCK)
            with contextlib.suppress(OSError):
                words = os.read(stderr.fileno(), 65_536)[-_LAST_WORDS_BYTES_MAX:]
        lines = words.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it ended without a word"


def _wait_or_kill(process: subprocess.Popen[bytes]) -> None:
    try:
        process.wait(timeout=_END_WITHIN_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
