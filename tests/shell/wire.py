"""Deliveries of one shard, wired to a destination as a node wires them, and a destination that misbehaves on demand."""

import io
import uuid
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from penstock.api import Outgoing, Record, RecordRefused, SourceType, Start
from penstock.configuration import SourceConfig
from penstock.configuration.project import DestinationConfig
from penstock.core import commands as do
from penstock.core.events import Origin, stream_layout
from penstock.core.events.invocation_documents import DocumentForm, InvocationDocuments
from penstock.core.invocation_record import Answer, InvocationRecord
from penstock.plugins import Registry
from penstock.shell.budget import Budget
from penstock.shell.deliveries import Deliveries, Route, ShardDeliveries
from penstock.shell.environments import Environments
from penstock.shell.logs import make_log
from penstock.shell.outlet import Outlet
from penstock.shell.outlet_making import make_outlet, source_context
from penstock.shell.services import Services
from penstock.shell.writers import PluginWriter
from shell.twins import ExecutorTwin, Handler, StreamBroker, project, stream_config, succeed, until

ORIGIN = Origin(
    source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/orders",
    region="us-east-1",
    shard="orders-3",
    topic="orders",
    partition=3,
    bootstrap_servers="localhost:9092",
)
ENDED_MS = 1_573_691_886_021
ERROR = Answer(function_error="Unhandled", payload=b'{"errorType":"KeyError","errorMessage":"id"}')


def failed(*values: bytes, ended_ms: int = ENDED_MS) -> InvocationRecord:
    return InvocationRecord(
        condition="RetryAttemptsExhausted",
        records=tuple(Record(number, value, b"k%d" % number, 0) for number, value in enumerate(values)),
        invoke_count=3,
        request_id=str(uuid.uuid4()),
        ended_ms=ended_ms,
        answer=ERROR,
    )


@dataclass
class Wire:
    """Deliveries of one shard, and the facts that they answer with."""

    shard: ShardDeliveries
    outlet: Outlet
    deliveries: Deliveries
    environments: Environments
    log: io.StringIO
    facts: list[Any] = field(default_factory=list)
    _last_id: int = 0

    def deliver(self, record: InvocationRecord) -> int:
        self._last_id += 1
        self.shard.deliver(do.Deliver(self._last_id, record))
        return self._last_id

    async def delivered(self, record: InvocationRecord) -> Any:
        """Deliver and wait for the one fact that answers."""
        count = len(self.facts)
        command_id = self.deliver(record)
        await until(lambda: len(self.facts) > count)
        fact = self.facts[-1]
        assert fact.id == command_id
        return fact


@asynccontextmanager
async def wired(
    destination: DestinationConfig | None = None,
    *,
    data_dir: Path = Path("/nowhere"),
    per_record: bool = False,
    handler: Handler = succeed,
    registry: Registry | None = None,
    outlet: Callable[[Any], Outlet] | None = None,
) -> AsyncIterator[Wire]:
    """Wire a shard of a mapping to a destination, as a node does."""
    environments = Environments(node_max=1)
    environments.add_function("archive", ExecutorTwin(handler), None)
    stream = io.StringIO()
    log = make_log(log_format="text", level="debug", stream=stream)
    services = Services(
        environments=environments, budget=Budget(bytes_max=1024), log=log, log_level="debug", jitter=lambda: 0.0
    )
    mapping = replace(stream_config(StreamBroker()), uuid="6e2c1a0e-0000-4000-8000-000000000001")
    if outlet is not None:
        made = outlet(log)
    else:
        assert destination is not None
        whole = project(mapping, data_dir=data_dir)
        made = make_outlet(
            mapping, destination, project=whole, registry=registry or Registry(), services=services, log=log
        )
    event_format = "kafka" if per_record else "kinesis"
    documents = InvocationDocuments(
        event_format,
        ORIGIN,
        form=DocumentForm(from_topic_to_topic=per_record),
        function_arn=mapping.function.spec.arn,
        mapping=mapping.name,
        encode=stream_layout(event_format, ORIGIN).encode,
    )
    deliveries = Deliveries()
    deliveries.join(mapping.name, on_failure=Route(made, lambda _shard: documents), on_success=None)
    heard: list[Any] = []
    shard = deliveries.client(mapping.name, "orders-3", post=heard.append, log=log)
    try:
        yield Wire(shard, made, deliveries, environments, stream, heard)
    finally:
        await shard.close()
        await deliveries.close(mapping.name)


def embedded(kind: SourceType, name: str, *, create: bool = True) -> DestinationConfig:
    key = "Stream" if kind.kind == "stream" else "Queue"
    settings = {each.name: each.default for each in kind.settings} | {key: name}
    source = SourceConfig(name=name, type=kind, settings=settings, arn="", create=create, line=1)
    return DestinationConfig(kind="source", text=name, source=source)


async def contents(destination: DestinationConfig, data_dir: Path) -> list[Any]:
    """Read a destination as an operator does."""
    assert destination.source is not None
    assert destination.source.type.operate is not None
    operations = destination.source.type.operate(source_context(project(data_dir=data_dir), destination.source))
    return [each async for each in operations.peek(Start("TRIM_HORIZON"), limit=None, follow=False)]


def folder(path: Path) -> DestinationConfig:
    return DestinationConfig(kind="file", text=f"file:{path.name}", path=path)


FUNCTION = DestinationConfig(kind="function", text="function:archive", function="archive")


class Scripted:
    """A destination of a stranger's: answers by the script, one step a call, and then takes everything up to a size."""

    def __init__(self, *steps: Any, bytes_max: int = 10**9) -> None:
        self.steps = list(steps)
        self.bytes_max = bytes_max
        self.opening: BaseException | None = None
        self.opened = 0
        self.closed = 0
        self.calls: list[Sequence[Outgoing]] = []
        self.stored: list[Outgoing] = []

    async def open(self) -> None:
        self.opened += 1
        if self.opening is not None:
            raise self.opening

    async def close(self) -> None:
        self.closed += 1

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        self.calls.append(records)
        step = self.steps.pop(0) if self.steps else None
        if isinstance(step, BaseException):
            raise step
        if step is not None:
            return await step(records)  # type: ignore[no-any-return] # a step is what the test makes it
        answers = [self._answer(each) for each in records]
        self.stored += [each for each, answer in zip(records, answers, strict=True) if answer is None]
        return answers

    def _answer(self, record: Outgoing) -> RecordRefused | None:
        size = len(record.value or b"") + sum(len(name) + len(value or b"") for name, value in record.headers)
        return None if size <= self.bytes_max else RecordRefused(f"{size} bytes are too many", too_large=True)

    def outlet(self, log: Any) -> Outlet:
        return Outlet("destination 'scripted'", lambda: PluginWriter(lambda: self), check=None, log=log)
