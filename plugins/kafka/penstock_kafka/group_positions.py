"""The offsets that a group has committed, looked at and moved from outside the group."""

import time
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from penstock.api import Blocking, Checkpoint, SourceMissing, Start, StillRead
from penstock_kafka.client import Consumer, KafkaException, TopicPartition, error_of, new_consumer
from penstock_kafka.codes import NOT_READY, NOT_THE_MEMBER
from penstock_kafka.config import reading_config
from penstock_kafka.connection import AGAIN_S, Connection
from penstock_kafka.errors import source_error
from penstock_kafka.notes import encode, partitions_known, read_committed
from penstock_kafka.starts import position_before

T = TypeVar("T")

ASK_TIMEOUT_S = 8.0
OWN_SESSION_S = 30.0
"""How long to wait for what a killed run of this very node left in the group; longer sessions are refused."""
_LOOK_S = 0.25


class GroupPositions:
    """`penstock.api.Positions` of one topic and one group.

    The broker takes offsets from outside a group for as long as the group has no member. So a node that joins between
    our look and our commit is not overtaken: the commit is refused.
    """

    def __init__(self, settings: Mapping[str, Any], *, group: str, instance: str) -> None:
        """Take the source's settings, the group, and this node's static id in it. Nothing is connected to yet."""
        self._settings = settings
        self._topic: str = settings["Topic"]
        self._group = group
        self._instance = instance
        self._thread = Blocking(f"kafka {self._topic} positions")
        # All below belongs to the thread.
        self._connection: Connection | None = None
        self._consumer: Consumer | None = None

    async def committed(self) -> Mapping[str, Checkpoint | None]:
        return await self._thread.call(self._ask, self._committed)

    async def resolve(self, shard: str, start: Start) -> int:
        partition = self._partition(shard)

        def resolve(consumer: Consumer) -> int:
            return position_before(consumer, self._topic, partition, start, timeout_s=ASK_TIMEOUT_S)

        return await self._thread.call(self._ask, resolve)

    async def write(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        by_partition = {self._partition(shard): checkpoint for shard, checkpoint in checkpoints.items()}
        await self._thread.call(self._ask, lambda consumer: self._write(consumer, by_partition))

    async def close(self) -> None:
        await self._thread.call(self._close)
        await self._thread.close()

    def _partition(self, shard: str) -> int:
        topic, _, number = shard.rpartition("-")
        if topic != self._topic or not number.isdecimal():
            raise SourceMissing(f"there is no shard {shard!r}; those of this topic are called '{self._topic}-NUMBER'")
        return int(number)

    # On the thread.

    def _ask(self, ask: Callable[[Consumer], T]) -> T:
        connection = self._connection
        if connection is None:
            connection = Connection(self._settings)
            # It says in one sentence what is wrong, where a consumer would only wait for an answer.
            connection.check(read=True, group=self._group)
            self._connection = connection
        try:
            if self._consumer is None:
                self._consumer = new_consumer(reading_config(self._settings, group=self._group))
            return _once_ready(lambda: ask(self._the_consumer()))
        except KafkaException as raised:
            raise source_error(raised, connection.place) from None

    def _the_consumer(self) -> Consumer:
        assert self._consumer is not None
        return self._consumer

    def _the_connection(self) -> Connection:
        assert self._connection is not None
        return self._connection

    def _committed(self, consumer: Consumer) -> dict[str, Checkpoint | None]:
        place = self._the_connection().place
        found, count = read_committed(consumer, self._topic, place=place, timeout_s=ASK_TIMEOUT_S)
        return {
            f"{self._topic}-{number}": Checkpoint(found[number].position, found[number].note)
            if number in found
            else None
            for number in range(count)
        }

    def _write(self, consumer: Consumer, checkpoints: Mapping[int, Checkpoint]) -> None:
        self._wait_until_free()
        place = self._the_connection().place
        before, count = read_committed(consumer, self._topic, place=place, timeout_s=ASK_TIMEOUT_S)
        # What is moved must not make a partition old that nobody has found a place in yet (D47).
        known = partitions_known(count, before)
        offsets = [
            TopicPartition(self._topic, number, each.position + 1, encode(each.note, partitions_known=known))
            for number, each in checkpoints.items()
        ]
        try:
            answers = consumer.commit(offsets=offsets, asynchronous=False) or []
        except KafkaException as raised:
            if error_of(raised).code() not in NOT_THE_MEMBER:
                raise
            raise self._still_read("it was joined at this moment") from None
        for answer in answers:
            if answer.error is not None and answer.error.code() in NOT_THE_MEMBER:
                raise self._still_read("it was joined at this moment")
            if answer.error is not None:
                raise KafkaException(answer.error)

    def _wait_until_free(self) -> None:
        deadline_s = time.monotonic() + OWN_SESSION_S
        while members := self._the_connection().members(self._group):
            others = [member for member in members if member.group_instance_id != self._instance]
            if others:
                raise self._still_read(
                    ", ".join(f"{each.group_instance_id or each.member_id} on {each.host}" for each in others)
                )
            # This node's own, from before it was killed: the mapping is disabled here, so nobody speaks for it.
            if time.monotonic() > deadline_s:
                raise self._still_read("this node's own session from before it was killed has not ended yet")
            time.sleep(_LOOK_S)

    def _still_read(self, who: str) -> StillRead:
        return StillRead(
            f"the consumer group {self._group!r} still has members ({who}): another node reads it; disable the "
            "mapping there too, or wait for the session of one that was stopped to end"
        )

    def _close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()


def _once_ready(ask: Callable[[], T]) -> T:
    """Ask again while the broker finds out who coordinates the group."""
    deadline_s = time.monotonic() + ASK_TIMEOUT_S
    while True:
        try:
            return ask()
        except KafkaException as raised:
            if error_of(raised).code() not in NOT_READY or time.monotonic() > deadline_s:
                raise
        time.sleep(AGAIN_S)
