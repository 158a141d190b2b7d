"""Small real sources and executors in memory, and a mapping on them: enough to watch the shell at work."""

import asyncio
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from penstock.api import (
    AssignedShard,
    Assignment,
    Backlog,
    Checkpoint,
    CommitRefused,
    Fetched,
    FunctionSpec,
    Invocation,
    InvocationResult,
    Message,
    QueueCapabilities,
    ReceiptExpired,
    Record,
    Returned,
    ShardsAssigned,
    SourceError,
    SourceType,
    Start,
    StreamCapabilities,
    Want,
)
from penstock.configuration import FunctionConfig, MappingConfig, NodeSettings, Project, SourceConfig
from penstock.core.settings import QueueSettings, RetryBackoff, StreamSettings
from penstock.plugins import Registry
from penstock.shell.budget import Budget
from penstock.shell.composition import Composition, Mapping
from penstock.shell.environments import Environments
from penstock.shell.logs import make_log
from penstock.shell.machine_driver import clock_ms
from penstock.shell.services import Services
from penstock.shell.window_states import WindowStates

T = TypeVar("T")
QUICK = RetryBackoff(initial_ms=20, maximum_ms=40)


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, and no longer than any of them may take."""

    async def bounded() -> T:
        async with asyncio.timeout(20):
            return await work

    return asyncio.run(bounded())


async def until(condition: Callable[[], object], *, seconds: float = 5.0) -> None:
    """Wait until a condition holds; fail after so long."""
    deadline_s = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline_s, "it did not come true in time"
        await asyncio.sleep(0.002)


@dataclass
class StreamBroker:
    """A broker that outlives the sources opened on it. Set `failure` to make every call of theirs fail."""

    shards: dict[str, list[Record]] = field(default_factory=lambda: {"s-0": []})
    checkpoints: dict[str, Checkpoint] = field(default_factory=dict)
    failure: BaseException | None = None
    opened: int = 0
    closed: int = 0
    released: list[str] = field(default_factory=list)
    fetches: list[list[str]] = field(default_factory=list)
    refuses_commits: bool = False
    is_in_doubt: bool = False
    """Whether a `HoldingTwin` can not be sure of its shards."""
    assignments: "asyncio.Queue[Assignment | SourceError | None] | None" = None
    """What the open source yields next; an error is raised there, and None ends it."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    holds_opening: asyncio.Event = field(default_factory=asyncio.Event)
    """Opening a source waits until this is set; it is."""

    def __post_init__(self) -> None:
        self.holds_opening.set()

    def put(self, *values: bytes, shard: str = "s-0") -> None:
        records = self.shards[shard]
        for value in values:
            records.append(Record(len(records), value, None, 0))
        self.changed.set()

    def assigned(self, *names: str) -> ShardsAssigned:
        return ShardsAssigned(tuple(AssignedShard(name, self.checkpoints.get(name)) for name in names))

    def committed(self, shard: str = "s-0") -> int:
        found = self.checkpoints.get(shard)
        return -2 if found is None else found.position


class StreamTwin:
    """A `StreamSource` on a `StreamBroker`."""

    def __init__(self, broker: StreamBroker) -> None:
        self.broker = broker

    async def open(self) -> None:
        self.broker.opened += 1
        await self.broker.holds_opening.wait()
        self._check()
        self.broker.assignments = asyncio.Queue()
        self.broker.assignments.put_nowait(self.broker.assigned(*self.broker.shards))

    async def close(self) -> None:
        self.broker.closed += 1

    async def assignments(self) -> AsyncIterator[Assignment]:
        assert self.broker.assignments is not None
        while True:
            change = await self.broker.assignments.get()
            if change is None:
                return
            if isinstance(change, BaseException):
                raise change
            yield change

    async def resolve(self, shard: str, start: Start) -> int:
        self._check()
        return -1 if start.position == "TRIM_HORIZON" else len(self.broker.shards[shard]) - 1

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        self.broker.fetches.append([want.shard for want in wants])
        deadline_s = time.monotonic() + wait_ms / 1000
        while True:
            self._check()
            self.broker.changed.clear()
            found = [self._found(want) for want in wants if len(self.broker.shards[want.shard]) > want.after + 1]
            if found or time.monotonic() > deadline_s:
                return found
            await self.broker.changed.wait()

    def _found(self, want: Want) -> Fetched:
        records = self.broker.shards[want.shard][want.after + 1 :][: want.records_max]
        lag = len(self.broker.shards[want.shard]) - records[-1].position - 1
        return Fetched(want.shard, records, records[-1].position, sum(len(one.value or b"") for one in records), lag)

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        self._check()
        if self.broker.refuses_commits:
            raise CommitRefused("the shard is not ours")
        self.broker.checkpoints[shard] = checkpoint

    async def release(self, shards: Sequence[str]) -> None:
        self.broker.released += shards

    async def backlog(self, shard: str, after: int) -> Backlog:
        self._check()
        return Backlog(len(self.broker.shards[shard]) - after - 1)

    def _check(self) -> None:
        if self.broker.failure is not None:
            raise self.broker.failure


