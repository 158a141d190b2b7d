"""A node: its functions, its mappings, and how they begin and end together."""

import asyncio
import gc
import importlib.metadata
import os
import time
from collections.abc import Coroutine
from typing import Any

from penstock.api import Executor
from penstock.configuration import Project
from penstock.functions.host import FunctionHost
from penstock.functions.logs import Logs
from penstock.plugins import Registry
from penstock.shell.budget import Budget
from penstock.shell.composition import Composition
from penstock.shell.data_dir import DataDir
from penstock.shell.environments import Environments
from penstock.shell.idle_watch import IdleWatch
from penstock.shell.idleness import DONE, Idleness, Verdict
from penstock.shell.inspection import state_of
from penstock.shell.logs import Log
from penstock.shell.machine_driver import clock_ms
from penstock.shell.mapping_control import DRAIN_SLACK_S, MappingControl
from penstock.shell.mappings import Mappings
from penstock.shell.message_runs import MessageRuns
from penstock.shell.overrides import Overrides
from penstock.shell.services import Services
from penstock.shell.status import FunctionStatus, NodeStatus
from penstock.shell.wall_clock import iso
from penstock.shell.window_states import STORE_NAME, WindowStates

END_S = 10.0
ABORTED = 130


class Node:
    """Runs a project until it is told to stop.

    ```python
    node = Node(project, registry, data_dir=data_dir, log=log, log_level="info")
    verdict = await node.run()
    ```
    """

    def __init__(
        self,
        project: Project,
        registry: Registry,
        *,
        data_dir: DataDir,
        log: Log,
        log_level: str,
        function_logs: Logs = "file",
        drain_timeout_s: float | None = None,
    ) -> None:
        """Take the configuration, an entered data directory, and the log. Belongs to the running loop."""
        self.endpoint: str | None = None
        """Where the API listens, for `status`; None without one."""
        self._project = project
        self._data_dir = data_dir
        self._log = log
        self._function_logs: Logs = function_logs
        self._drain_timeout_s = project.settings.drain_timeout_s if drain_timeout_s is None else drain_timeout_s
        self._loop = asyncio.get_running_loop()
        self._began_s = self._loop.time()
        self._environments = Environments(node_max=project.settings.concurrency_max)
        self._window_states = WindowStates(data_dir.path / STORE_NAME)
        self._message_runs = MessageRuns(data_dir.path / STORE_NAME)
        services = Services(
            environments=self._environments,
            states=self._window_states,
            runs=self._message_runs,
            budget=Budget(bytes_max=project.settings.buffer_bytes_max // 2),
            log=log,
            log_level=log_level,
        )
        self._composition = Composition(
            project, registry, node_id=data_dir.node_id, services=services, now_ms=self._now_ms
        )
        self._executors: dict[str, Executor] = {}
        self.mappings = Mappings(
            project,
            overrides=Overrides(data_dir.path),
            node_id=data_dir.node_id,
            drain_timeout_s=self._drain_timeout_s,
            now_ms=self._now_ms,
        )
        self._state = "starting"
        self._stopping = asyncio.Event()
        self._aborting = asyncio.Event()

    def stop(self, why: str) -> None:
        """Begin to drain; the second time, end at once."""
        if not self._stopping.is_set():
            self._log.info("draining", reason=why, drain_timeout_s=self._drain_timeout_s)
            self._stopping.set()
        elif not self._aborting.is_set():
            self._log.warning("ending at once", reason=why)
            self._aborting.set()

    @property
    def is_ready(self) -> bool:
        """Every enabled mapping reads, or shows what its problem is."""
        return self._state == "running" and all(
            mapping.health.trouble is not None or mapping.health.failure or state_of(mapping) in {"Enabled", "Disabled"}
            for mapping in (control.mapping for control in self.mappings)
        )

    def status(self) -> NodeStatus:
        """Show everything as it is now."""
        uptime_s = self._loop.time() - self._began_s
        return NodeStatus(
            project=self._project.name,
            version=importlib.metadata.version("penstock"),
            pid=os.getpid(),
            state=self._state,
            started=iso(time.time() - uptime_s),
            uptime_s=round(uptime_s, 3),
            endpoint=self.endpoint,
            data_dir=str(self._data_dir.path),
            concurrency_in_use=self._environments.concurrency.held,
            concurrency_max=self._environments.concurrency.node_max,
            functions=[self._function_status(name) for name in self._executors],
            mappings=self.mappings.statuses(),
        )

    async def run(self, idleness: Idleness | None = None) -> Verdict:
        """Run until `stop`, or until `idleness` says that it is over. Raises PenstockError for what can never work."""
        async with FunctionHost(data_dir=self._data_dir.path, logs=self._function_logs) as host:
            try:
                await self._open_executors(host)
                return await self._run_mappings(idleness)
            finally:
                await asyncio.gather(*(executor.close() for executor in self._executors.values()))
                await asyncio.gather(self._window_states.close(), self._message_runs.close())
                self._state = "stopped"

    async def _open_executors(self, host: FunctionHost) -> None:
        for name, function in self._project.functions.items():
            executor = self._composition.executor(function, host)
            await executor.open()
            self._executors[name] = executor
            self._environments.add_function(name, executor, function.concurrency_max)

    async def _run_mappings(self, idleness: Idleness | None) -> Verdict:
        self.mappings.make(self._composition.mapping)
        # What was made at the start lives as long as the node; the collector need not look at it again.
        gc.collect()
        gc.freeze()
        tasks = {self._loop.create_task(control.run(), name=control.config.name): control for control in self.mappings}
        self._state = "running"
        try:
            verdict = await self._until_over(idleness)
        finally:
            self._state = "draining"
            await self._drain(tasks)
        if self._aborting.is_set():
            return Verdict(ABORTED, ("ended before everything that ran was finished",))
        return verdict

    async def _until_over(self, idleness: Idleness | None) -> Verdict:
        stopping = self._loop.create_task(self._wait_for(self._stopping))
        watching: set[asyncio.Task[Verdict]] = set()
        if idleness is not None:
            watching = {self._loop.create_task(IdleWatch(self.mappings.active, idleness).verdict())}
        try:
            await asyncio.wait({stopping, *watching}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (stopping, *watching):
                task.cancel()
        finished = [task for task in watching if task.done() and not task.cancelled()]
        return finished[0].result() if finished else Verdict(DONE)

    async def _drain(self, tasks: dict[asyncio.Task[None], MappingControl]) -> None:
        """Let what runs end and be settled, no longer than the drain's timeout (D40); then end what is left."""
        self.mappings.is_ending = True
        for control in tasks.values():
            control.end(round(self._drain_timeout_s * 1000))
        left = {task for task in tasks if not task.done()}
        if left:
            left = await self._wait_unless_aborted(left)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(left, timeout=END_S)

    async def _wait_unless_aborted(self, tasks: set[asyncio.Task[None]]) -> set[asyncio.Task[None]]:
        aborting = self._loop.create_task(self._wait_for(self._aborting))
        everything = self._loop.create_task(_all(tasks))
        timeout_s = self._drain_timeout_s + DRAIN_SLACK_S
        await asyncio.wait({aborting, everything}, timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED)
        aborting.cancel()
        everything.cancel()
        return {task for task in tasks if not task.done()}

    def _function_status(self, name: str) -> FunctionStatus:
        concurrency = self._environments.concurrency
        most = self._project.functions[name].concurrency_max
        return FunctionStatus(
            name=name,
            environments=self._executors[name].environments_count(),
            in_use=concurrency.held_by(name),
            environments_max=concurrency.node_max if most is None else min(most, concurrency.node_max),
        )

    def _now_ms(self) -> int:
        return clock_ms(self._loop)

    @staticmethod
    async def _wait_for(event: asyncio.Event) -> None:
        await event.wait()


async def _all(tasks: set[asyncio.Task[None]]) -> None:
    await asyncio.wait(tasks)


def run_in_loop(work: Coroutine[Any, Any, Any]) -> Any:
    """Run a coroutine in a loop of its own: uvloop's where it is installed, asyncio's otherwise."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        return runner.run(work)


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415 - it may not be there
    except ImportError:
        return None
    return uvloop.new_event_loop
