"""Partitions that the group has given us and the engine has not heard of: telling of one takes what was committed.

All of it runs on the consumer's thread.
"""

from collections.abc import Iterable

from penstock.api import AssignedShard, Checkpoint
from penstock_kafka.client import Consumer, KafkaException
from penstock_kafka.errors import source_error
from penstock_kafka.notes import Committed, partitions_known, read_committed

ASK_TIMEOUT_S = 5.0
AGAIN_S = 0.5


class Announcements:
    """Keeps what is to be told, and asks the broker for what belongs to it."""

    def __init__(self, topic: str, place: str) -> None:
        """Tell of one topic's partitions. `place` begins an error's sentence."""
        self._topic = topic
        self._place = place
        self._due: set[int] = set()
        self._again_at_s = 0.0
        self.partitions_known = 0
        """How many partitions the mapping had found a place in, when it last looked."""

    def __bool__(self) -> bool:
        return bool(self._due)

    def __contains__(self, partition: int) -> bool:
        return partition in self._due

    def add(self, partitions: Iterable[int]) -> None:
        """Have these told of, soon."""
        self._due.update(partitions)
        self._again_at_s = 0.0

    def drop(self, partitions: Iterable[int]) -> None:
        """Have these told of no more."""
        self._due.difference_update(partitions)

    def take(self, consumer: Consumer, now_s: float) -> dict[int, AssignedShard]:
        """Give the shards to tell of now, by partition. Raises the SourceError that does not pass."""
        if not self._due or now_s < self._again_at_s:
            return {}
        try:
            committed, count = read_committed(consumer, self._topic, place=self._place, timeout_s=ASK_TIMEOUT_S)
        except KafkaException as raised:
            found = source_error(raised, self._place)
            if not found.is_retryable:
                raise found from None
            self._again_at_s = now_s + AGAIN_S
            return {}
        self.partitions_known = partitions_known(count, committed)
        shards = {number: self._shard(number, committed.get(number)) for number in sorted(self._due)}
        self._due.clear()
        return shards

    def _shard(self, number: int, committed: Committed | None) -> AssignedShard:
        name = f"{self._topic}-{number}"
        if committed is None:
            return AssignedShard(name, None, appeared_later=number >= self.partitions_known)
        return AssignedShard(name, Checkpoint(committed.position, committed.note))
