"""A queue mapping in the node: one machine for its life, against a source that is opened anew when it has to be."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, assert_never

from penstock.api import Backlog, Message, QueueSource, ReceiptExpired, SourceError
from penstock.configuration.project import MappingConfig
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.events.dead_letters import Letters
from penstock.core.events.layout import Layout
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.queue_machine import QueueMachine
from penstock.core.views import QueueView
from penstock.shell.dead_letters import DeadLetters
from penstock.shell.ending import Ending
from penstock.shell.health import Health
from penstock.shell.machine_driver import MachineDriver
from penstock.shell.outlet import Outlet
from penstock.shell.reporting import Reporting
from penstock.shell.services import Services
from penstock.shell.source_loop import Preparation, keep_open

FAILURES_MAX = 3
"""After so many receives in a row that failed the source is made anew, once nothing of it is in our hands."""
NOT_OPEN = "the source is not open"


@dataclass(frozen=True, slots=True)
class Target:
    """Where a queue's dead letters go, and how they are written."""

    outlet: Outlet
    letters: Letters


class QueueMapping:
    """One mapping on a queue. `run` is its one task."""

    def __init__(
        self,
        config: MappingConfig,
        *,
        open_source: Callable[[], QueueSource],
        operate: Callable[[], Preparation] | None,
        layout: Layout[Message],
        record_filter: RecordFilter[Message] | None,
        target: Target | None = None,
        services: Services,
        reporting: Reporting,
        health: Health,
    ) -> None:
        """Take the configuration, how to make its source, the layout of its events, and where its dead letters go."""
        assert config.queue is not None
        self.config = config
        self.health = health
        self.reporting = reporting
        self._settings = config.queue
        self._open_source = open_source
        self._operate = operate
        self._layout = layout
        self._services = services
        self._source: QueueSource | None = None
        self._ending: Ending | None = None
        self._whole: Ending | None = None
        self._failures = 0
        self._tasks: dict[int, asyncio.Task[Any]] = {}
        self._released = asyncio.Event()
        function = config.function.spec.name
        self._machine = QueueMachine(
            self._settings,
            layout,
            jitter=services.jitter,
            request_ids=services.request_ids,
            record_filter=record_filter,
        )
        self._driver: MachineDriver[facts.QueueFact, do.QueueCommand] = MachineDriver(
            self._machine, perform=self._perform, on_failure=self._on_failure, clock_fact=facts.ClockChanged
        )
        self._letters: DeadLetters | None = None
        if target is not None:
            self._letters = DeadLetters(target.outlet, target.letters, post=self._driver.post, log=reporting.log)
        self._environments = services.environments.client(
            config.name, function, layout, post=self._driver.post, on_failure=self._on_failure
        )
        self._drain_ms: int | None = None
        self._drain_why = ""
        self._has_begun = False

    def view(self) -> QueueView:
        """Show the machine."""
        return self._machine.view()

    async def backlog(self) -> Backlog | None:
        """Ask the broker what waits; None while there is no source to ask."""
        return await self._source.backlog() if self._source is not None else None

    async def run(self) -> None:
        """Receive until `drain`; raises what the mapping can not survive."""
        whole = self._whole = Ending()
        try:
            await whole.to_its_end(
                keep_open(
                    self._open_source,
                    self._use,
                    operate=self._operate,
                    reporting=self.reporting,
                    jitter=self._services.jitter,
                )
            )
        finally:
            self._driver.stop()
            self._services.environments.unwatch(self._environments.number, self._environments.function)
            await self._environments.close()
            if self._letters is not None:
                await self._letters.close()

    def drain(self, grace_ms: int, *, comes_back: bool = True) -> bool:
        """Begin to let go; False when nothing is open, so that there is nothing to wait for."""
        self._drain_ms = grace_ms
        self._drain_why = "the node stops" if comes_back else "the mapping is disabled"
        if self._ending is None:
            return False
        self._ending.ask()
        return True

    async def _use(self, source: QueueSource) -> None:
        ending = self._ending = Ending()
        self._source = source
        self._failures = 0
        if self.health.phase == "starting":
            self.health.phase = "reading"
        try:
            if not self._has_begun:
                self._has_begun = True
                self._services.environments.watch(
                    self._environments.number, self._environments.function, self._driver.post
                )
                self._driver.wake()
            if self._drain_ms is not None:
                # The source failed while we let go: what is in our hands is settled with this one, and nothing is read.
                ending.ask()
            await ending.until_asked()
            self._driver.post(facts.Revoked(self._driver.now_ms() + (self._drain_ms or 0), self._drain_why))
            await ending.to_its_end(self._until_released())
        finally:
            self._source = self._ending = None
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
            if tasks:
                await asyncio.wait(tasks)

    async def _until_released(self) -> None:
        await self._released.wait()

    def _perform(self, command: do.QueueCommand) -> None:  # noqa: C901, PLR0912 - one arm per command
        match command:
            case do.Announce():
                self.reporting.report(command.report)
            case do.Receive():
                self._call(
                    command.id,
                    lambda source: source.receive(messages_max=command.messages_max, wait_ms=command.wait_ms),
                    self._on_received,
                )
            case do.RequestEnvironment():
                self._environments.request(command.id)
            case do.Invoke():
                # An environment may take long to start, and we may have stood still meanwhile.
                self._environments.invoke(command, before=self._driver.catch_up)
            case do.Ack():
                self._call(command.id, lambda source: source.ack(command.receipts), self._on_settled)
            case do.Nack():
                self._call(
                    command.id,
                    lambda source: source.nack(command.receipts, delay_ms=command.delay_ms, counted=command.counted),
                    self._on_settled,
                )
            case do.Count():
                self._call(
                    command.id,
                    lambda source: source.count(command.receipts, receive_count=command.receive_count),
                    self._on_settled,
                )
            case do.SendAway():
                assert self._letters is not None
                self._letters.send(command)
            case do.Extend():
                self._call(
                    command.id,
                    lambda source: source.extend(command.receipts, lease_ms=command.lease_ms),
                    self._on_settled,
                )
            case do.ReturnEnvironment():
                self._environments.give_back(command.id)
            case do.Cancel():
                self._cancel(command.id)
            case do.Release():
                self._released.set()
            case _:
                assert_never(command)

    def _cancel(self, command_id: int) -> None:
        task = self._tasks.get(command_id)
        if task is not None:
            task.cancel()
        elif not self._environments.cancel(command_id) and self._letters is not None:
            self._letters.cancel(command_id)

    def _call(
        self,
        command_id: int,
        call: Callable[[QueueSource], Coroutine[Any, Any, Any]],
        on_answer: Callable[[int, Any, BaseException | None], None],
    ) -> None:
        if self._source is None:
            on_answer(command_id, None, SourceError(NOT_OPEN))
            return
        task: asyncio.Task[Any] = asyncio.get_running_loop().create_task(call(self._source))
        self._tasks[command_id] = task
        task.add_done_callback(partial(self._on_done, command_id, on_answer))

    def _on_done(
        self, command_id: int, on_answer: Callable[[int, Any, BaseException | None], None], task: asyncio.Task[Any]
    ) -> None:
        del self._tasks[command_id]
        if task.cancelled():
            on_answer(command_id, None, SourceError(NOT_OPEN) if self._source is None else None)
            return
        error = task.exception()
        if error is not None and not isinstance(error, SourceError):
            self._on_failure(error)
            return
        on_answer(command_id, None if error is not None else task.result(), error)

    def _on_received(self, command_id: int, messages: Sequence[Message] | None, error: BaseException | None) -> None:
        if error is None:
            self._failures = 0
            self.reporting.on_source(None)
            self._driver.post(facts.Received(command_id, messages or ()))
            return
        if self._source is not None:
            self._on_troubled(error, "receive")
        self._driver.post(facts.SourceFailed(command_id, str(error)))

    def _on_settled(self, command_id: int, _result: None, error: BaseException | None) -> None:
        if error is None:
            self.reporting.on_source(None)
            self._driver.post(facts.Settled(command_id))
        elif isinstance(error, ReceiptExpired):
            self._driver.post(facts.Settled(command_id, expired=True))
        else:
            if self._source is not None and isinstance(error, SourceError):
                self.reporting.on_source(error, "settle")
            self._driver.post(facts.SettleFailed(command_id, str(error)))

    def _on_troubled(self, error: BaseException, action: str) -> None:
        assert isinstance(error, SourceError)
        self.reporting.on_source(error, action)
        self._failures += 1
        view = self._machine.view()
        is_empty = not (view.in_flight or view.settling or view.waiting or view.held or view.sending_away)
        if self._failures >= FAILURES_MAX and is_empty:
            self._on_failure(error)

    def _on_failure(self, error: BaseException) -> None:
        # A machine lives longer than one opened source, so it may fail between two of them.
        ending = self._ending or self._whole
        assert ending is not None
        ending.fail(error)
