"""What the entry point names: the plugin's API version and the source types that it registers."""

from collections.abc import Callable, Mapping
from typing import Any

from penstock.api import (
    Destination,
    MappingContext,
    QueueCapabilities,
    QueueSource,
    SourceContext,
    SourceOperations,
    SourceType,
    hookimpl,
)
from penstock_redis.address import address_of
from penstock_redis.client import Client
from penstock_redis.destination import ListDestination, QueueDestination
from penstock_redis.entries import Reader
from penstock_redis.operations import ListOperations, QueueOperations
from penstock_redis.receiver import Receiver
from penstock_redis.server import Server
from penstock_redis.settings import (
    CONNECTION_SETTINGS,
    LIST_SETTINGS,
    QUEUE_SETTINGS,
    ListSettings,
    QueueSettings,
    check_list_settings,
    check_queue_settings,
)
from penstock_redis.shelf import list_shelf, stream_shelf
from penstock_redis.values import ValueReader

PENSTOCK_API_VERSION = 1


@hookimpl
def register_sources(register: Callable[[SourceType], None]) -> None:
    """Register the types of queue."""
    register(QUEUE)
    register(LIST)


def open_queue(source: SourceContext, mapping: MappingContext) -> QueueSource:
    """Make a mapping's receiver of a queue on a stream."""
    settings = QueueSettings.of(source)
    client = Client(settings.address, settings.place)
    return Receiver(
        Server(client),
        stream_shelf(client, settings),
        Reader(settings),
        node=mapping.node,
        lease_ms=mapping.lease_ms,
        is_fifo=settings.is_fifo,
    )


def open_queue_destination(source: SourceContext) -> Destination:
    """Make a writer of a queue on a stream."""
    return QueueDestination(source)


def operate_queue(source: SourceContext) -> SourceOperations:
    """Make what an operator needs of a queue on a stream."""
    return QueueOperations(source)


def open_list(source: SourceContext, mapping: MappingContext) -> QueueSource:
    """Make a mapping's receiver of a queue on a list."""
    settings = ListSettings.of(source)
    client = Client(settings.address, settings.place)
    return Receiver(
        Server(client),
        list_shelf(client, settings),
        ValueReader(),
        node=mapping.node,
        lease_ms=mapping.lease_ms,
        is_fifo=False,
    )


def open_list_destination(source: SourceContext) -> Destination:
    """Make a writer of a list."""
    return ListDestination(source)


def operate_list(source: SourceContext) -> SourceOperations:
    """Make what an operator needs of a list."""
    return ListOperations(source)


def describe(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Tell what an event says of where its messages come from."""
    return {"queue": settings["Key"]}


def is_same(one: SourceContext, other: SourceContext) -> bool:
    """Tell whether two sources are one key of one database, as far as their addresses tell."""
    return one.settings["Key"] == other.settings["Key"] and not _places(one).isdisjoint(_places(other))


def _places(source: SourceContext) -> frozenset[str]:
    places = address_of(source.settings).places
    return frozenset(place.replace("127.0.0.1", "localhost").replace("[::1]", "localhost") for place in places)


QUEUE = SourceType(
    name="redis-queue",
    kind="queue",
    doc="a stream of Redis or Valkey, read by a consumer group as a queue",
    capabilities=QueueCapabilities(delayed=True, grouped=True, exclusive=True, counted=True, leased=True),
    settings=QUEUE_SETTINGS,
    event_formats=("sqs",),
    connection_settings=CONNECTION_SETTINGS,
    check_settings=check_queue_settings,
    open_queue=open_queue,
    open_destination=open_queue_destination,
    operate=operate_queue,
    describe=describe,
    is_same=is_same,
)

LIST = SourceType(
    name="redis-list",
    kind="queue",
    doc="a list of Redis or Valkey, whose values are held until they are settled",
    capabilities=QueueCapabilities(delayed=True, counted=True, leased=True),
    settings=LIST_SETTINGS,
    event_formats=("sqs",),
    connection_settings=CONNECTION_SETTINGS,
    check_settings=check_list_settings,
    open_queue=open_list,
    open_destination=open_list_destination,
    operate=operate_list,
    describe=describe,
    is_same=is_same,
)
