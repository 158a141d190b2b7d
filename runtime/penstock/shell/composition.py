"""Puts a node's parts together: from a configuration as understood to mappings that are ready to run."""

from collections.abc import Callable
from functools import partial
from typing import Any

from penstock.api import (
    Executor,
    MappingContext,
    Message,
    QueueSource,
    Record,
    SourceContext,
    SourceOperations,
    StreamSource,
)
from penstock.configuration import MappingConfig, Project
from penstock.configuration.project import FunctionConfig
from penstock.core.events import Layout, Origin, queue_layout, stream_layout
from penstock.core.patterns.criteria import RecordFilter
from penstock.functions.host import FunctionHost
from penstock.plugins import Registry, check_source
from penstock.shell.health import Health
from penstock.shell.queue_mapping import QueueMapping
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
        source = self._source_context(config)
        operate: Callable[[], SourceOperations] | None = None
        if config.source.create and config.source.type.operate is not None:
            operate = partial(config.source.type.operate, source)
        if config.stream is not None:
            return StreamMapping(
                config,
                open_source=partial(_open_stream, config, source, self._mapping_context(config)),
                operate=operate,
                make_layout=partial(self._stream_layout, config),
                make_filter=partial(self._filter, config),
                services=services,
                reporting=reporting,
                health=health,
            )
        return QueueMapping(
            config,
            open_source=partial(_open_queue, config, source, self._mapping_context(config)),
            operate=operate,
            layout=self._queue_layout(config),
            record_filter=self._filter(config, ""),
            services=services,
            reporting=reporting,
            health=health,
        )

    def _source_context(self, config: MappingConfig) -> SourceContext:
        return SourceContext(
            project=self._project.name,
            name=config.source.name,
            settings=config.source.settings,
            data_dir=self._project.settings.data_dir,
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

    def _stream_layout(self, config: MappingConfig, shard: str) -> Layout[Record]:
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
        )


def _topic_and_partition(shard: str) -> tuple[str, int]:
    """Split a Kafka shard's name, `<topic>-<partition>`."""
    topic, _, partition = shard.rpartition("-")
    return (topic, int(partition)) if partition.isdecimal() else (shard, 0)


def _open_stream(config: MappingConfig, source: SourceContext, mapping: MappingContext) -> StreamSource:
    assert config.source.type.open_stream is not None
    opened = config.source.type.open_stream(source, mapping)
    check_source(opened, StreamSource)
    return opened


def _open_queue(config: MappingConfig, source: SourceContext, mapping: MappingContext) -> QueueSource:
    assert config.source.type.open_queue is not None
    opened = config.source.type.open_queue(source, mapping)
    check_source(opened, QueueSource)
    return opened
