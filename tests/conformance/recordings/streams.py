"""The streams that cases run on, one for each: embedded in a file, or topics of a Kafka in the layout `kinesis`."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any, Protocol, TypeVar

from confluent_kafka import KafkaError, Producer

from brokers import create_topic
from brokers.clients import delete_topics
from conformance.recordings.inputs import Put
from penstock.api import Outgoing
from penstock.embedded.commits import Transaction
from penstock.embedded.file import SourceFile
from penstock.embedded.streams import append_records, create_stream, find_stream

Answer = TypeVar("Answer")

LINGER_MS = 60_000
"""Longer than it takes to hand a wave to the producer, which so sends it in one request when it is flushed."""
ANSWER_S = 30.0


class Streams(Protocol):
    """Where the streams of all cases are."""

    def source(self, name: str, shards: int) -> dict[str, Any]:
        """Make a stream, and give the settings of a source that reads it."""

    def put(self, name: str, records: Sequence[Put]) -> None:
        """Put records in order; those of one age at once."""

    def close(self) -> None:
        """Delete what was made."""


class EmbeddedStreams:
    """Streams of one file."""

    def __init__(self, folder: Path) -> None:
        self._path = folder / "streams.db"

    def source(self, name: str, shards: int) -> dict[str, Any]:
        write(self._path, partial(create_stream, name=name, shards_count=shards))
        return {"Type": "sqlite-stream", "Path": str(self._path), "Stream": name}

    def put(self, name: str, records: Sequence[Put]) -> None:
        for age_s, some in groupby(records, key=lambda put: put.age_s):
            outgoing = [Outgoing(put.data, put.key.encode()) for put in some]
            write(self._path, partial(_append_aged, name=name, records=outgoing, age_s=age_s))

    def close(self) -> None:
        """They are in the test's own folder."""


class KafkaStreams:
    """Topics of a broker."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._topics: dict[str, str] = {}
        self._producer = Producer({"bootstrap.servers": address, "linger.ms": LINGER_MS})

    def source(self, name: str, shards: int) -> dict[str, Any]:
        topic = self._topics[name] = f"{name}-{uuid.uuid4().hex[:12]}"
        create_topic(self._address, topic, partitions=shards)
        # The producer has to know the topic before it has records for it: else it sends them as it finds their leader.
        self._producer.list_topics(topic, timeout=ANSWER_S)
        return {"Type": "kafka", "BootstrapServers": self._address, "Topic": topic}

    def put(self, name: str, records: Sequence[Put]) -> None:
        refused: list[KafkaError] = []
        now_s = time.time()
        for record in records:
            self._producer.produce(
                self._topics[name],
                record.data,
                record.key.encode(),
                timestamp=round((now_s - record.age_s) * 1000),
                on_delivery=lambda error, _: None if error is None else refused.append(error),
            )
        left = self._producer.flush(ANSWER_S)
        assert not refused, f"the broker refused {len(refused)} records: {refused[0]}"
        assert left == 0, f"{left} of {len(records)} records were not acknowledged within {ANSWER_S:g} s"

    def close(self) -> None:
        delete_topics(self._address, list(self._topics.values()))


def write(path: Path, work: Callable[[Transaction], Answer]) -> Answer:
    """Do something in one transaction of an embedded file, which is made where it is not there."""

    async def run() -> Answer:
        file = await SourceFile.acquire(path, create=True)
        try:
            return await file.write(work)
        finally:
            await file.release()

    return asyncio.run(run())


def _append_aged(transaction: Transaction, *, name: str, records: Sequence[Outgoing], age_s: float) -> None:
    """Write records as if it was so long ago."""
    stream = find_stream(transaction.connection, name)
    assert stream is not None
    transaction.now_ms -= round(age_s * 1000)
    append_records(transaction, stream, records)
