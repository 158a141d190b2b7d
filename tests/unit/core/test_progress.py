from __future__ import annotations

from itertools import count

import pytest

from penstock.api import Checkpoint
from penstock.core.progress import ANSWER_MS, UNCOMMITTED_MAX, UNCOMMITTED_RECORDS_MAX, Progress


class Shard:
    """A progress with ids and time of its own."""

    def __init__(self, *, is_stored: bool = True) -> None:
        self.progress = Progress(Checkpoint(-1), is_stored=is_stored, back_off_ms=lambda tries: 100 * tries)
        self._ids = count(1)

    def next(self, now_ms: int = 0) -> tuple[int, Checkpoint] | None:
        return self.progress.next(now_ms, lambda: next(self._ids))

    def fail(self, commit_id: int, now_ms: int = 0, *, refused: bool = False) -> int | None:
        return self.progress.on_failed(commit_id, "away", refused=refused, now_ms=now_ms)


def test_a_stored_checkpoint_needs_no_commit():
    shard = Shard()

    assert shard.next() is None
    assert shard.progress.is_clean
    assert shard.progress.deadline_ms() is None


def test_a_start_that_was_only_resolved_is_committed_at_once():
    shard = Shard(is_stored=False)

    assert shard.next() == (1, Checkpoint(-1))
    shard.progress.on_committed(1)
    assert shard.progress.is_clean
    assert shard.next() is None


def test_commits_are_coalesced_one_in_flight_and_the_newest_next():
    shard = Shard()
    shard.progress.settle(4)
    assert shard.next() == (1, Checkpoint(4))

    for position in (7, 9, 12):
        shard.progress.settle(position)
        assert shard.next() is None

    shard.progress.on_committed(1)
    assert shard.progress.committed == Checkpoint(4)
    assert shard.next() == (2, Checkpoint(12))


def test_a_commit_without_an_answer_is_sent_again_with_what_is_newest():
    shard = Shard()
    shard.progress.settle(4)
    shard.next()
    shard.progress.settle(6)

    assert shard.progress.deadline_ms() == ANSWER_MS
    assert shard.next(ANSWER_MS - 1) is None
    assert shard.next(ANSWER_MS) == (2, Checkpoint(6))


def test_an_answer_that_comes_too_late_changes_nothing():
    shard = Shard()
    shard.progress.settle(4)
    shard.next()
    shard.next(ANSWER_MS)

    shard.progress.on_committed(1)
    assert shard.fail(1) is None

    assert shard.progress.committed == Checkpoint(-1)
    assert not shard.progress.is_clean


def test_a_failed_commit_is_tried_again_after_a_growing_wait():
    shard = Shard()
    shard.progress.settle(4)
    shard.next()

    assert shard.fail(1, now_ms=10) == 100
    assert shard.progress.deadline_ms() == 110
    assert shard.next(109) is None
    assert shard.next(110) == (2, Checkpoint(4))
    assert shard.fail(2, now_ms=110) == 200


def test_a_note_is_committed_at_the_position_before_its_batch():
    shard = Shard()
    shard.progress.settle(-1, '{"v":1}')

    assert shard.next() == (1, Checkpoint(-1, '{"v":1}'))
    shard.progress.settle(3)
    shard.progress.on_committed(1)
    assert shard.next() == (2, Checkpoint(3, ""))


def test_a_checkpoint_never_goes_back():
    shard = Shard()
    shard.progress.settle(4)

    with pytest.raises(AssertionError, match="never goes back"):
        shard.progress.settle(3)


def test_a_shard_that_is_refused_holds_until_a_commit_succeeds():
    shard = Shard()
    shard.progress.settle(4)
    shard.next()
    shard.fail(1, refused=True)
    assert shard.progress.must_hold

    shard.next(100)
    shard.progress.on_committed(2)

    assert not shard.progress.must_hold
    assert shard.progress.last_error == ""


def test_while_commits_fail_only_so_many_batches_may_be_settled():
    shard = Shard()
    for position in range(UNCOMMITTED_MAX):
        shard.progress.settle(position)
    assert not shard.progress.must_hold

    shard.next()
    shard.fail(1)

    assert shard.progress.must_hold


def test_commits_that_are_never_answered_hold_the_shard_too():
    shard = Shard()
    for position in range(UNCOMMITTED_MAX):
        shard.progress.settle(position)
    shard.next()
    assert not shard.progress.must_hold

    shard.next(ANSWER_MS)

    assert shard.progress.must_hold
    assert "not answered" in shard.progress.last_error


@pytest.mark.parametrize(
    ("batches", "records", "holds"),
    [
        (UNCOMMITTED_MAX, UNCOMMITTED_RECORDS_MAX // UNCOMMITTED_MAX, True),
        (UNCOMMITTED_MAX - 1, UNCOMMITTED_RECORDS_MAX, False),
        (UNCOMMITTED_RECORDS_MAX - 1, 1, False),
        (UNCOMMITTED_RECORDS_MAX, 1, True),
    ],
)
def test_what_a_slow_commit_keeps_waiting_is_bounded_in_batches_and_records(batches, records, holds):
    shard = Shard()
    shard.progress.settle(0, records=records)
    shard.next()
    for position in range(1, batches):
        shard.progress.settle(position, records=records)

    assert shard.progress.must_hold == holds
    shard.progress.on_committed(1)
    shard.next(1)
    shard.progress.on_committed(2)
    assert not shard.progress.must_hold
