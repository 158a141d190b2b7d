"""Puts a node's parts together: from a configuration as understood to mappings that are ready to run."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from penstock.api import (
    Executor,
    MappingContext,
    Message,
    QueueCapabilities,
    QueueSource,
    SourceContext,
    SourceOperations,
    StreamSource,
)
from penstock.configuration import MappingConfig, Project
from penstock.configuration.project import DestinationConfig, FunctionConfig
from penstock.core.events import Layout, Origin, queue_layout, stream_layout
from penstock.core.events.dead_letters import Letters
from penstock.core.events.invocation_documents import DocumentForm, InvocationDocuments
from penstock.core.events.layout import StreamLayout
from penstock.core.patterns.criteria import RecordFilter
from penstock.functions.host import FunctionHost
from penstock.plugins import Registry, check_source
from penstock.shell.counted_queue import CountedQueue
from penstock.shell.deliveries import Route
from penstock.shell.health import Health
from penstock.shell.outlet_making import is_topic, make_letter_outlet, make_outlet, source_context
from penstock.shell.queue_mapping import QueueMapping, Target
from penstock.shell.reporting import Reporting
from penstock.shell.services import Services
from penstock.shell.stream_mapping import StreamMapping

BUFFER_BYTES_LEAST = 1024 * 1024
"""However many mappings share the node, a plugin may buffer this much for each."""

Mapping = StreamMapping | QueueMapping


class Composition:
    """Knows the project and the node's identity; makes what a node runs."""

    def __init__(
        self, project: Project, registry: Registry, *, node_id: str, services: Services, now_ms: Callable[[], int]
    ) -> None:
        """Take what every part needs."""
        self._project = project
        self._registry = registry
        self._node_id = node_id
        self._services = services
        self._now_ms = now_ms

    def executor(self, function: FunctionConfig, host: FunctionHost) -> Executor:
        """Make what runs a function: the host's own environments, or a plugin's executor."""
        spec = function.spec
        if spec.runtime in self._registry.executor_types:
            return self._registry.executor_types[spec.runtime].open_executor(spec, self._project.settings.data_dir)
        environments_max = function.concurrency_max or self._project.settings.concurrency_max
        return host.executor(spec, environments_max=environments_max, plain_numbers=True)

    def mapping(self, config: MappingConfig) -> Mapping:
        """Make a mapping; nothing is opened yet."""
        health = Health(now_ms=self._now_ms)
        services = self._services
        reporting = Reporting(services.log.bind(mapping=config.name), health, level=services.log_level)
        self._services.environments.join(config.name, config.function.spec.name)
        source = source_context(self._project, config.source)
        operate: Callable[[], SourceOperations] | None = None
        if config.source.create and config.source.type.operate is not None:
            operate = partial(config.source.type.operate, source)
        if config.stream is not None:
            self._join_destinations(config, reporting)
            return StreamMapping(
                config,
                open_source=partial(_open_stream, config, source, self._mapping_context(config)),
                operate=partial(_Beginning, operate, partial(services.deliveries.check, config.name)),
                make_layout=partial(self._stream_layout, config),
                make_filter=partial(self._filter, config),
                services=services,
                reporting=reporting,
                health=health,
            )
        target = self._target(config, reporting)
        return QueueMapping(
            config,
            open_source=partial(self._open_queue, config, source),
            operate=operate if target is None else partial(_Beginning, operate, target.outlet.check),
            target=target,
            layout=self._queue_layout(config),
            record_filter=self._filter(config, ""),
            services=services,
            reporting=reporting,
            health=health,
        )

    def _open_queue(self, config: MappingConfig, source: SourceContext) -> QueueSource:
        kind = config.source.type
        assert kind.open_queue is not None
        assert isinstance(kind.capabilities, QueueCapabilities)
        opened = kind.open_queue(source, self._mapping_context(config))
        check_source(opened, QueueSource)
        if kind.capabilities.counted:
            return opened
        assert self._services.runs is not None
        return CountedQueue(opened, self._services.runs, config.source.arn)

    def _join_destinations(self, config: MappingConfig, reporting: Reporting) -> None:
        def route(destination: DestinationConfig | None) -> Route | None:
            if destination is None:
                return None
            outlet = make_outlet(
                config,
                destination,
                project=self._project,
                registry=self._registry,
                services=self._services,
                log=reporting.log,
            )
            return Route(outlet, partial(self._documents, config, destination))

        self._services.deliveries.join(
            config.name, on_failure=route(config.on_failure), on_success=route(config.on_success)
        )

    def _target(self, config: MappingConfig, reporting: Reporting) -> Target | None:
        source = config.dead_letter_target
        if source is None:
            return None
        is_fifo = bool(source.settings.get("FifoQueue"))
        letters = Letters(
            target="stream" if source.type.kind == "stream" else "fifo-queue" if is_fifo else "queue",
            mapping=config.name,
            function_arn=config.function.spec.arn,
            source_arn=config.source.arn,
        )
        return Target(make_letter_outlet(source, project=self._project, log=reporting.log), letters)

    def _documents(self, config: MappingConfig, destination: DestinationConfig, shard: str) -> InvocationDocuments:
        return InvocationDocuments(
            config.event_format,
            self._origin(config, shard),
            form=DocumentForm(
                payload=destination.include_payload,
                response=destination.include_payload,
                from_topic_to_topic=is_topic(config.source) and is_topic(destination.source),
            ),
            function_arn=config.function.spec.arn,
            mapping=config.name,
            encode=self._stream_layout(config, shard).encode,
        )

    def _mapping_context(self, config: MappingConfig) -> MappingContext:
        enabled = sum(1 for mapping in self._project.mappings if mapping.enabled)
        share = self._project.settings.buffer_bytes_max // 2 // max(enabled, 1)
        queue = {"lease_ms": config.queue.lease_ms} if config.queue is not None else {}
        return MappingContext(
            mapping=config.name,
            uuid=config.uuid,
            node=self._node_id,
            settings=config.settings,
            buffer_bytes_max=max(share, BUFFER_BYTES_LEAST),
            **queue,
        )

    def _stream_layout(self, config: MappingConfig, shard: str) -> StreamLayout:
        return stream_layout(config.event_format, self._origin(config, shard))

    def _queue_layout(self, config: MappingConfig) -> Layout[Message]:
        return queue_layout(config.event_format, self._origin(config, ""))

    def _filter(self, config: MappingConfig, shard: str) -> RecordFilter[Any] | None:
        criteria = config.filter_criteria
        return None if criteria is None else criteria.record_filter(self._origin(config, shard))

    def _origin(self, config: MappingConfig, shard: str) -> Origin:
        describe = config.source.type.describe
        facts = describe(config.source.settings) if describe is not None else {}
        settings = self._project.settings
        bootstrap_servers = facts.get("bootstrapServers", "")
        topic, partition = _topic_and_partition(shard) if bootstrap_servers else ("", 0)
        return Origin(
            source_arn=config.source.arn,
            region=settings.region,
            role_arn=f"arn:aws:iam::{settings.account_id}:role/{config.function.spec.name}",
            shard=shard,
            topic=topic,
            partition=partition,
            bootstrap_servers=bootstrap_servers,
            queue=facts.get("queue", ""),
            virtual_host=facts.get("virtualHost", "/"),
            leaves_out_unset=config.filter_criteria is None and not (config.queue and config.queue.batching_window_ms),
        )


class _Beginning:
    """What a mapping needs before its source is opened: the source itself, and destinations that can be written.

    So a destination that is missing or away is a problem that is seen before anything is given up, and the mapping
    reads as soon as it is mended.
    """

    def __init__(
        self, operate: Callable[[], SourceOperations] | None, check_destinations: Callable[[], Awaitable[None]]
    ) -> None:
        self._operations = operate() if operate is not None else None
        self._check_destinations = check_destinations

    async def create(self) -> bool:
        is_new = await self._operations.create() if self._operations is not None else False
        await self._check_destinations()
        return is_new

    async def close(self) -> None:
        if self._operations is not None:
            await self._operations.close()


def _topic_and_partition(shard: str) -> tuple[str, int]:
    """Split a Kafka shard's name, `<topic>-<partition>`."""
    topic, _, partition = shard.rpartition("-")
    return (topic, int(partition)) if partition.isdecimal() else (shard, 0)


def _open_stream(config: MappingConfig, source: SourceContext, mapping: MappingContext) -> StreamSource:
    assert config.source.type.open_stream is not None
    opened = config.source.type.open_stream(source, mapping)
    check_source(opened, StreamSource)
    return opened
