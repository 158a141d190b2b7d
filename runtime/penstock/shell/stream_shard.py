"""One shard of a stream mapping: carries out what its machine says, against one opened source."""

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, assert_never

from penstock.api import (
    AssignedShard,
    CommitRefused,
    HoldsShards,
    NotRun,
    PenstockError,
    Record,
    SourceError,
    StreamSource,
)
from penstock.configuration import MappingConfig
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.events.layout import StreamLayout
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.settings import StreamSettings
from penstock.core.stream_machine import StreamMachine
from penstock.core.views import StreamView
from penstock.shell.fetching import Fetching
from penstock.shell.machine_driver import MachineDriver
from penstock.shell.reporting import Reporting
from penstock.shell.services import Services
from penstock.shell.window_states import StateUnknown

NOT_SURELY_OURS = NotRun("the shard may be another node's by now")
NO_STORE = "this node keeps no window states"


class StreamShard:
    """The machine of one shard, from its assignment to its release."""

    def __init__(
        self,
        assigned: AssignedShard,
        *,
        config: MappingConfig,
        settings: StreamSettings,
        layout: StreamLayout,
        record_filter: RecordFilter[Record] | None,
        source: StreamSource,
        fetching: Fetching,
        services: Services,
        reporting: Reporting,
        on_released: Callable[["StreamShard"], None],
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Take the shard as it was assigned, and who hears of its end. Nothing happens before `begin`."""
        self.name = assigned.shard
        self.is_stopping = False
        self.is_lost = False
        self.is_closing = False
        self._source = source
        self._holder = source if isinstance(source, HoldsShards) else None
        self._fetching = fetching
        self._reporting = reporting
        self._budget = services.budget
        self._on_released = on_released
        self._on_failure = on_failure
        self._tasks: set[asyncio.Task[Any]] = set()
        self._committing: asyncio.Task[None] | None = None
        self._commit_next: do.Commit | None = None
        self._machine = StreamMachine(
            assigned,
            settings,
            layout,
            jitter=services.jitter,
            request_ids=services.request_ids,
            buffer_bytes_max=services.budget.join(self, self.post),
            record_filter=record_filter,
        )
        self._driver = MachineDriver(
            self._machine, perform=self._perform, on_failure=on_failure, clock_fact=facts.ClockChanged
        )
        self._environments = services.environments.client(
            config.name, config.function.spec.name, layout, post=self.post, on_failure=on_failure
        )
        self._deliveries = services.deliveries.client(config.name, self.name, post=self.post, log=reporting.log)
        self._mapping_uuid = config.uuid
        self._states = services.states

    def begin(self) -> None:
        """Let the machine start."""
        self._driver.wake()

    def post(self, fact: facts.StreamFact) -> None:
        """Tell the machine what happened."""
        self._driver.post(fact)

    def revoke(self, grace_ms: int, reason: str) -> None:
        """Let what runs end within the grace; read nothing more from now on (D10, D40)."""
        self.is_stopping = True
        self._fetching.forget(self.name)
        self.post(facts.Revoked(self._driver.now_ms() + grace_ms, reason))

    def lose(self) -> None:
        """The shard is another node's already."""
        self.is_stopping = self.is_lost = True
        self._fetching.forget(self.name)
        self.post(facts.Lost())

    def view(self) -> StreamView:
        """Show the machine."""
        return self._machine.view()

    async def close(self) -> None:
        """End what runs, commit nothing more. Called once, after the release or in its place."""
        self._driver.stop()
        self._budget.leave(self)
        self._fetching.forget(self.name)
        self._commit_next = None
        tasks = set(self._tasks)
        for task in tasks:
            task.cancel()
        await self._environments.close()
        await self._deliveries.close()
        if tasks:
            await asyncio.wait(tasks)

    def _perform(self, command: do.StreamCommand) -> None:  # noqa: C901, PLR0912 - one arm per command
        match command:
            case do.Announce():
                self._reporting.report(command.report, self.name)
            case do.Fetch():
                self._fetching.want(self.name, command, self.post)
            case do.RequestEnvironment():
                self._environments.request(command.id)
            case do.Invoke():
                self._invoke(command)
            case do.Commit():
                self._commit(command)
            case do.Prepare():
                self._environments.prepare(command.batch)
            case do.ReturnEnvironment():
                self._environments.give_back(command.id)
            case do.Cancel():
                _ = self._environments.cancel(command.id) or self._deliveries.cancel(command.id)
            case do.Deliver():
                self._deliveries.deliver(command)
            case do.SaveState():
                task = self._start(self._save(command))
                task.add_done_callback(partial(self._on_state, command.id))
            case do.LoadState():
                task = self._start(self._load(command))
                task.add_done_callback(partial(self._on_state, command.id))
            case do.ForgetState():
                if self._states is not None:
                    self._states.forget(command.version)
            case do.Resolve():
                task = self._start(self._source.resolve(self.name, command.start))
                task.add_done_callback(partial(self._on_resolved, command.id))
            case do.Release():
                self._on_released(self)
            case _:
                assert_never(command)

    def _invoke(self, command: do.Invoke) -> None:
        if self._holder is None or self._holder.holds(self.name):
            self._environments.invoke(command)
            return
        # A node that stood still hears of a loss only after it went on: until then a new owner may run the shard (D10).
        self._environments.give_back(command.grant)
        self.post(facts.Responded(command.id, NOT_SURELY_OURS))

    def _start(self, call: Any) -> asyncio.Task[Any]:
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(call)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _on_resolved(self, command_id: int, task: asyncio.Task[int]) -> None:
        if task.cancelled():
            return
        error = task.exception()
        if error is None:
            self._reporting.on_source(None)
            self.post(facts.Resolved(command_id, task.result()))
        elif isinstance(error, SourceError):
            self._reporting.on_source(error, "find the starting position")
            self.post(facts.SourceFailed(command_id, str(error)))
        else:
            self._on_failure(error)

    async def _save(self, command: do.SaveState) -> facts.StreamFact:
        if self._states is None:
            return facts.StoreFailed(command.id, NO_STORE)
        store = await self._states.save(self._mapping_uuid, self.name, command.version, command.state)
        return facts.StateSaved(command.id, store)

    async def _load(self, command: do.LoadState) -> facts.StreamFact:
        if self._states is None:
            return facts.StateMissing(command.id, NO_STORE)
        try:
            return facts.StateLoaded(command.id, await self._states.load(command.store, command.version))
        except StateUnknown as error:
            return facts.StateMissing(command.id, str(error))

    def _on_state(self, command_id: int, task: asyncio.Task[facts.StreamFact]) -> None:
        if task.cancelled():
            return
        match task.exception():
            case None:
                self.post(task.result())
            case PenstockError() as error:
                self.post(facts.StoreFailed(command_id, str(error)))
            case error:
                self._on_failure(error)

    def _commit(self, command: do.Commit) -> None:
        if self._committing is not None:
            # The machine has waited long enough for the one before; the source has one at a time.
            self._commit_next = command
            self._committing.cancel()
            return
        self._committing = self._start(self._source.commit(self.name, command.checkpoint))
        self._committing.add_done_callback(partial(self._on_committed, command.id))

    def _on_committed(self, command_id: int, task: asyncio.Task[None]) -> None:
        self._committing = None
        waiting, self._commit_next = self._commit_next, None
        if not task.cancelled():
            self._answer_commit(command_id, task.exception())
        if waiting is not None:
            self._commit(waiting)

    def _answer_commit(self, command_id: int, error: BaseException | None) -> None:
        if error is None:
            self.post(facts.Committed(command_id))
        elif isinstance(error, CommitRefused):
            self._reporting.log.warning("commit refused", shard=self.name, reason=str(error))
            self.post(facts.CommitFailed(command_id, str(error), refused=True))
        elif isinstance(error, SourceError):
            self._reporting.on_source(error, "commit")
            self.post(facts.CommitFailed(command_id, str(error)))
        else:
            self._on_failure(error)
