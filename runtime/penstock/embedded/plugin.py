"""The plugin's entry point: the source types it registers."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from penstock.api import QueueCapabilities, SourceContext, SourceType, StreamCapabilities, hookimpl
from penstock.embedded.destination import EmbeddedQueueDestination, EmbeddedStreamDestination
from penstock.embedded.mapping_positions import EmbeddedPositions
from penstock.embedded.operations import EmbeddedQueueOperations, EmbeddedStreamOperations
from penstock.embedded.queue import EmbeddedQueue
from penstock.embedded.settings import (
    QUEUE_SETTINGS,
    STREAM_MAPPING_SETTINGS,
    STREAM_SETTINGS,
    QueueSettings,
    StreamSettings,
)
from penstock.embedded.stream import EmbeddedStream

PENSTOCK_API_VERSION = 1


def _describe_stream(settings: Mapping[str, Any]) -> Mapping[str, str]:
    stream = settings.get("Stream")
    return {"stream": stream} if stream else {}


def _describe_queue(settings: Mapping[str, Any]) -> Mapping[str, str]:
    queue = settings.get("Queue")
    return {"queue": queue} if queue else {}


def _is_same_stream(one: SourceContext, other: SourceContext) -> bool:
    return _place(StreamSettings.of(one)) == _place(StreamSettings.of(other))


def _is_same_queue(one: SourceContext, other: SourceContext) -> bool:
    return _place(QueueSettings.of(one)) == _place(QueueSettings.of(other))


def _place(settings: StreamSettings | QueueSettings) -> tuple[Path, str]:
    return settings.path.resolve(), settings.name


STREAM = SourceType(
    name="sqlite-stream",
    kind="stream",
    doc="a stream of ordered shards in an SQLite file, with nothing to start",
    capabilities=StreamCapabilities(seekable_by_time=True, balanced=True, leased=True, keyed=True),
    settings=STREAM_SETTINGS,
    event_formats=("kinesis",),
    connection_settings=("Path",),
    mapping_settings=STREAM_MAPPING_SETTINGS,
    open_stream=EmbeddedStream,
    open_destination=EmbeddedStreamDestination,
    open_positions=EmbeddedPositions,
    operate=EmbeddedStreamOperations,
    describe=_describe_stream,
    is_same=_is_same_stream,
)

QUEUE = SourceType(
    name="sqlite-queue",
    kind="queue",
    doc="a queue in an SQLite file, with leases and receive counts, and nothing to start",
    capabilities=QueueCapabilities(delayed=True, grouped=True, counted=True, leased=True),
    settings=QUEUE_SETTINGS,
    event_formats=("sqs",),
    connection_settings=("Path",),
    open_queue=EmbeddedQueue,
    open_destination=EmbeddedQueueDestination,
    operate=EmbeddedQueueOperations,
    describe=_describe_queue,
    is_same=_is_same_queue,
)


@hookimpl
def register_sources(register: Callable[[SourceType], None]) -> None:
    """Register the embedded source types."""
    register(STREAM)
    register(QUEUE)
