"""What tests do to a Kafka from outside, through its own client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # exported, but not by its types

from brokers.waiting import until

ANY_PARTITION = -1

# librdkafka writes what it thinks of a broken connection to stderr; a test that breaks one wants to read its own.
_SILENT = logging.getLogger("tests.librdkafka")
_SILENT.addHandler(logging.NullHandler())
_SILENT.propagate = False


@dataclass(frozen=True, slots=True)
class Produced:
    """A record to put on a topic; without a partition Kafka's partitioner chooses one by the key."""

    value: bytes | None
    key: bytes | None = None
    partition: int | None = None
    headers: Sequence[tuple[str, bytes | None]] = ()
    timestamp_ms: int = 0


def admin(address: str) -> AdminClient:
    return AdminClient({"bootstrap.servers": address}, logger=_SILENT)


def create_topic(address: str, name: str, *, partitions: int = 1, config: Mapping[str, str] | None = None) -> None:
    """Create a topic, and return when every partition of it has a leader."""
    client = admin(address)
    new = NewTopic(name, num_partitions=partitions, replication_factor=1, config=dict(config or {}))
    client.create_topics([new])[name].result(timeout=30)

    def led() -> bool:
        # All topics are listed: asking for one by its name could create it.
        found = client.list_topics(timeout=10).topics.get(name)
        return found is not None and sum(part.leader >= 0 for part in found.partitions.values()) == partitions

    until(led, what=f"topic {name} has a leader for each partition")


def delete_topics(address: str, names: Sequence[str]) -> None:
    """Delete topics; those that are gone already do not matter."""
    if not names:
        return
    client = admin(address)
    for deleted in client.delete_topics(list(names), operation_timeout=10).values():
        error = deleted.exception(timeout=30)
        if error is not None and error.args[0].code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise error


def topic_names(address: str) -> frozenset[str]:
    """List the topics of a broker; asking creates none."""
    return frozenset(admin(address).list_topics(timeout=10).topics)


def produce(
    address: str,
    topic: str,
    records: Iterable[bytes | Produced],
    *,
    config: Mapping[str, Any] | None = None,
) -> int:
    """Put records on a topic, return their number when the broker has acknowledged all of them."""
    producer = Producer(
        {"bootstrap.servers": address, "linger.ms": 5, "queue.buffering.max.messages": 1_000_000, **(config or {})},
        logger=_SILENT,
    )
    refused: list[KafkaError] = []

    def delivered(error: KafkaError | None, _message: object) -> None:
        if error is not None:
            refused.append(error)

    count = 0
    for record in records:
        count += 1
        _send(producer, topic, record if isinstance(record, Produced) else Produced(record), delivered)
    left = producer.flush(60)
    assert not refused, f"the broker refused {len(refused)} records, the first with: {refused[0]}"
    assert left == 0, f"{left} of {count} records were not acknowledged within 60 s"
    return count


def committed_offsets(address: str, group: str, topic: str) -> dict[int, tuple[int, str]]:
    """Return the offset and the metadata that a group has committed, for each partition that has any."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": group}, logger=_SILENT)
    try:
        partitions = consumer.list_topics(timeout=10).topics[topic].partitions
        answers = consumer.committed([TopicPartition(topic, number) for number in partitions], timeout=10)
    finally:
        consumer.close()
    return {answer.partition: (answer.offset, answer.metadata or "") for answer in answers if answer.offset >= 0}


def _send(
    producer: Producer, topic: str, record: Produced, delivered: Callable[[KafkaError | None, object], None]
) -> None:
    while True:
        try:
            producer.produce(
                topic,
                partition=ANY_PARTITION if record.partition is None else record.partition,
                value=record.value,
                key=record.key,
                headers=list(record.headers) or None,
                timestamp=record.timestamp_ms,
                on_delivery=delivered,
            )
        except BufferError:
            producer.poll(0.1)
        else:
            producer.poll(0)
            return