class HoldingTwin(StreamTwin):
    """One that also tells whether its shards are surely ours."""

    def holds(self, shard: str) -> bool:
        return shard in self.broker.shards and not self.broker.is_in_doubt


@dataclass
class QueueBroker:
    """A queue that outlives the sources opened on it."""

    ready: list[Message] = field(default_factory=list)
    held: dict[str, Message] = field(default_factory=dict)
    nacked: list[tuple[str, int, bool]] = field(default_factory=list)
    acked: list[str] = field(default_factory=list)
    failure: SourceError | None = None
    opened: int = 0
    receives: int = 0
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    def put(self, *bodies: bytes) -> None:
        for body in bodies:
            number = len(self.ready) + len(self.held) + len(self.acked)
            self.ready.append(Message(f"m-{number}", f"r-{number}", body, 1, 0, 0))
        self.changed.set()


class QueueTwin:
    """A `QueueSource` on a `QueueBroker`; nacked messages stay with the broker, so that tests can look at them."""

    def __init__(self, broker: QueueBroker) -> None:
        self.broker = broker

    async def open(self) -> None:
        self.broker.opened += 1
        self._check()

    async def close(self) -> None:
        self.broker.held.clear()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        self.broker.receives += 1
        deadline_s = time.monotonic() + wait_ms / 1000
        while True:
            self._check()
            self.broker.changed.clear()
            if self.broker.ready or time.monotonic() > deadline_s:
                taken, self.broker.ready = self.broker.ready[:messages_max], self.broker.ready[messages_max:]
                self.broker.held |= {message.receipt: message for message in taken}
                return taken
            await self.broker.changed.wait()

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        """Runs are not looked at here."""

    async def ack(self, receipts: Sequence[str]) -> None:
        self._take(receipts)
        self.broker.acked += receipts

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        self._take(receipts)
        self.broker.nacked += [(receipt, delay_ms, counted) for receipt in receipts]

    async def reject(self, receipts: Sequence[str]) -> None:
        self._take(receipts)

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:  # noqa: ARG002 - the protocol's
        self._check()

    async def backlog(self) -> Backlog:
        return Backlog(len(self.broker.ready), delayed=len(self.broker.held))

    def _take(self, receipts: Sequence[str]) -> None:
        self._check()
        gone = [receipt for receipt in receipts if self.broker.held.pop(receipt, None) is None]
        if gone:
            raise ReceiptExpired(f"{gone} are not held")

    def _check(self) -> None:
        if self.broker.failure is not None:
            raise self.broker.failure


Handler = Callable[[Invocation], Awaitable[InvocationResult]]


