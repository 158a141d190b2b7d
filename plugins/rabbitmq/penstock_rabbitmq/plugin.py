"""What the entry point names: the plugin's API version and the source type that it registers."""

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
from penstock_rabbitmq.address import addresses_of
from penstock_rabbitmq.destination import RabbitDestination
from penstock_rabbitmq.operations import RabbitOperations
from penstock_rabbitmq.receiver import Receiver
from penstock_rabbitmq.settings import CONNECTION_SETTINGS, SETTINGS, Settings, check_settings

PENSTOCK_API_VERSION = 1


@hookimpl
def register_sources(register: Callable[[SourceType], None]) -> None:
    """Register the type of queue."""
    register(RABBITMQ)


def open_queue(source: SourceContext, mapping: MappingContext) -> QueueSource:
    """Make a mapping's receiver of a queue."""
    return Receiver(Settings.of(source), mapping)


def open_destination(source: SourceContext) -> Destination:
    """Make a writer of a queue."""
    return RabbitDestination(source)


def operate(source: SourceContext) -> SourceOperations:
    """Make what an operator needs of a queue."""
    return RabbitOperations(source)


def describe(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Tell what an event says of where its messages come from."""
    return {"queue": settings["Queue"], "virtualHost": addresses_of(settings)[0].virtual_host}


def is_same(one: SourceContext, other: SourceContext) -> bool:
    """Tell whether two sources are one queue, as far as their addresses tell."""
    return one.settings["Queue"] == other.settings["Queue"] and bool(_places(one) & _places(other))


def _places(source: SourceContext) -> set[str]:
    shown = {address.shown for address in addresses_of(source.settings)}
    return {each.replace("127.0.0.1", "localhost").replace("::1", "localhost") for each in shown}


RABBITMQ = SourceType(
    name="rabbitmq",
    kind="queue",
    doc="a classic or quorum queue of RabbitMQ",
    capabilities=QueueCapabilities(delayed=False, grouped=True, exclusive=True, counted=False, leased=False),
    settings=SETTINGS,
    event_formats=("sqs", "rmq"),
    connection_settings=CONNECTION_SETTINGS,
    check_settings=check_settings,
    open_queue=open_queue,
    open_destination=open_destination,
    operate=operate,
    describe=describe,
    is_same=is_same,
)
