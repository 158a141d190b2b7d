"""Commits on their way to the broker: one call at a time for all that wait, each answered, none of a past assignment.

All of it runs on the consumer's thread. While a revocation is being waited out the client's callbacks can not run, so
commits are then made in the foreground.
"""

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

from penstock.api import CommitRefused, SourceError, SourceUnavailable
from penstock_kafka.client import Consumer, KafkaError, KafkaException, TopicPartition, error_of
from penstock_kafka.codes import COMMIT_AGAIN, TIMED_OUT
from penstock_kafka.errors import source_error

PACE_S = 0.005
"""The least time between two calls to the broker: a busy mapping's commits share one."""

AGAIN_S = 0.1
PATIENCE_S = 10.0
UNANSWERED_S = 30.0

Settle = Callable[["asyncio.Future[None]", SourceError | None], None]


@dataclass(slots=True)
class Pending:
    """A commit that waits for its answer. `offset` is Kafka's: the one to read next."""

    partition: int
    offset: int
    metadata: str
    future: "asyncio.Future[None]"
    since_s: float
    not_before_s: float = 0.0


class Commits:
    """What waits to be committed, and what was sent."""

    def __init__(self, topic: str, place: str, settle: Settle) -> None:
        """Commit for one topic; `settle` answers a future on its own loop."""
        self._topic = topic
        self._place = place
        self._settle = settle
        self._waiting: dict[int, Pending] = {}
        self._sent: dict[int, Pending] = {}
        self._next_call_s = 0.0
        self._sent_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether anything waits or is unanswered."""
        return bool(self._waiting or self._sent)

    def add(self, pending: Pending) -> None:
        """Take a commit in."""
        earlier = self._waiting.pop(pending.partition, None)
        if earlier is not None:  # the engine gave up waiting for it
            self._settle(earlier.future, SourceUnavailable(f"{self._place}: overtaken by a later commit"))
        self._waiting[pending.partition] = pending

    def refuse(self, partitions: Iterable[int]) -> None:
        """Answer the commits of partitions that are ours no more. What the broker may still say of them is ignored."""
        for partition in partitions:
            for commits in (self._waiting, self._sent):
                pending = commits.pop(partition, None)
                if pending is not None:
                    self._settle(pending.future, refusal(self._topic, partition))

    def end(self, error: SourceError) -> None:
        """Answer everything with an error."""
        for commits in (self._waiting, self._sent):
            for pending in commits.values():
                self._settle(pending.future, error)
            commits.clear()

    def serve(self, consumer: Consumer, now_s: float) -> None:
        """Send what waits, if nothing is unanswered. The answer comes to `answered`."""
        if self._sent:
            if now_s - self._sent_s > UNANSWERED_S:
                self._conclude(dict.fromkeys(self._sent, KafkaError(TIMED_OUT)), now_s)
            return
        if not self._waiting or now_s < self._next_call_s:
            return
        due = [pending for pending in self._waiting.values() if pending.not_before_s <= now_s]
        if not due:
            return
        for pending in due:
            self._sent[pending.partition] = self._waiting.pop(pending.partition)
        self._next_call_s, self._sent_s = now_s + PACE_S, now_s
        try:
            consumer.commit(offsets=self._offsets(due), asynchronous=True)
        except KafkaException as raised:
            self._conclude(dict.fromkeys(self._sent, error_of(raised)), now_s)

    def serve_in_foreground(self, consumer: Consumer, now_s: float) -> None:
        """Send what waits and, once more, what is unanswered; return when the broker has answered."""
        self._sent.update(
            {
                partition: self._waiting.pop(partition)
                for partition, pending in list(self._waiting.items())
                if pending.not_before_s <= now_s
            }
        )
        if not self._sent:
            return
        try:
            answers = consumer.commit(offsets=self._offsets(self._sent.values()), asynchronous=False) or []
        except KafkaException as raised:
            self._conclude(dict.fromkeys(self._sent, error_of(raised)), now_s)
            return
        self._conclude({answer.partition: answer.error for answer in answers}, now_s)

    def answered(self, error: KafkaError | None, partitions: list[TopicPartition], now_s: float) -> None:
        """Hear the broker's answer to a call. One that was concluded otherwise meanwhile is passed over."""
        self._conclude(
            {
                part.partition: part.error or error
                for part in partitions
                if part.partition in self._sent and self._sent[part.partition].offset == part.offset
            },
            now_s,
        )

    def _offsets(self, commits: Iterable[Pending]) -> list[TopicPartition]:
        return [TopicPartition(self._topic, one.partition, one.offset, one.metadata) for one in commits]

    def _conclude(self, errors: Mapping[int, KafkaError | None], now_s: float) -> None:
        for partition, error in errors.items():
            pending = self._sent.pop(partition, None)
            if pending is None:
                continue
            if error is None:
                self._settle(pending.future, None)
            elif error.code() in COMMIT_AGAIN and now_s - pending.since_s < PATIENCE_S:
                # Whether the partition is still ours is not the broker's to say: an assignment that is over reaches
                # us as a revocation or a loss, and then the commit is refused.
                pending.not_before_s = now_s + AGAIN_S
                self._waiting.setdefault(partition, pending)
            else:
                self._settle(pending.future, source_error(error, f"the commit of {self._place}"))


def refusal(topic: str, partition: int) -> CommitRefused:
    """Make the error for a commit that came too late."""
    return CommitRefused(f"shard '{topic}-{partition}' is no longer ours; nothing was committed")
