"""What is written beside a committed offset."""

from __future__ import annotations

import pytest

from penstock.api import SourceBroken
from penstock_kafka.notes import METADATA_BYTES_MAX, Committed, decode, encode, partitions_known


@pytest.mark.parametrize("note", ["", "v1;a=2", "with:colons:", "~" * 1024])
def test_a_note_comes_back(note: str) -> None:
    metadata = encode(note, partitions_known=100_000)
    assert len(metadata) <= METADATA_BYTES_MAX
    assert decode(8, metadata, place="here") == Committed(7, note, 100_000)


@pytest.mark.parametrize("metadata", [None, "", "of a Java client", "penstock", "penstock:x:1:note"])
def test_what_is_not_ours_is_no_note(metadata: str | None) -> None:
    assert decode(8, metadata, place="here") == Committed(7, "", None)


def test_a_note_of_a_newer_version_is_refused_with_both_numbers() -> None:
    with pytest.raises(SourceBroken, match="version 2, written by a newer Penstock; this one reads versions up to 1"):
        decode(8, "penstock:2:anything", place="here")


def ours(known: int) -> Committed:
    return Committed(0, "", known)


FOREIGN = Committed(0, "", None)


@pytest.mark.parametrize(
    ("count", "committed", "known"),
    [
        (4, {}, 4),  # the group is new: all partitions were there
        (4, {0: ours(4)}, 4),  # one node was quicker than the others
        (6, {0: ours(4), 1: ours(4), 2: ours(4), 3: ours(4)}, 4),  # 4 and 5 came later
        (6, {0: ours(4), 1: ours(4), 2: ours(4), 3: ours(4), 4: ours(4)}, 4),  # and one of them has a commit
        (6, dict.fromkeys(range(6), ours(4)), 6),  # all have: from now on six are known
        (8, dict.fromkeys(range(6), ours(4)) | {0: ours(6)}, 4),  # before all have said so, the topic grew again
        (3, {0: FOREIGN, 1: FOREIGN}, 2),  # another client's group
    ],
)
def test_partitions_are_known_when_all_of_them_have_a_commit(
    count: int, committed: dict[int, Committed], known: int
) -> None:
    assert partitions_known(count, committed) == known
