"""The one door to confluent-kafka: its names as we use them, and a log that stays quiet.

The client's own types are partly missing or too wide; whoever imports from here is spared that.
"""

from collections.abc import Callable
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol, cast

from confluent_kafka import (
    TIMESTAMP_CREATE_TIME,
    TIMESTAMP_LOG_APPEND_TIME,
    TIMESTAMP_NOT_AVAILABLE,
    Consumer,
    IsolationLevel,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
    admin,
)
from confluent_kafka.admin import ConfigResource, NewTopic, OffsetSpec  # type: ignore[attr-defined] # not exported by its types

from penstock_kafka.quiet_log import QuietLog

if TYPE_CHECKING:
    import logging

__all__ = [
    "TIMESTAMP_CREATE_TIME",
    "TIMESTAMP_LOG_APPEND_TIME",
    "TIMESTAMP_NOT_AVAILABLE",
    "Admin",
    "Answer",
    "Consumer",
    "ErrorCallback",
    "KafkaError",
    "KafkaException",
    "Member",
    "Producer",
    "Received",
    "TopicPartition",
    "consume",
    "error_of",
    "may",
    "new_admin",
    "new_consumer",
    "new_producer",
]

ErrorCallback = Callable[[KafkaError], None]


class Answer(Protocol):
    """A future of the client's: what was asked for, or the exception, by a deadline."""

    def done(self) -> bool: ...
    def result(self, timeout: float | None = None) -> Any: ...


class Member(Protocol):
    """A member of a group, as the administration client describes it."""

    @property
    def member_id(self) -> str: ...
    @property
    def group_instance_id(self) -> str | None: ...
    @property
    def host(self) -> str: ...


class Received(Protocol):
    """A message as a consumer gives it: a record, or an `error` that says of a partition what came instead."""

    def error(self) -> KafkaError | None: ...
    def partition(self) -> int: ...
    def offset(self) -> int: ...
    def key(self) -> bytes | None: ...
    def value(self) -> bytes | None: ...
    def timestamp(self) -> tuple[int, int]: ...
    def headers(self) -> list[tuple[str, bytes | None]] | None: ...


_QUIET = cast("logging.Logger", QuietLog())


def new_consumer(config: dict[str, Any]) -> Consumer:
    """Make a consumer. Nothing is written to stderr."""
    return Consumer(config, logger=_QUIET)


def consume(consumer: Consumer, records_max: int, timeout_s: float) -> list[Received]:
    """Take what has arrived; wait for `records_max` of it, at most so long."""
    return cast("list[Received]", consumer.consume(records_max, timeout_s))


def consume_together(consumer: Consumer, records_max: int, timeout_s: float) -> list[Received]:
    """Take what has arrived; where nothing has, wait so long for the first record and take what arrived with it."""
    if arrived := consume(consumer, records_max, 0):
        return arrived
    # Waiting for more than one would last the whole time, and one alone would be a batch of its own.
    first = consume(consumer, 1, timeout_s)
    return first + consume(consumer, records_max - 1, 0) if first else first


def new_producer(config: dict[str, Any]) -> Producer:
    """Make a producer. Nothing is written to stderr."""
    return Producer(config, logger=_QUIET)


def new_admin(config: dict[str, Any]) -> "Admin":
    """Make an administration client. Nothing is written to stderr."""
    return Admin(config)


class Admin:
    """The few administrative questions we have, each answered by a future of the client's own."""

    def __init__(self, config: dict[str, Any]) -> None:
        """Take librdkafka's configuration. Connecting begins at once, in the background."""
        self._client = admin.AdminClient(config, logger=_QUIET)

    def serve(self) -> None:
        """Run the callbacks that are due."""
        self._client.poll(0)

    def describe_topic(self, topic: str, *, timeout_s: float) -> Answer:
        """Ask for a topic, its partitions and what we may do with it. Never creates it."""
        answers = self._client.describe_topics(
            TopicCollection([topic]), include_authorized_operations=True, request_timeout=timeout_s
        )
        return cast("Answer", answers[topic])

    def list_offset(self, part: TopicPartition, *, newest: bool, timeout_s: float) -> "Future[Any]":
        """Ask where a partition ends, as far as it is committed, or begins: an answer with an `offset`."""
        spec = OffsetSpec.latest() if newest else OffsetSpec.earliest()  # type: ignore[no-untyped-call] # no types
        answers = self._client.list_offsets(
            {part: spec}, isolation_level=IsolationLevel.READ_COMMITTED, request_timeout=timeout_s
        )
        return answers[part]

    def describe_group(self, group: str, *, timeout_s: float) -> Answer:
        """Ask for a consumer group and what we may do with it."""
        answers = self._client.describe_consumer_groups(
            [group], include_authorized_operations=True, request_timeout=timeout_s
        )
        return cast("Answer", answers[group])

    def describe_broker(self, broker: int, *, timeout_s: float) -> Answer:
        """Ask for a broker's configuration: a map of names to entries with a `value`."""
        resource = ConfigResource(ConfigResource.Type.BROKER, str(broker))
        return cast("Answer", self._client.describe_configs([resource], request_timeout=timeout_s)[resource])

    def create_topic(self, topic: str, *, partitions: int, replication: int, timeout_s: float) -> Answer:
        """Make a topic; -1 leaves a number to the broker."""
        new = NewTopic(topic, num_partitions=partitions, replication_factor=replication)
        return cast("Answer", self._client.create_topics([new], request_timeout=timeout_s)[topic])


def may(operations: Any, name: str) -> bool:
    """Tell whether an answer's authorized operations hold one; an old broker that gives none is taken to allow it."""
    return operations is None or any(operation.name == name for operation in operations)


def error_of(raised: KafkaException) -> KafkaError:
    """Get the error inside an exception of the client's."""
    return cast("KafkaError", raised.args[0])
