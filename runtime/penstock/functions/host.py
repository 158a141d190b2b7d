"""The functions of one node: templates by interpreter, logs by function, and the end of every process."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Final, Self

from penstock.api import FunctionFailed, FunctionSpec, NotRun
from penstock.functions.environment import Preloading
from penstock.functions.interpreters import find_interpreter
from penstock.functions.logs import FILE_BYTES_MAX, FILES_MAX, FunctionLog, Logs, standard_output
from penstock.functions.pool import PythonExecutor
from penstock.functions.template import Template

IDLE_TIMEOUT_S: Final = 300.0

_TemplateKey = tuple[Path, str]


class FunctionHost:
    """Everything that runs functions in one node, or for one `invoke --local`. Leaving it ends every process.

    `logs` says where functions' output goes: `data_dir/logs/<function>.log`, the node's standard output, or both.
    An environment that was idle for `idle_timeout_s` is ended.

        async with FunctionHost(data_dir=folder, logs="file") as host:
            executor = host.executor(spec, environments_max=4)
            await executor.open()
            result = await executor.invoke(Invocation(request_id=str(uuid4()), event=b"{}"))
    """

    def __init__(
        self,
        *,
        data_dir: Path,
        logs: Logs = "file",
        idle_timeout_s: float = IDLE_TIMEOUT_S,
        log_file_bytes_max: int = FILE_BYTES_MAX,
        log_files_max: int = FILES_MAX,
        stdout: BinaryIO | None = None,
    ) -> None:
        self._log_folder = data_dir / "logs" if logs in {"file", "both"} else None
        self._stdout = (stdout or standard_output()) if logs in {"stdout", "both"} else None
        self._log_file_bytes_max = log_file_bytes_max
        self._log_files_max = log_files_max
        self._idle_timeout_s = idle_timeout_s
        self._logs: dict[str, FunctionLog] = {}
        self._executors: list[PythonExecutor] = []
        self._templates: dict[_TemplateKey, Template] = {}
        self._locks: dict[_TemplateKey, asyncio.Lock] = {}
        self._isolated: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def __aenter__(self) -> Self:
        self._spawn(self._retire_idle())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    def executor(self, spec: FunctionSpec, *, environments_max: int, plain_numbers: bool = False) -> PythonExecutor:
        """Give an executor for a function; it starts nothing before `open`.

        `plain_numbers` promises of every event that no number in it needs more than 64 bits, which holds for what the
        engine encodes itself and not for a user's payload. Then orjson, where the function has it, reads it unchecked.
        """
        executor = PythonExecutor(
            spec,
            environments_max=environments_max,
            template_for=self._template_for,
            log=self._log(spec.name),
            plain_numbers=plain_numbers,
        )
        self._executors.append(executor)
        return executor

    async def release(self, executor: PythonExecutor) -> None:
        """Close an executor before the host is closed, and forget it."""
        self._executors.remove(executor)
        await executor.close()

    async def close(self) -> None:
        """End every environment and template, and whatever they started."""
        self._is_closed = True
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(executor.close() for executor in self._executors))
        await asyncio.gather(*(template.close() for template in self._templates.values()))
        self._templates.clear()
        for log in self._logs.values():
            log.close()

    def template_pids(self) -> list[int]:
        """List the template processes that are alive."""
        return [template.pid for template in self._templates.values() if template.is_alive]

    async def _template_for(
        self, spec: FunctionSpec, log: FunctionLog, request_id: str
    ) -> Template | FunctionFailed | NotRun:
        interpreter = find_interpreter(spec)
        own = spec.preload or spec.name in self._isolated
        key = (interpreter, spec.name if own else "")
        async with self._locks.setdefault(key, asyncio.Lock()):
            known = self._templates.get(key)
            if known is not None and known.is_alive:
                return known
            if self._is_closed:
                return NotRun("the node is ending its environments")
            if known is not None:
                await known.close()
            template = Template(interpreter, on_died=self._isolate)
            await template.start()
            self._templates[key] = template
            if spec.preload:
                failed = await Preloading(spec, template, log).start(request_id)
                if failed is not None:
                    return failed
            return template

    def _isolate(self, running: set[str]) -> None:
        if len(running) > 1:
            self._isolated |= running

    def _log(self, function: str) -> FunctionLog:
        log = self._logs.get(function)
        if log is None:
            log = self._logs[function] = FunctionLog(
                function,
                folder=self._log_folder,
                stdout=self._stdout,
                file_bytes_max=self._log_file_bytes_max,
                files_max=self._log_files_max,
            )
        return log

    async def _retire_idle(self) -> None:
        while True:
            await asyncio.sleep(self._idle_timeout_s / 4)
            for executor in self._executors:
                await executor.retire(idle_for_s=self._idle_timeout_s)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
