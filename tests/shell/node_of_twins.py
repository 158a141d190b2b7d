"""A whole node in the test's own loop, on sources and executors in memory."""

import asyncio
import io
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import msgspec

from penstock.api import Checkpoint, ExecutorType, SourceError, Start
from penstock.configuration import FunctionConfig, MappingConfig
from penstock.plugins import Registry
from penstock.shell.data_dir import DataDir
from penstock.shell.idleness import Idleness, Verdict
from penstock.shell.logs import make_log
from penstock.shell.node import Node
from shell.twins import ExecutorTwin, Handler, StreamBroker, StreamTwin, project, stream_config, succeed, until


class Running:
    """A node that runs in a task of the test."""

    def __init__(self, node: Node, task: "asyncio.Task[Verdict]", log: io.StringIO, executor: ExecutorTwin) -> None:
        self.node = node
        self.mappings = node.mappings
        self.task = task
        self.executor = executor
        self._log = log

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self._log.getvalue().splitlines()]

    def mapping(self, name: str) -> dict[str, Any]:
        """Give a mapping as the node's status shows it; nothing where there is none of the name."""
        status = json.loads(msgspec.json.encode(self.node.status()))
        return next((mapping for mapping in status["mappings"] if mapping["name"] == name), {})

    def log(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.events if line["event"] == event]

    def status(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(msgspec.json.encode(self.mappings.status(name)))
        return found

    def state(self, name: str) -> str:
        return self.mappings.status(name).state


@asynccontextmanager
async def node_of_twins(
    data_dir: Path,
    *configs: MappingConfig,
    handler: Handler = succeed,
    idleness: Idleness | None = None,
    drain_timeout_s: float = 5.0,
) -> AsyncIterator[Running]:
    """Run a node, and end it at once when the test is done with it."""
    executor = ExecutorTwin(handler)
    registry = Registry(
        executor_types={"twin": ExecutorType(runtime="twin", doc="", settings=(), open_executor=lambda *_: executor)}
    )
    configs = tuple(_on_twin(config) for config in configs)
    functions = {config.function.spec.name: config.function for config in configs}
    log = io.StringIO()
    with DataDir(data_dir) as held:
        node = Node(
            replace(project(*configs, data_dir=data_dir), functions=functions),
            registry,
            data_dir=held,
            log=make_log(log_format="json", level="info", stream=log),
            log_level="info",
            drain_timeout_s=drain_timeout_s,
        )
        task = asyncio.create_task(node.run(idleness))
        await until(lambda: list(node.mappings))
        try:
            yield Running(node, task, log, executor)
        finally:
            node.stop("the test is over")
            node.stop("the test is over")
            await asyncio.wait({task})


def _on_twin(config: MappingConfig) -> MappingConfig:
    spec = replace(config.function.spec, runtime="twin")
    return replace(
        config, uuid=f"uuid of {config.name}", function=FunctionConfig(spec=spec, concurrency_max=None, line=1)
    )


@dataclass
class Seekable(StreamBroker):
    """A broker whose positions can be moved. Set `still_read` to have it refuse."""

    still_read: SourceError | None = None
    left: int = 0
    holds_writes: asyncio.Event = field(default_factory=asyncio.Event)
    """Writes wait until this is set; it is."""

    def __post_init__(self) -> None:
        super().__post_init__()
        self.holds_writes.set()


class LeavingTwin(StreamTwin):
    """A source that is told when it is not to come back."""

    broker: Seekable

    async def leave(self) -> None:
        self.broker.left += 1


class PositionsTwin:
    """`penstock.api.Positions` on a `Seekable`."""

    def __init__(self, broker: Seekable) -> None:
        self.broker = broker

    async def committed(self) -> Mapping[str, Checkpoint | None]:
        if self.broker.failure is not None:
            raise self.broker.failure
        return {shard: self.broker.checkpoints.get(shard) for shard in self.broker.shards}

    async def resolve(self, shard: str, start: Start) -> int:
        return -1 if start.position == "TRIM_HORIZON" else len(self.broker.shards[shard]) - 1

    async def write(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        await self.broker.holds_writes.wait()
        if self.broker.still_read is not None:
            raise self.broker.still_read
        self.broker.checkpoints |= checkpoints

    async def close(self) -> None:
        """Nothing is held."""


def seekable_config(broker: Seekable, **how: Any) -> MappingConfig:
    """Make a mapping on a source whose positions can be moved."""
    config = stream_config(broker, twin=LeavingTwin, **how)
    kind = replace(config.source.type, open_positions=lambda *_: PositionsTwin(broker))
    return replace(config, source=replace(config.source, type=kind))


def values(executor: ExecutorTwin) -> Sequence[str]:
    """Tell the values of all records that were handed to the function, in order."""
    import base64  # noqa: PLC0415 - only here

    return [
        base64.b64decode(record["kinesis"]["data"]).decode()
        for invocation in executor.started
        for record in json.loads(invocation.event)["Records"]
    ]
