"""The environments of one function: reused, the most recently used first, as many as are in flight."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from penstock.api import FunctionFailed, FunctionSpec, Invocation, InvocationResult, NotRun, PenstockError
from penstock.functions.environment import Environment
from penstock.functions.interpreters import find_interpreter
from penstock.functions.logs import FunctionLog
from penstock.functions.template import Template, TemplateFailed

_TAILS_MAX: Final = 32

TemplateFor = Callable[[FunctionSpec, FunctionLog, str], Awaitable[Template | FunctionFailed | NotRun]]
"""Gives the template for a function, started and loaded; raises TemplateFailed where there can be none."""


class PythonExecutor:
    """Runs one Python function. `FunctionHost.executor` makes it; it keeps the promises of `penstock.api.Executor`.

    An invocation beyond `environments_max` waits for a free environment.
    """

    def __init__(
        self,
        spec: FunctionSpec,
        *,
        environments_max: int,
        template_for: TemplateFor,
        log: FunctionLog,
        plain_numbers: bool,
    ) -> None:
        self.spec = spec
        self._template_for = template_for
        self._log = log
        self._plain_numbers = plain_numbers
        self._slots = asyncio.Semaphore(environments_max)
        self._environments: set[Environment] = set()
        self._idle: list[Environment] = []
        self._tails: OrderedDict[str, bytes] = OrderedDict()
        self._is_closed = False

    async def open(self) -> None:
        """Start the interpreter's template. Raises PenstockError when it can not be run."""
        try:
            interpreter = find_interpreter(self.spec)
        except PenstockError as error:
            raise PenstockError(f"function '{self.spec.name}': {error}") from None
        if not self.spec.code.is_dir():
            raise PenstockError(f"function '{self.spec.name}': CodeUri {self.spec.code} is not a folder")
        if self.spec.preload:
            # Its template would run the function's code.
            return
        try:
            await self._template_for(self.spec, self._log, "")
        except TemplateFailed as error:
            raise PenstockError(f"function '{self.spec.name}': its interpreter {interpreter} {error}") from None

    async def close(self) -> None:
        """End every environment; an invocation that is running returns NotRun."""
        self._is_closed = True
        await asyncio.gather(*(environment.end_certainly() for environment in list(self._environments)))
        self._environments.clear()
        self._idle.clear()

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run the function on one event. Cancelled, its process is dead when the cancelled call returns."""
        async with self._slots:
            environment = self._take_idle()
            if environment is None:
                started = await self._start(invocation.request_id)
                if not isinstance(started, Environment):
                    return started
                environment = started
            try:
                if invocation.before is not None:
                    await invocation.before()
                return await environment.invoke(invocation)
            finally:
                if environment.output.tail:
                    self._keep_tail(invocation.request_id, environment)
                await self._give_back(environment)

    async def check(self) -> FunctionFailed | NotRun | None:
        """Load the function in an environment without invoking it; returns what went wrong."""
        async with self._slots:
            started = await self._start("")
            if not isinstance(started, Environment):
                return started
            await self._give_back(started)
            return None

    def environments_count(self) -> int:
        return len(self._environments)

    def pids(self) -> list[int]:
        """List the processes of the environments."""
        return [environment.pid for environment in self._environments if environment.pid is not None]

    def log_tail(self, request_id: str) -> bytes:
        """Give the last 4 KB that a recent invocation logged; empty where it logged nothing, or is long gone."""
        return self._tails.get(request_id, b"")

    async def retire(self, *, idle_for_s: float) -> None:
        """End the environments that have been idle for so long."""
        idle_since_max_s = time.monotonic() - idle_for_s
        retired = [environment for environment in self._idle if environment.idle_since_s <= idle_since_max_s]
        self._idle = [environment for environment in self._idle if environment not in retired]
        for environment in retired:
            await environment.end_certainly()
            self._environments.discard(environment)

    async def _start(self, request_id: str) -> Environment | FunctionFailed | NotRun:
        if self._is_closed:
            return NotRun("the node is ending its environments")
        try:
            template = await self._template_for(self.spec, self._log, request_id)
        except (TemplateFailed, PenstockError) as error:
            return NotRun(f"function '{self.spec.name}': its interpreter is not ready: {error}", retry_after_ms=1000)
        if not isinstance(template, Template):
            return template
        environment = Environment(self.spec, template, self._log, plain_numbers=self._plain_numbers)
        environment.on_idle_end = self._on_idle_end
        self._environments.add(environment)
        failed: FunctionFailed | NotRun | None = NotRun("the node ended the invocation")
        try:
            failed = await environment.start(request_id)
        finally:
            if failed is not None:
                self._environments.discard(environment)
                if environment.output.tail:
                    self._keep_tail(request_id, environment)
        return environment if failed is None else failed

    def _take_idle(self) -> Environment | None:
        while self._idle:
            environment = self._idle.pop()
            if environment.is_usable:
                return environment
        return None

    def _on_idle_end(self, environment: Environment) -> None:
        """Have done with an environment that died while it was idle."""
        if environment in self._idle:
            self._idle.remove(environment)
            self._environments.discard(environment)
            environment.close()

    async def _give_back(self, environment: Environment) -> None:
        if environment.is_usable and not self._is_closed:
            environment.idle_since_s = time.monotonic()
            self._idle.append(environment)
            return
        await environment.end_certainly()
        self._environments.discard(environment)

    def _keep_tail(self, request_id: str, environment: Environment) -> None:
        self._tails[request_id] = bytes(environment.output.tail)
        if len(self._tails) > _TAILS_MAX:
            self._tails.popitem(last=False)