class ExecutorTwin:
    """An executor that runs a coroutine of the test. `ended` counts those that were cancelled and are really gone."""

    def __init__(self, handler: Handler) -> None:
        self.handler = handler
        self.started: list[Invocation] = []
        self.running = 0
        self.running_most = 0
        self.ended = 0

    async def open(self) -> None:
        """Nothing to get ready."""

    async def close(self) -> None:
        """Nothing to end."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        self.started.append(invocation)
        self.running += 1
        self.running_most = max(self.running_most, self.running)
        try:
            return await self.handler(invocation)
        except asyncio.CancelledError:
            # A process takes a moment to die.
            await asyncio.sleep(0.01)
            self.ended += 1
            raise
        finally:
            self.running -= 1

    def environments_count(self) -> int:
        return self.running


async def succeed(_: Invocation) -> InvocationResult:
    return Returned(b"null", 1)


async def never(_: Invocation) -> InvocationResult:
    await asyncio.get_running_loop().create_future()
    raise AssertionError


def spec(name: str = "tally") -> FunctionSpec:
    arn = f"arn:aws:lambda:us-east-1:000000000000:function:{name}"
    return FunctionSpec(name=name, handler="app.handler", code=Path("/nowhere"), arn=arn)


def stream_config(
    broker: StreamBroker,
    *,
    name: str = "tally.From",
    settings: StreamSettings | None = None,
    twin: type[StreamTwin] = StreamTwin,
) -> MappingConfig:
    kind = SourceType(
        name="twin",
        kind="stream",
        doc="",
        capabilities=StreamCapabilities(),
        settings=(),
        event_formats=("kinesis",),
        open_stream=lambda *_: twin(broker),
    )
    return replace(
        _config(name, kind, "kinesis"),
        stream=settings or StreamSettings(start=Start("TRIM_HORIZON"), batch_size=10, backoff=QUICK),
    )


def queue_config(
    broker: QueueBroker, *, name: str = "tally.From", settings: QueueSettings | None = None
) -> MappingConfig:
    kind = SourceType(
        name="twin",
        kind="queue",
        doc="",
        capabilities=QueueCapabilities(delayed=True, counted=True, leased=True),
        settings=(),
        event_formats=("sqs",),
        open_queue=lambda *_: QueueTwin(broker),
    )
    return replace(_config(name, kind, "sqs"), queue=settings or QueueSettings(batch_size=2, backoff=QUICK))


def _config(name: str, kind: SourceType, event_format: str) -> MappingConfig:
    function = FunctionConfig(spec=spec(name.partition(".")[0]), concurrency_max=None, line=1)
    source = SourceConfig(name="twin", type=kind, settings={}, arn="arn:aws:x:::twin", create=False, line=1)
    return MappingConfig(
        name=name, uuid="u", function=function, source=source, event_format=event_format, enabled=True, settings={}
    )


def project(*mappings: MappingConfig, data_dir: Path = Path("/nowhere")) -> Project:
    settings = NodeSettings(
        concurrency_max=4,
        region="us-east-1",
        account_id="000000000000",
        listen="none",
        data_dir=data_dir,
        log_format="text",
        drain_timeout_s=5.0,
        buffer_bytes_max=64 * 1024 * 1024,
    )
    return Project(
        name="twins",
        file=Path("/nowhere/penstock.yaml"),
        folder=Path("/nowhere"),
        settings=settings,
        sources={},
        functions={},
        mappings=mappings,
        warnings=(),
        masked={},
        secrets=frozenset(),
    )


@dataclass
class Bench:
    """One mapping on a twin, with an executor of the test's. Made inside the loop."""

    mapping: Any
    executor: ExecutorTwin
    environments: Environments
    log: io.StringIO
    task: "asyncio.Task[None]"

    async def drain(self, grace_ms: int = 5_000) -> None:
        if not self.mapping.drain(grace_ms):
            self.task.cancel()
        await asyncio.wait({self.task})

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.wait({self.task})


def start(
    config: MappingConfig,
    handler: Handler = succeed,
    *,
    node_max: int = 4,
    registry: Registry | None = None,
    states: WindowStates | None = None,
) -> Bench:
    """Run one mapping as a node would."""
    executor = ExecutorTwin(handler)
    environments = Environments(node_max=node_max)
    environments.add_function(config.function.spec.name, executor, None)
    log = io.StringIO()
    loop = asyncio.get_running_loop()
    services = Services(
        environments=environments,
        budget=Budget(bytes_max=32 * 1024 * 1024),
        log=make_log(log_format="text", level="debug", stream=log),
        log_level="debug",
        states=states,
        jitter=lambda: 0.0,
    )
    composition = Composition(
        project(config), registry or Registry(), node_id="n", services=services, now_ms=lambda: clock_ms(loop)
    )
    mapping: Mapping = composition.mapping(config)
    return Bench(mapping, executor, environments, log, loop.create_task(mapping.run()))
