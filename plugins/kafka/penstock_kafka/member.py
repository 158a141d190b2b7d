"""A mapping's member of its consumer group, on a thread of its own that never stops polling.

The client admits one thread at a time, so everything that is asked of it is asked here: between two polls, or from
within the callback that waits for a revoked partition to be released. The loop hears of what happens by `tell`, and
of records by the buffers.
"""

import asyncio
import contextlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, TypeVar

from penstock.api import (
    AssignedShard,
    Checkpoint,
    ShardsLost,
    ShardsRevoked,
    SourceBroken,
    SourceError,
    SourceUnavailable,
)
from penstock_kafka.announcements import Announcements
from penstock_kafka.buffers import Buffers
from penstock_kafka.client import (
    Consumer,
    KafkaError,
    KafkaException,
    Received,
    TopicPartition,
    consume_together,
    new_consumer,
)
from penstock_kafka.codes import (
    ALL_BROKERS_DOWN,
    DENIED,
    FENCED,
    HINTS,
    MAX_POLL_EXCEEDED,
    PARTITION_EOF,
    TRIMMED,
    UNREACHED,
)
from penstock_kafka.commits import Commits, Pending, refusal
from penstock_kafka.decode import split
from penstock_kafka.desk import Desk
from penstock_kafka.doubt import Doubt
from penstock_kafka.errors import is_fenced, reason_of, source_error
from penstock_kafka.leaving import leave_group
from penstock_kafka.notes import encode
from penstock_kafka.positions import Positions

T = TypeVar("T")

