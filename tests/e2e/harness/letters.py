"""What a node has written to a topic: the documents of records that it has given up."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Consumer, TopicPartition

WAIT_S = 20.0


@dataclass(frozen=True, slots=True)
class Letter:
    """One document, with the key and the headers that came with it."""

    key: bytes | None
    headers: dict[str, bytes | None]
    document: dict[str, Any]

    @property
    def condition(self) -> str:
        return str(self.document["requestContext"]["condition"])

    @property
    def count(self) -> int:
        """How often the record was tried, as the document says."""
        return int(self.document["requestContext"]["approximateInvokeCount"])

    @property
    def offset(self) -> int:
        """Which record it tells of; for documents from topic to topic, which tell of one each."""
        return int(self.document["KafkaBatchInfo"]["recordInfo"]["offset"])

    @property
    def partition(self) -> int:
        """Which partition that record is in."""
        return int(self.headers["penstock.partition"] or b"")


def letters(address: str, topic: str) -> list[Letter]:
    """Read every document that is on a topic now."""
    return [
        Letter(message.key(), dict(message.headers() or ()), json.loads(message.value()))
        for message in messages(address, topic)
    ]


def messages(address: str, topic: str) -> Iterator[Any]:
    """Read everything that is on a topic now, partition by partition."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reading-only", "enable.auto.commit": False})
    try:
        for number in consumer.list_topics(timeout=WAIT_S).topics[topic].partitions:
            first, end = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=WAIT_S)
            consumer.assign([TopicPartition(topic, number, first)])
            left = end - first
            while left:
                found: list[Any] = consumer.consume(min(left, 1000), WAIT_S)
                assert found, f"{left} records of {topic} did not come"
                assert all(message.error() is None for message in found)
                left -= len(found)
                yield from found
    finally:
        consumer.close()
