"""What arrives together stays together."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from penstock_kafka.client import consume_together

pytestmark = pytest.mark.kafka

TOGETHER = 10
WAVES = 50


@pytest.fixture
def producer(kafka) -> Producer:
    # Longer than it takes to hand it everything, so that a flush sends all in one request.
    return Producer({"bootstrap.servers": kafka.address, "linger.ms": 60_000})


@pytest.fixture
def reading(kafka, topic, producer) -> Iterator[tuple[Consumer, str]]:
    name = topic()
    producer.list_topics(name, timeout=10)
    consumer = Consumer({"bootstrap.servers": kafka.address, "group.id": name})
    consumer.assign([TopicPartition(name, 0, 0)])
    yield consumer, name
    consumer.close()


def test_records_that_were_written_at_once_are_taken_at_once_also_by_one_who_waits_for_them(producer, reading):
    consumer, name = reading
    with ThreadPoolExecutor(1) as writer:
        for wave in range(WAVES):
            written = [b"%d-%d" % (wave, number) for number in range(TOGETHER)]
            for value in written:
                producer.produce(name, value)
            flushed = writer.submit(producer.flush, 30)

            taken = consume_together(consumer, 100, 30)

            assert [message.value() for message in taken] == written
            assert flushed.result() == 0
