"""One environment as the node sees it: start it, send it one event at a time, end it with all that it started."""

import asyncio
import os
import secrets
import signal
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, assert_never

import msgspec

from penstock.api import PAYLOAD_BYTES_MAX, FunctionFailed, FunctionSpec, Invocation, InvocationResult, NotRun, Returned
from penstock.functions import errors
from penstock.functions.bootstrap import frames
from penstock.functions.channel import Answer, Channel
from penstock.functions.logs import FunctionLog
from penstock.functions.output import Output
from penstock.functions.template import Template
from penstock.functions.variables import setup

INIT_TIMEOUT_MS: Final = 10_000
"""How long importing a function's code may take (`lambda-semantics.md §5.6`)."""

# An error document is bounded by the bootstrap; the frame may be this much longer than the longest response.
_BODY_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + 2_000_000
_END_WITHIN_S: Final = 3.0
_EXIT_REPORTED_WITHIN_S: Final = 0.25


@dataclass(frozen=True, slots=True)
class Exited:
    """The process ended; `status` is its wait status."""

    status: int | None


@dataclass(frozen=True, slots=True)
class Broken:
    """The process lives, but no longer speaks the protocol."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotForked:
    """There was no process."""

    reason: str


class TimedOut:
    """Time ran out."""


@dataclass(frozen=True, slots=True)
class TemplateDied:
    """The template was killed, and the environment with it; a suspect is taken to have done it."""

    is_suspect: bool


class Ended:
    """The node ended it."""


Event = Answer | Exited | Broken | NotForked | TimedOut | TemplateDied | Ended

TEMPLATE_DIED: Final = NotRun("the template process was killed while the function ran", retry_after_ms=1000)


class Environment:
    """One process. `start` it, then `invoke` as often as `is_usable`; `end` it in the end."""

    def __init__(
        self, spec: FunctionSpec, template: Template, log: FunctionLog, *, plain_numbers: bool = False
    ) -> None:
        self.id = secrets.token_hex(16)
        self.pid: int | None = None
        self.idle_since_s = 0.0
        self.on_idle_end: Callable[[Environment], None] | None = None
        """Called when it can not be used any more and nothing was awaited of it that would tell."""
        self.output = Output(log, self.id)
        self.template = template
        self._spec = spec
        self._plain = "1" if plain_numbers else "0"
        self._loop = asyncio.get_running_loop()
        self._channel: Channel | None = None
        self._sequence = 0
        self._awaited: asyncio.Future[Event] | None = None
        self._last: Event | None = None
        self._gone = asyncio.Event()

    @property
    def function(self) -> str:
        return self._spec.name

    @property
    def is_busy(self) -> bool:
        """Whether an answer is awaited."""
        return self._awaited is not None

    @property
    def is_usable(self) -> bool:
        """Whether an invocation can be sent: alive, idle, and nothing wrong with it."""
        return self._last is None and self._awaited is None

    async def start(self, request_id: str) -> FunctionFailed | NotRun | None:
        """Fork the process and load the function. Returns what went wrong, and then it has been ended.

        `request_id` is the invocation that it is started for.
        """
        started_s = time.monotonic()
        self.output.begin(request_id)
        try:
            self._fork()
        except OSError as error:
            self._gone.set()
            self.output.close()
            return NotRun(f"no process could be started: {error.strerror}", retry_after_ms=1000)
        described = setup(
            self._spec,
            environment_id=self.id,
            python_version=self.template.python_version,
            interpreter=self.template.interpreter,
        )
        event = await self._exchange(frames.INIT, msgspec.json.encode(described), b"", timeout_ms=INIT_TIMEOUT_MS)
        self.output.drain()
        if isinstance(event, Answer) and event.kind == frames.READY:
            return None
        duration_ms = _since_ms(started_s)
        result: InvocationResult
        if isinstance(event, Answer) and event.kind == frames.INIT_FAILED:
            result = errors.from_document(event.body, request_id=request_id, duration_ms=duration_ms)
        elif isinstance(event, TimedOut):
            result = errors.init_timed_out(request_id, INIT_TIMEOUT_MS, self._spec.handler, duration_ms=duration_ms)
            self.output.say(result.error_message)
        else:
            result = self._failure(event, request_id, duration_ms)
        await self.end()
        assert not isinstance(result, Returned)
        return result

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run the function on one event. Afterwards it is usable again, or ended."""
        assert self.is_usable
        request_id, timeout_ms = invocation.request_id, self._spec.timeout_ms
        self.output.begin(request_id)
        header = f"{request_id}\n{int(time.time() * 1000) + timeout_ms}\n{_trace_id(request_id)}\n{self._plain}"
        started_s = time.monotonic()
        event = await self._exchange(frames.INVOKE, header.encode(), invocation.event, timeout_ms=timeout_ms)
        duration_ms = _since_ms(started_s)
        self.output.drain()
        if isinstance(event, Answer):
            if event.kind == frames.RETURNED:
                return Returned(payload=event.body, duration_ms=duration_ms)
            if event.kind == frames.FAILED:
                return errors.from_document(event.body, request_id=request_id, duration_ms=duration_ms)
        result = self._failure(event, request_id, duration_ms)
        await self.end()
        return result

    async def end(self) -> None:
        """Kill the process and all that it started; returns when they are dead, at the latest after some seconds."""
        self._settle(Ended())
        if not self._gone.is_set():
            self.template.end(self)
            try:
                async with asyncio.timeout(_END_WITHIN_S):
                    await self._gone.wait()
            except TimeoutError:
                # It does not answer: stopped, or stuck. It goes, and everything below it.
                await self.template.kill()
                self._gone.set()
        self.close()

    def close(self) -> None:
        """Close what the node holds of it; the process has ended."""
        if self._channel is not None:
            self._channel.close()
        self.output.close()

    async def end_certainly(self) -> None:
        """End it, whatever cancels us meanwhile."""
        ending = asyncio.ensure_future(self.end())
        is_cancelled = False
        while not ending.done():
            try:
                await asyncio.shield(ending)
            except asyncio.CancelledError:
                is_cancelled = True
        if is_cancelled:
            raise asyncio.CancelledError

    def on_forked(self, pid: int) -> None:
        self.pid = pid

    def on_not_forked(self, reason: str) -> None:
        self._gone.set()
        self._settle(NotForked(reason))

    def on_exited(self, status: int | None) -> None:
        if self._channel is not None:
            # Its last answer may still lie in the socket.
            self._channel.drain()
        self._gone.set()
        self._settle(Exited(status))

    def on_template_died(self, *, is_suspect: bool) -> None:
        self._gone.set()
        self._settle(TemplateDied(is_suspect))

    def _fork(self) -> None:
        ours, theirs = socket.socketpair()
        with theirs:
            out, err = self.output.open()
            try:
                self._pass_on([theirs.fileno(), out, err])
            finally:
                os.close(out)
                os.close(err)
        self._channel = Channel(
            ours, body_bytes_max=_BODY_BYTES_MAX, on_answer=self._on_answer, on_broken=self._on_broken
        )

    def _pass_on(self, descriptors: list[int]) -> None:
        self.template.fork(self, descriptors=descriptors, memory_mb=self._spec.memory_mb)

    async def _exchange(self, kind: int, header: bytes, body: bytes, *, timeout_ms: int) -> Event:
        """Send a frame and wait for what comes of it. Cancelled, it ends the process first."""
        assert self._channel is not None
        if self._last is not None:
            return self._last
        self._sequence += 1
        awaited: asyncio.Future[Event] = self._loop.create_future()
        self._awaited = awaited
        self._end_at(time.monotonic() + timeout_ms / 1000)
        self._channel.send(kind, self._sequence & 0xFFFFFFFF, header, body)
        try:
            return await awaited
        except asyncio.CancelledError:
            await self.end_certainly()
            raise
        finally:
            self._timer.cancel()

    def _end_at(self, deadline_s: float) -> None:
        """Time out at the deadline, and never before: a loop may round a delay to the millisecond below."""
        left_s = deadline_s - time.monotonic()
        self._timer = self._loop.call_later(max(left_s, 0), self._end_at, deadline_s)
        if left_s <= 0:
            self._timer.cancel()
            self._settle(TimedOut())

    def _on_answer(self, answer: Answer) -> None:
        if self._awaited is None or answer.sequence != self._sequence & 0xFFFFFFFF:
            self._settle(Broken("it answered what was not asked"))
            self.template.end(self)
            return
        awaited, self._awaited = self._awaited, None
        if not awaited.done():
            awaited.set_result(answer)

    def _on_broken(self, reason: str) -> None:
        if self._awaited is None:
            self._settle(Broken(reason))
            self.template.end(self)
            return
        # Most often the process is ending, and how it ended is worth more than that its socket closed.
        self._loop.call_later(_EXIT_REPORTED_WITHIN_S, self._give_up_on_exit, Broken(reason))

    def _give_up_on_exit(self, broken: Broken) -> None:
        if self.template.is_alive:
            self._settle(broken)

    def _settle(self, event: Event) -> None:
        """Take what ends the environment's usefulness; the first such event is the one that counts."""
        if self._last is None:
            self._last = event
        awaited, self._awaited = self._awaited, None
        if awaited is None:
            if self.on_idle_end is not None:
                self.on_idle_end(self)
        elif not awaited.done():
            awaited.set_result(event)

    def _failure(self, event: Event, request_id: str, duration_ms: int) -> FunctionFailed | NotRun:
        match event:
            case TimedOut():
                failed = errors.timed_out(request_id, self._spec.timeout_ms, duration_ms=duration_ms)
            case Exited(status):
                failed = errors.exited(request_id, status, duration_ms=duration_ms)
            case Broken(reason):
                failed = errors.unreadable(request_id, reason, duration_ms=duration_ms)
            case Answer():
                failed = errors.unreadable(request_id, "it answered out of turn", duration_ms=duration_ms)
            case NotForked(reason):
                return NotRun(f"no process could be started: {reason}", retry_after_ms=1000)
            case TemplateDied(is_suspect) if is_suspect:
                failed = errors.exited(request_id, signal.SIGKILL, duration_ms=duration_ms)
            case TemplateDied():
                return TEMPLATE_DIED
            case Ended():
                return NotRun("the node ended the invocation")
            case _:
                assert_never(event)
        self.output.say(failed.error_message)
        return failed


class Preloading(Environment):
    """A template that loads its one function before it forks: the same first exchange, in the template itself.

    After a failed `start` the template is closed, after a good one only this conversation is.
    """

    async def start(self, request_id: str) -> FunctionFailed | NotRun | None:
        result = await super().start(request_id)
        if result is None:
            self.template.forget(self)
            self.close()
        return result

    async def end(self) -> None:
        self._settle(Ended())
        await self.template.close()
        self.close()

    def on_template_died(self, *, is_suspect: bool) -> None:
        # Here the template is the process that runs the function's code, and how it ended is what counts.
        self._settle(Exited(self.template.wait_status))
        super().on_template_died(is_suspect=is_suspect)

    def _pass_on(self, descriptors: list[int]) -> None:
        self.template.preload(self, descriptors=descriptors)


def _since_ms(started_s: float) -> int:
    return int((time.monotonic() - started_s) * 1000)


def _trace_id(request_id: str) -> str:
    digits = request_id.replace("-", "").ljust(32, "0")
    return f"Root=1-{digits[:8]}-{digits[8:32]};Parent={digits[:16]};Sampled=0"
