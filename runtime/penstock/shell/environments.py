"""Bridges `Concurrency` and the executors to the machines: grants go out as facts, invocations run as tasks."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol, cast

from penstock.api import Executor, Invocation, InvocationResult, Message, NotRun, Record
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch, RecordBatch
from penstock.core.concurrency import Concurrency
from penstock.core.events.layout import Layout, StreamLayout
from penstock.core.events.window import splice

PREPARE_AFTER_S = 0.001
"""By then the event of the invocation that has just begun is on its way; encoding the next one would hold it up."""

ROOM_TOLD_MAX = 16
"""However many environments are free, a mapping is told of so many: enough for one receive."""

ENDED_BY_NODE = NotRun("the invocation was ended by the node")


@dataclass(slots=True)
class _Watcher:
    """A queue machine that wants to know how many environments would be free."""

    function: str
    post: Callable[[facts.HeadroomChanged], None]
    free: int


@dataclass(slots=True)
class _Watched:
    watchers: dict[int, _Watcher] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Running:
    task: asyncio.Task[InvocationResult]
    grant: int


class _Client(Protocol):
    """Whoever asks for environments."""

    function: str

    def on_granted(self, request_id: int) -> None: ...


class _OneRun:
    """Somebody who runs a function once."""

    def __init__(self, function: str) -> None:
        self.function = function
        self.granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def on_granted(self, _request_id: int) -> None:
        if not self.granted.done():
            self.granted.set_result(None)


class Environments:
    """One per node. Says who may run, and runs."""

    def __init__(self, *, node_max: int) -> None:
        """Take how many environments the node may have at once."""
        self.concurrency = Concurrency(node_max=node_max)
        self._executors: dict[str, Executor] = {}
        self._clients: dict[int, _Client] = {}
        self._watched: dict[str, _Watched] = {}
        self._node_room = room_told(node_max)
        self._last_number = 0

    def add_function(self, name: str, executor: Executor, environments_max: int | None) -> None:
        """Make a function known, with what runs it and how many environments it may have."""
        self._executors[name] = executor
        self.concurrency.cap(name, environments_max)

    def join(self, mapping: str, function: str) -> None:
        """Make a mapping known."""
        self.concurrency.join(mapping, function)

    def client(
        self,
        mapping: str,
        function: str,
        layout: Layout[Any],
        *,
        post: Callable[[Any], None],
        on_failure: Callable[[BaseException], None],
    ) -> "MachineEnvironments":
        """Give one machine its own view: its requests, its invocations."""
        self._last_number += 1
        client = MachineEnvironments(
            self,
            self._last_number,
            mapping=mapping,
            function=function,
            executor=self._executors[function],
            layout=layout,
            post=post,
            on_failure=on_failure,
        )
        self._clients[self._last_number] = client
        return client

    async def run_once(self, mapping: str, function: str, invocation: Invocation) -> InvocationResult:
        """Run a function on one event for somebody who is no machine, when its turn has come.

        `mapping` is who asks, known by `join`. Cancelling ends the wait, or the invocation.
        """
        self._last_number += 1
        requester = (self._last_number, 0)
        client = self._clients[requester[0]] = _OneRun(function)
        try:
            self.request(requester, mapping, function)
            await client.granted
            return await self._executors[function].invoke(invocation)
        finally:
            self.give_back(requester, function)
            self.forget(requester[0])

    def watch(self, number: int, function: str, post: Callable[[facts.HeadroomChanged], None]) -> None:
        """Tell a machine, now and as that changes, how many environments would be free (D20)."""
        watcher = _Watcher(function, post, free=room_told(self.concurrency.room(function)))
        self._watched.setdefault(function, _Watched()).watchers[number] = watcher
        post(facts.HeadroomChanged(watcher.free))

    def unwatch(self, number: int, function: str) -> None:
        """Tell it no more."""
        if function in self._watched:
            self._watched[function].watchers.pop(number, None)

    def forget(self, number: int) -> None:
        """Drop a machine that has ended and has nothing any more."""
        self._clients.pop(number, None)

    def request(self, requester: tuple[int, int], mapping: str, function: str) -> None:
        """Ask for an environment under a machine's number and its command's id."""
        self._tell(self.concurrency.request(requester, mapping), function)

    def give_back(self, requester: tuple[int, int], function: str) -> None:
        """Give back what was requested, granted or not."""
        self._tell(self.concurrency.give_back(requester), function)

    def _tell(self, granted: list[Any], function: str) -> None:
        # Who has something waiting must not believe that what it is granted is still free.
        if self._watched:
            self._tell_watchers({function, *(self._clients[number].function for number, _ in granted)})
        for number, request_id in granted:
            self._clients[number].on_granted(request_id)

    def _tell_watchers(self, functions: set[str]) -> None:
        node_room = room_told(self.concurrency.node_max - self.concurrency.held)
        if node_room != self._node_room:
            self._node_room = node_room
            functions = set(self._watched)
        for function in functions:
            watched = self._watched.get(function)
            if watched is None:
                continue
            free = room_told(self.concurrency.room(function))
            for watcher in watched.watchers.values():
                if watcher.free != free:
                    watcher.free = free
                    watcher.post(facts.HeadroomChanged(free))


def room_told(free: int) -> int:
    """Round what is free down to a power of two, so that few changes of it are worth telling."""
    return min(1 << (free.bit_length() - 1), ROOM_TOLD_MAX) if free > 0 else 0


class MachineEnvironments:
    """What one machine asks for, holds and runs."""

    def __init__(
        self,
        environments: Environments,
        number: int,
        *,
        mapping: str,
        function: str,
        executor: Executor,
        layout: Layout[Any],
        post: Callable[[Any], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Take the node's environments and where to report to. Made by `Environments.client`."""
        self.number = number
        self.function = function
        self._environments = environments
        self._mapping = mapping
        self._executor = executor
        self._layout = layout
        self._post = post
        self._on_failure = on_failure
        self._loop = asyncio.get_running_loop()
        self._requested: set[int] = set()
        self._running: dict[int, _Running] = {}
        self._prepared: tuple[RecordBatch, bytes] | None = None
        self._to_prepare: RecordBatch | None = None
        self._preparing: asyncio.TimerHandle | None = None
        self._is_closed = False

    def request(self, request_id: int) -> None:
        """Carry out `RequestEnvironment`."""
        self._requested.add(request_id)
        self._environments.request((self.number, request_id), self._mapping, self.function)

    def give_back(self, request_id: int) -> None:
        """Carry out `ReturnEnvironment`."""
        self._requested.discard(request_id)
        self._environments.give_back((self.number, request_id), self.function)

    def on_granted(self, request_id: int) -> None:
        """Hear of a grant."""
        self._post(facts.EnvironmentGranted(request_id))

    def prepare(self, batch: RecordBatch) -> None:
        """Encode a batch ahead of its invocation, soon; one is kept."""
        self._forget_preparing()
        self._to_prepare = batch
        self._preparing = self._loop.call_later(PREPARE_AFTER_S, self._prepare)

    def invoke(self, command: do.Invoke, *, before: Callable[[], Awaitable[None]] | None = None) -> None:
        """Run the function in a task; the fact `Responded` follows, whatever happens. `before` is awaited first."""
        event = self._event(command.batch)
        if command.window is not None:
            event = splice(event, cast("StreamLayout", self._layout).window_members(command.window))
        task = self._loop.create_task(self._executor.invoke(Invocation(command.request_id, event, before)))
        self._running[command.id] = _Running(task, command.grant)
        task.add_done_callback(partial(self._on_done, command))

    def cancel(self, invocation_id: int) -> bool:
        """End an invocation; False when there is none of this id."""
        running = self._running.get(invocation_id)
        return running is not None and running.task.cancel()

    async def close(self) -> None:
        """End what runs and give everything back; nothing is told to the machine any more."""
        self._is_closed = True
        self._forget_preparing()
        # An environment is free when its process is dead, and not before.
        for request_id in self._requested - {running.grant for running in self._running.values()}:
            self.give_back(request_id)
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
            # The callbacks of a task come one turn after its end.
            await asyncio.sleep(0)
        self._environments.forget(self.number)

    def _prepare(self) -> None:
        batch = self._to_prepare
        self._to_prepare = self._preparing = None
        if batch is not None:
            self._prepared = (batch, self._layout.encode(batch.records))

    def _forget_preparing(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            self._to_prepare = self._preparing = None

    def _event(self, batch: RecordBatch | MessageBatch) -> bytes:
        prepared = self._prepared
        records: tuple[Record, ...] | tuple[Message, ...]
        if isinstance(batch, MessageBatch):
            records = batch.messages
        else:
            records = batch.records
            # Usually the very same tuple; equality of equal parts compares identities and is cheap.
            if prepared is not None and prepared[0].records == records:
                self._prepared = None
                return prepared[1]
            if self._to_prepare is not None and self._to_prepare.records == records:
                self._forget_preparing()
        return self._layout.encode(records)

    def _on_done(self, command: do.Invoke, task: asyncio.Task[InvocationResult]) -> None:
        del self._running[command.id]
        self.give_back(command.grant)
        if task.cancelled():
            result: InvocationResult = ENDED_BY_NODE
        else:
            error = task.exception()
            if error is not None:
                self._on_failure(error)
                return
            result = task.result()
        if not self._is_closed:
            self._post(facts.Responded(command.id, result))
