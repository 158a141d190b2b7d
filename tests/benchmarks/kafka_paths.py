"""Kafka's three paths begin here: a filled topic, the raw client loop, and records for the bare pipeline."""

import time
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined] # not exported by its types
from pipeline import events_of_stream
from records import KEYS, value_of

from penstock.api import Record
from penstock.core.events import Origin

WAIT_S = 30.0

# What the plugin sets for its own consumer, so that all three paths have the same client.
CLIENT = {
    "enable.auto.commit": False,
    "enable.partition.eof": False,
    "auto.offset.reset": "error",
    "fetch.queue.backoff.ms": 2,
}


class KafkaBench:
    """A topic that is filled once and read by every round; it is deleted at the end."""

    event_format = "kafka"

    def __init__(self, bootstrap_servers: str, *, records: int, partitions: int) -> None:
        self.records = records
        self.topic = f"penstock-bench-{uuid4().hex[:8]}"
        self.dead_topic = f"{self.topic}-dead"
        """Where a mapping's failure documents may go."""
        self.partitions = partitions
        self.bootstrap_servers = bootstrap_servers
        self._admin = AdminClient({"bootstrap.servers": bootstrap_servers})

    def fill(self) -> None:
        """Create the topic and write every record: a key, a JSON value of 100 bytes, no headers."""
        topics = [
            NewTopic(self.topic, num_partitions=self.partitions, replication_factor=1),
            NewTopic(self.dead_topic, num_partitions=1, replication_factor=1),
        ]
        for made in self._admin.create_topics(topics).values():
            made.result()
        producer = Producer({"bootstrap.servers": self.bootstrap_servers, "linger.ms": 20, "batch.num.messages": 10000})
        for number in range(self.records):
            if number % 10_000 == 0:
                producer.poll(0)
            while True:
                try:
                    producer.produce(
                        self.topic, value_of(number), f"key-{number % KEYS}", partition=number % self.partitions
                    )
                    break
                except BufferError:
                    producer.poll(0.1)
        left = producer.flush(WAIT_S)
        if left:
            raise SystemExit(f"{left} records could not be written to {self.bootstrap_servers}")

    def close(self) -> None:
        for deleted in self._admin.delete_topics([self.topic, self.dead_topic]).values():
            deleted.result()

    def source(self) -> dict[str, Any]:
        """The `Sources` entry that a node reads the same topic with."""
        return {"Type": "kafka", "BootstrapServers": self.bootstrap_servers, "Topic": self.topic}

    def origin(self, shard: int) -> Origin:
        return Origin(
            source_arn="",
            region="us-east-1",
            topic=self.topic,
            partition=shard,
            bootstrap_servers=self.bootstrap_servers,
        )

    def events(self, batch_size: int) -> Iterator[bytes]:
        return events_of_stream(self, batch_size)

    def settle(self) -> None:
        """Do nothing: a position is not committed."""

    def read_raw(self) -> float:
        """Run the raw loop over every record, touching all its parts; returns the seconds from the first list on."""
        lists = self._lists()
        next_list = next(lists)
        begin_s = time.perf_counter()
        while next_list:
            for message in next_list:
                message.key(), message.value(), message.offset(), message.timestamp(), message.headers()
            next_list = next(lists, [])
        return time.perf_counter() - begin_s

    def shards(self) -> Iterator[tuple[int, list[Record]]]:
        """Read every record for the pipeline: (partition, records) in lists of whatever size the client gives."""
        for messages in self._lists():
            if self.partitions == 1:
                yield 0, [record_of(message) for message in messages]
                continue
            by_partition: dict[int, list[Record]] = {}
            for message in messages:
                by_partition.setdefault(message.partition(), []).append(record_of(message))
            yield from by_partition.items()

    def _lists(self) -> Iterator[list[Any]]:
        consumer = Consumer({**CLIENT, "bootstrap.servers": self.bootstrap_servers, "group.id": self.topic})
        consumer.assign([TopicPartition(self.topic, partition, 0) for partition in range(self.partitions)])
        left = self.records
        try:
            while left:
                # The types of the client say None where a record that came without an error has a value.
                messages: list[Any] = consumer.consume(min(1000, left), WAIT_S)
                if not messages:
                    raise SystemExit(f"{left} records of {self.topic} did not come within {WAIT_S:.0f} s")
                for message in messages:
                    if message.error():
                        raise SystemExit(f"reading {self.topic}: {message.error().str()}")
                left -= len(messages)
                yield messages
        finally:
            consumer.close()


def record_of(message: Any) -> Record:
    kind, timestamp_ms = message.timestamp()
    return Record(
        message.offset(),
        message.value(),
        message.key(),
        timestamp_ms,
        tuple(message.headers() or ()),
        "LOG_APPEND_TIME" if kind == TIMESTAMP_LOG_APPEND_TIME else "CREATE_TIME",
    )
