"""What an operator asks of a topic: is it there and ours to use, make it, show what is in it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

from penstock.api import Blocking, MappingContext, Message, Record, SourceContext, SourceMissing, Start
from penstock_kafka.client import Consumer, KafkaException, TopicPartition, consume, new_consumer
from penstock_kafka.codes import GROUP_DENIED, PARTITION_EOF, TRIMMED
from penstock_kafka.config import reading_config
from penstock_kafka.connection import Connection, place_of
from penstock_kafka.decode import split
from penstock_kafka.errors import source_error
from penstock_kafka.settings import group_id

_LIST_RECORDS_MAX = 500
_POLL_S = 0.1
_ASK_TIMEOUT_S = 8.0


class KafkaOperations:
    """`SourceOperations` of one topic. Looking needs no consumer group and leaves no trace."""

    def __init__(self, context: SourceContext) -> None:
        """Take the source; nothing is connected to before it is asked for."""
        self._project = context.project
        self._settings = context.settings
        self._topic: str = context.settings["Topic"]
        self._thread = Blocking(f"kafka {self._topic} operations")

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:
        group = None if mapping is None else group_id(self._project, mapping.mapping, mapping.settings)
        await self._thread.call(lambda: Connection(self._settings).check(read=not write, write=write, group=group))

    async def create(self) -> bool:
        return await self._thread.call(lambda: Connection(self._settings).create())

    async def peek(
        self, start: Start | int, *, limit: int | None, follow: bool
    ) -> AsyncIterator[tuple[str, Record] | Message]:
        if limit is not None and limit <= 0:
            return
        await self.check()
        window = await self._thread.call(_Window, self._settings, start)
        shown = 0
        try:
            while follow or not window.is_done:
                for shard, record in await self._thread.call(window.read):
                    yield shard, record
                    shown += 1
                    if limit is not None and shown >= limit:
                        return
        finally:
            await asyncio.shield(self._thread.call(window.close))

    async def show(self) -> Mapping[str, str]:
        await self.check()
        return await self._thread.call(_show, self._settings)

    async def close(self) -> None:
        await self._thread.close()


def _show(settings: Mapping[str, Any]) -> dict[str, str]:
    topic: str = settings["Topic"]
    consumer = new_consumer(reading_config(settings, group="penstock-show"))
    try:
        cluster = consumer.list_topics(topic, timeout=_ASK_TIMEOUT_S)
        parts = cluster.topics[topic].partitions
        found = {
            "cluster": str(cluster.cluster_id),
            "brokers": str(len(cluster.brokers)),
            "partitions": str(len(parts)),
            "copies": str(min((len(part.replicas) for part in parts.values()), default=0)),
        }
        for number in sorted(parts):
            low, high = consumer.get_watermark_offsets(TopicPartition(topic, number), timeout=_ASK_TIMEOUT_S)
            found[f"{topic}-{number}"] = "empty" if low == high else f"offsets {low} to {high - 1}"
    except KafkaException as raised:
        raise source_error(raised, place_of(settings)) from None
    finally:
        consumer.close()
    return found


class _Window:
    """A consumer outside any group that reads all partitions from a start. Blocking."""

    def __init__(self, settings: Mapping[str, Any], start: Start | int) -> None:
        self._topic: str = settings["Topic"]
        self._place = place_of(settings)
        # librdkafka wants a group's name; none is joined, and nothing is committed.
        self._consumer = new_consumer(reading_config(settings, group="penstock-peek"))
        try:
            offsets = self._offsets(self._consumer, start)
            self._consumer.assign([TopicPartition(self._topic, *offset) for offset in offsets.items()])
        except KafkaException as raised:
            self._consumer.close()
            raise source_error(raised, self._place) from None
        self._unfinished = set(offsets)

    @property
    def is_done(self) -> bool:
        """Whether every partition was read to its end at least once."""
        return not self._unfinished

    def read(self) -> list[tuple[str, Record]]:
        """Give what came next, perhaps nothing."""
        messages = consume(self._consumer, _LIST_RECORDS_MAX, _POLL_S)
        runs, others = split(messages)
        for message in others:
            error = message.error()
            if error is None or error.code() == PARTITION_EOF:
                self._unfinished.discard(message.partition())
            elif error.code() in TRIMMED:
                self._from_oldest(message.partition())
            elif error.code() == GROUP_DENIED:
                continue  # librdkafka asks for the group's coordinator whether it is needed or not
            elif not (found := source_error(error, self._place)).is_retryable:
                raise found
        return [(f"{self._topic}-{partition}", record) for partition, records, _ in runs for record in records]

    def close(self) -> None:
        """Let go of the consumer."""
        self._consumer.close()

    def _offsets(self, consumer: Consumer, start: Start | int) -> dict[int, int]:
        found = consumer.list_topics(self._topic, timeout=_ASK_TIMEOUT_S).topics[self._topic]
        if found.error is not None:
            raise KafkaException(found.error)
        if not found.partitions:
            raise SourceMissing(f"{self._place}: it has no partitions")
        numbers = sorted(found.partitions)
        if isinstance(start, Start) and start.position == "AT_TIMESTAMP":
            asked = [TopicPartition(self._topic, number, start.timestamp_ms or 0) for number in numbers]
            answers = consumer.offsets_for_times(asked, timeout=_ASK_TIMEOUT_S)
            times = {answer.partition: answer.offset for answer in answers}
        offsets = {}
        for number in numbers:
            low, high = consumer.get_watermark_offsets(TopicPartition(self._topic, number), timeout=_ASK_TIMEOUT_S)
            if isinstance(start, int):
                offsets[number] = min(max(start, low), high)
            elif start.position == "AT_TIMESTAMP":
                offsets[number] = times[number] if times[number] >= 0 else high
            else:
                offsets[number] = low if start.position == "TRIM_HORIZON" else high
        return offsets

    def _from_oldest(self, partition: int) -> None:
        part = TopicPartition(self._topic, partition)
        low, _ = self._consumer.get_watermark_offsets(part, timeout=_ASK_TIMEOUT_S)
        self._consumer.incremental_unassign([part])
        self._consumer.incremental_assign([TopicPartition(self._topic, partition, low)])
