"""Where the consumer stands in each partition: it goes where the engine wants to read, and on where records are gone.

A partition that is ours is not read before the engine has said from where: one that stood still elsewhere meanwhile
would take librdkafka up to a second to get going, or go where an answer that comes late wants it.

All of it runs on the consumer's thread.
"""

from collections.abc import Iterable

from penstock.api import SourceBroken
from penstock_kafka.buffers import Buffers
from penstock_kafka.client import Consumer, KafkaException, TopicPartition, error_of
from penstock_kafka.codes import WRONG_STATE

AGAIN_S = 0.5
ASK_TIMEOUT_S = 5.0


class Positions:
    """Moves a consumer through one topic's partitions."""

    def __init__(self, topic: str, place: str, buffers: Buffers) -> None:
        """Follow what is asked of the buffers. `place` begins an error's sentence."""
        self._topic = topic
        self._place = place
        self._buffers = buffers
        self._begun: set[int] = set()
        self._missed: dict[int, float] = {}

    def follow(self, consumer: Consumer) -> bool:
        """Go to the positions that were asked for; True if there were any."""
        moves = self._buffers.moves()
        for partition, offset in moves.items():
            self.go(consumer, partition, offset)
            self._buffers.moved(partition, offset)
        return bool(moves)

    def go(self, consumer: Consumer, partition: int, offset: int) -> None:
        """Read a partition from an offset on, whether it was paused, read elsewhere or not read at all."""
        place = TopicPartition(self._topic, partition, offset)
        if partition not in self._begun:
            self._begun.add(partition)
            consumer.incremental_assign([place])
            return
        # Resumed first: a seek wakes the fetcher at once, a resume after it leaves it asleep for up to a second.
        consumer.resume([place])
        try:
            consumer.seek(place)
        except KafkaException as raised:
            if error_of(raised).code() != WRONG_STATE:
                raise
            # Not started yet, or ended by an offset that is not there: begin it anew.
            consumer.incremental_unassign([place])
            consumer.incremental_assign([place])

    def pause(self, consumer: Consumer, partitions: Iterable[int]) -> None:
        """Let partitions that are read stand still, until `go`."""
        if begun := self._places(partitions):
            consumer.pause(begun)

    def leave(self, consumer: Consumer, partitions: Iterable[int]) -> None:
        """Read partitions no more, of which the group has been told that they are let go of by this call."""
        begun = self._places(partitions)
        self._begun.difference_update(part.partition for part in begun)
        for part in begun:
            self._missed.pop(part.partition, None)
        consumer.incremental_unassign(begun)

    def _places(self, partitions: Iterable[int]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, partition) for partition in partitions if partition in self._begun]

    def missed(self, partition: int) -> None:
        """Hear that the broker has nothing at the offset that was to be read."""
        self._missed[partition] = 0.0

    def mend(self, consumer: Consumer, now_s: float) -> None:
        """Go on at the oldest record where the wanted one is gone (`D9`)."""
        for partition, due_s in list(self._missed.items()):
            if now_s < due_s:
                continue
            offset = self._buffers.next_offset(partition)
            del self._missed[partition]
            if offset is None:
                continue
            try:
                low, high = consumer.get_watermark_offsets(
                    TopicPartition(self._topic, partition), timeout=ASK_TIMEOUT_S
                )
            except KafkaException:
                self._missed[partition] = now_s + AGAIN_S
            else:
                self._go_on(consumer, partition, offset, low, high)

    def _go_on(self, consumer: Consumer, partition: int, offset: int, low: int, high: int) -> None:
        if offset > high:
            raise SourceBroken(
                f"{self._place}: shard '{self._topic}-{partition}' ends at offset {high}, before the position {offset} "
                f"that was reached; it was truncated or made anew. Move the position, or delete the group's offsets"
            )
        if offset < low:
            self._buffers.skip(partition, low)
        self.go(consumer, partition, max(offset, low))