LIST_RECORDS_MAX = 1000
HOLD_S = 1.0
"""How long a full buffer only holds back reading, before partitions are paused: a pause throws away what librdkafka
has fetched of them."""
FENCED_AGAIN_S = 30.0
WORD_S = 3.0
"""How long a member waits for a first word of its group before it asks whether it is in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberSettings:
    """What a member needs to know. `place` begins an error's sentence; `asking` configures a client that only asks.

    `still_ms` is how long this process may stand still and surely be a member of its group all the time.
    """

    topic: str
    place: str
    group: str
    config: dict[str, Any]
    asking: dict[str, Any]
    grace_ms: int
    still_ms: int


@dataclass(frozen=True, slots=True)
class Assigned:
    """Shards that are ours, and by partition the number of the assignment that made them so."""

    shards: tuple[AssignedShard, ...]
    epochs: dict[int, int]


@dataclass(frozen=True, slots=True)
class Trouble:
    """The brokers can not be reached, or refuse us, for now; the client goes on trying."""

    error: SourceError


NOTHING = Assigned((), {})

Event = Assigned | ShardsRevoked | ShardsLost | Trouble | BaseException


class FencedError(Exception):
    """The broker has taken another member for this one."""


class GroupMember:
    """The consumer and its thread. `tell` is called on the loop; when it is an exception, that is the last word."""

    def __init__(self, settings: MemberSettings, buffers: Buffers, *, tell: Callable[[Event], None]) -> None:
        """Make a member; `start` lets it join."""
        self.leaves = False
        """Whether the end is no restart: the static member's place in the group is given up then."""
        self._settings = settings
        self._topic = settings.topic
        self._buffers = buffers
        self._tell_loop = tell
        self._desk = Desk(settings.place, wake=buffers.wake)
        self._stopping = False
        self._finished = self._desk.future()
        self._thread = threading.Thread(target=self._run, name=f"kafka {settings.topic}", daemon=True)
        self._commits = Commits(settings.topic, settings.place, self._desk.settle)
        self._doubt = Doubt(still_max_s=settings.still_ms / 1000, group=settings.group, config=settings.asking)
        # All below belongs to the thread.
        self._positions = Positions(settings.topic, settings.place, buffers)
        self._numbers = itertools.count(1)
        self._epochs: dict[int, int] = {}
        self._unannounced = Announcements(settings.topic, settings.place)
        self._revoking: set[int] = set()
        self._released: set[int] = set()
        self._full_since_s: float | None = None
        self._active_s = time.monotonic()
        self._word_by_s = math.inf
        self._reason = ""
        self._was_lost = False
        self._again_from_s = 0.0
        self._fatal: SourceError | None = None

    def start(self) -> None:
        """Join the group."""
        self._thread.start()

    async def stop(self, timeout_s: float = 10.0) -> None:
        """Let go of everything and end the thread. A broker that does not answer is not waited for longer."""
        self._stopping = True
        self._buffers.wake()
        if self._thread.ident is not None:
            await asyncio.wait([self._finished], timeout=timeout_s)

    def holds(self, partition: int, epoch: int | None) -> bool:
        """Tell whether an assignment is surely not over. From any thread, at once."""
        # What the thread does not know yet it does not know because it stood still: so the doubt is looked at last.
        return epoch is not None and self._epochs.get(partition) == epoch and self._doubt.is_clear()

    async def call(self, ask: Callable[[Consumer], T]) -> T:
        """Ask the client something, on its thread. Raises the SourceError that fits what the client raised."""
        return await self._desk.call(ask)

    async def commit(self, partition: int, epoch: int, checkpoint: Checkpoint) -> None:
        """Commit for an assignment. Raises CommitRefused when that is over."""
        future = self._desk.future()

        def serve(consumer: Consumer | None) -> None:
            if consumer is None:
                self._desk.settle(future, self._desk.ended())
            elif self._epochs.get(partition) != epoch:
                self._desk.settle(future, refusal(self._topic, partition))
            else:
                metadata = encode(checkpoint.note, partitions_known=self._unannounced.partitions_known)
                self._commits.add(Pending(partition, checkpoint.position + 1, metadata, future, time.monotonic()))

        self._desk.ask(serve)
        await future

    def release(self, partitions: Collection[int]) -> None:
        """Hear that nobody works on these any more."""

        def serve(consumer: Consumer | None) -> None:
            self._released.update(partitions)
            for partition in partitions:
                if consumer is not None and partition in self._epochs and partition not in self._revoking:
                    self._buffers.add(partition)
                    self._positions.pause(consumer, [partition])

        with contextlib.suppress(SourceUnavailable):  # a thread that has ended holds nothing
            self._desk.ask(serve)

    # The thread.

    def _run(self) -> None:
        consumer: Consumer | None = None
        try:
            consumer = self._join()
            while not self._stopping:
                try:
                    self._turn(consumer)
                except FencedError:
                    consumer = self._join_again(consumer)
        except KafkaException as raised:
            self._tell(source_error(raised, self._settings.place))
        except Exception as error:  # noqa: BLE001 - the loop raises it where the engine sees it
            self._tell(error)
        finally:
            self._finish(consumer)

    def _join(self) -> Consumer:
        callbacks = {"error_cb": self._on_error, "on_commit": self._on_commit}
        consumer = new_consumer(self._settings.config | callbacks)
        if self._settings.config.get("group.protocol") == "consumer":
            # Under this protocol a member for which there is nothing is told nothing.
            self._word_by_s = time.monotonic() + WORD_S
        consumer.subscribe([self._topic], on_assign=self._on_assign, on_revoke=self._on_revoke, on_lost=self._on_lost)
        return consumer

    def _join_again(self, fenced: Consumer) -> Consumer:
        now_s = time.monotonic()
        if not self._was_lost or now_s < self._again_from_s:
            raise SourceBroken(f"{self._settings.place}: {HINTS[FENCED]}")
        # Not another node: a commit that librdkafka held back while the broker was gone, and sent when this member was
        # about to join anew, was taken for one.
        self._again_from_s = now_s + FENCED_AGAIN_S
        fenced.close()
        self._positions = Positions(self._topic, self._settings.place, self._buffers)
        return self._join()

    def _finish(self, consumer: Consumer | None) -> None:
        self._stopping = True
        self._desk.close()
        if consumer is not None:
            with contextlib.suppress(KafkaException, RuntimeError):  # what is broken can not be closed better
                if self.leaves and "group.instance.id" in self._settings.config:
                    leave_group(consumer)
                consumer.close()
        self._desk.answer_rest()
        self._commits.end(self._desk.ended())
        self._desk.settle(self._finished)

    def _turn(self, consumer: Consumer) -> None:
        now_s = time.monotonic()
        self._doubt.tick()
        if self._doubt.resolve(consumer.memberid) and not self._epochs:
            self._tell(NOTHING)
        if now_s > self._word_by_s:
            self._word_by_s = math.inf
            self._doubt.begin()
        if self._desk.serve(consumer):
            self._active_s = now_s
        if self._commits.busy and self._doubt.is_clear():
            self._commits.serve(consumer, now_s)
        if self._positions.follow(consumer):
            self._active_s = now_s
        self._positions.mend(consumer, now_s)
        if shards := self._unannounced.take(consumer, now_s):
            self._tell(Assigned(tuple(shards.values()), {number: self._epochs[number] for number in shards}))
        if self._is_held(consumer, now_s):
            return
        messages = consume_together(consumer, LIST_RECORDS_MAX, self._poll_s(now_s))
        if messages:
            self._take_in(consumer, messages)
        if self._fatal is not None:
            raise self._fatal

    def _poll_s(self, now_s: float) -> float:
        # Nothing wakes a poll but Kafka, so what the loop asks for waits this long: briefly while there is work, and an
        # idle mapping costs next to nothing.
        quiet_s = now_s - self._active_s
        if quiet_s < 2 or self._unannounced or self._commits.busy:
            return 0.01
        return 0.05 if quiet_s < 60 else 0.25

    def _take_in(self, consumer: Consumer, messages: list[Received]) -> None:
        self._active_s = time.monotonic()
        runs, others = split(messages)
        for partition, records, bytes_count in runs:
            _, high = consumer.get_watermark_offsets(TopicPartition(self._topic, partition), cached=True)
            self._buffers.put(partition, records, bytes_count, high)
        for message in others:
            self._hear(message)

    def _hear(self, message: Received) -> None:
        error, partition = message.error(), message.partition()
        if error is None or error.code() == PARTITION_EOF:
            self._buffers.end(partition, message.offset())
        elif error.code() in TRIMMED:
            self._positions.missed(partition)
        elif error.code() == MAX_POLL_EXCEEDED:
            pass  # the partitions are lost, and that is told of its own
        else:
            if is_fenced(error):
                raise FencedError
            found = source_error(error, self._settings.place)
            if not found.is_retryable:
                raise found
            self._tell(Trouble(found))

    def _on_error(self, error: KafkaError) -> None:
        if error.code() in DENIED:
            self._tell(Trouble(source_error(error, self._settings.place)))
        elif error.code() == ALL_BROKERS_DOWN:
            self._tell(
                Trouble(
                    SourceUnavailable(
                        f"{self._settings.place}: no broker answers ({self._reason or 'the connection was closed'})"
                    )
                )
            )
        elif error.code() in UNREACHED:
            self._reason = reason_of(error)
        elif error.fatal() and not is_fenced(error):  # of being fenced a message tells, too
            self._fatal = source_error(error, self._settings.place)

    def _is_held(self, consumer: Consumer, now_s: float) -> bool:
        if offsets := self._buffers.resume():
            for partition, offset in offsets.items():
                self._positions.go(consumer, partition, offset)
        if not self._buffers.overfull():
            self._full_since_s = None
            return False
        if self._full_since_s is None:
            self._full_since_s = now_s
        if now_s - self._full_since_s < HOLD_S:
            self._buffers.wait(0.05)
            return True
        self._full_since_s = None
        self._positions.pause(consumer, self._buffers.pause())
        return False

    # What the group decides; called from within a poll.

    def _on_assign(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._active_s = time.monotonic()
        self._word_by_s = math.inf
        if not partitions:
            if not self._epochs:
                # The group has more members than partitions: there is nothing to read, and that is known.
                self._tell(NOTHING)
            return
        for part in partitions:
            self._epochs[part.partition] = next(self._numbers)
            self._released.discard(part.partition)
            self._buffers.add(part.partition)
        self._unannounced.add(part.partition for part in partitions)
        self._was_lost = False
        # The group's word is taken; where to read is the engine's to say.
        consumer.incremental_assign([])

    def _on_revoke(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._active_s = time.monotonic()
        numbers = [part.partition for part in partitions]
        self._buffers.remove(numbers)
        known = [number for number in numbers if number not in self._unannounced]
        if known and not self._stopping:
            self._revoking.update(known)
            self._tell(ShardsRevoked(tuple(map(self._shard, known)), self._settings.grace_ms))
            self._wait_for_release(consumer, set(known))
        self._forget(numbers)
        if partitions:
            self._positions.leave(consumer, numbers)

    def _on_lost(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        numbers = [part.partition for part in partitions]
        known = [number for number in numbers if number not in self._unannounced]
        self._was_lost = True
        self._doubt.end()  # the group has spoken
        self._forget(numbers)
        self._buffers.remove(numbers)
        if known:
            self._tell(ShardsLost(tuple(map(self._shard, known))))
        if partitions:
            self._positions.leave(consumer, numbers)

    def _wait_for_release(self, consumer: Consumer, known: set[int]) -> None:
        deadline_s = time.monotonic() + self._settings.grace_ms / 1000 + 1
        while not self._stopping:
            self._doubt.tick()
            self._doubt.resolve(consumer.memberid)
            self._desk.serve(consumer)
            if self._doubt.is_clear():
                self._commits.serve_in_foreground(consumer, time.monotonic())
            if known <= self._released or time.monotonic() > deadline_s:
                return
            self._buffers.wait(0.05)

    def _forget(self, partitions: list[int]) -> None:
        for partition in partitions:
            self._epochs.pop(partition, None)
            self._released.discard(partition)
            self._revoking.discard(partition)
        self._unannounced.drop(partitions)
        self._commits.refuse(partitions)

    def _on_commit(self, error: KafkaError | None, partitions: list[TopicPartition]) -> None:
        self._commits.answered(error, partitions, time.monotonic())

    def _shard(self, number: int) -> str:
        return f"{self._topic}-{number}"

    def _tell(self, event: Event) -> None:
        self._desk.on_loop(self._tell_loop, event)
