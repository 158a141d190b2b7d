"""The metadata that goes with a committed offset: the engine's note under a marker and a version (`D48`).

What another client wrote there is not ours: the offset beside it counts, its metadata reads as no note, and our next
commit replaces it.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from penstock.api import NOTE_BYTES_MAX, SourceBroken
from penstock_kafka.client import Consumer, KafkaException, TopicPartition

VERSION = 1
_MARKER = "penstock:"

METADATA_BYTES_MAX = NOTE_BYTES_MAX + 32
"""What a broker must accept in an offset's metadata (`offset.metadata.max.bytes`)."""


@dataclass(frozen=True, slots=True)
class Committed:
    """What a group has committed for a partition.

    `position` is the last settled offset: Kafka's committed offset less one. `partitions_known` is how many partitions
    the mapping had found a place in when this was written; None where another client wrote it.
    """

    position: int
    note: str
    partitions_known: int | None


def encode(note: str, *, partitions_known: int) -> str:
    """Write the metadata of a commit."""
    return f"{_MARKER}{VERSION}:{partitions_known}:{note}"


def decode(offset: int, metadata: str | None, *, place: str) -> Committed:
    """Read a committed offset and its metadata. Raises SourceBroken for one that a newer Penstock wrote."""
    if not metadata or not metadata.startswith(_MARKER):
        return Committed(offset - 1, "", None)
    version, _, rest = metadata.removeprefix(_MARKER).partition(":")
    if not version.isdigit():
        return Committed(offset - 1, "", None)
    if int(version) > VERSION:
        raise SourceBroken(
            f"{place}: the committed offset has a note of version {version}, written by a newer Penstock; "
            f"this one reads versions up to {VERSION}"
        )
    known, _, note = rest.partition(":")
    return Committed(offset - 1, note, int(known) if known.isdigit() else None)


def partitions_known(count: int, committed: Mapping[int, Committed]) -> int:
    """Tell how many of a topic's partitions the mapping was already reading; those beyond appeared later (`D47`).

    A partition without a commit is not new by that alone: a group that starts has none, and one of its nodes may commit
    before another has looked. So every commit says how many partitions there were, and the number grows only when all
    of them have a commit.
    """
    if not committed or len(committed) >= count:
        return count
    newest = max(committed) + 1
    return min(newest if found.partitions_known is None else found.partitions_known for found in committed.values())


def read_committed(consumer: Consumer, topic: str, *, place: str, timeout_s: float) -> tuple[dict[int, Committed], int]:
    """Ask for what a consumer's group has committed for each partition of a topic, and how many there are."""
    found = consumer.list_topics(topic, timeout=timeout_s).topics[topic]
    if found.error is not None:
        raise KafkaException(found.error)
    asked = [TopicPartition(topic, number) for number in found.partitions]
    committed: dict[int, Committed] = {}
    for answer in consumer.committed(asked, timeout=timeout_s):
        if answer.error is not None:
            raise KafkaException(answer.error)
        if answer.offset >= 0:
            committed[answer.partition] = decode(answer.offset, _metadata(answer), place=place)
    return committed, len(asked)


def _metadata(answer: TopicPartition) -> str | None:
    try:
        return answer.metadata
    except UnicodeDecodeError:
        # The client reads metadata up to a zero byte. It ends its own commits with one and Java's has none, so that
        # whatever lies behind in memory comes with it. The start of it is another client's in any case.
        return None
