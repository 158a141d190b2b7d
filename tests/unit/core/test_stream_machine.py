from __future__ import annotations

from dataclasses import replace

import pytest

from penstock.api import Checkpoint, Fetched, Gap, NotRun, Start
from penstock.core import commands as do
from penstock.core import facts, note, reports
from penstock.core.lane import CANCEL_ANSWER_MS, INVOKE_SLACK_MS
from penstock.core.progress import ANSWER_MS, UNCOMMITTED_MAX
from penstock.core.reading import FETCH_ANSWER_MS
from penstock.core.settings import StreamSettings
from penstock.core.shard import QUIET_MS
from unit.core.driving import FAILED, NOT_RUN, RETURNED, DrivenStream, kinds, positions, record


def settings_with(shard: DrivenStream, **changed: object) -> StreamSettings:
    return replace(shard.settings, **changed)


TRIED_ONCE = '{"v":1,"a":1,"e":4}'


# How it begins.


@pytest.mark.parametrize("start", [Start("TRIM_HORIZON"), Start("LATEST"), Start("AT_TIMESTAMP", 1_700_000_000_000)])
def test_a_shard_without_a_checkpoint_begins_where_the_mapping_says_and_commits_that_at_once(start: Start):
    shard = DrivenStream(checkpoint=None, start=start)
    assert shard.last(do.Resolve).start == start
    assert shard.machine.view().state == "starting"

    shard.tell(facts.Resolved(shard.last(do.Resolve).id, 41))

    assert shard.last(do.Commit).checkpoint == Checkpoint(41)
    assert shard.last(do.Fetch).after == 41
    assert not shard.machine.view().is_anchored
    shard.commit()
    assert shard.machine.view().is_anchored


def tried_once(position: int, *, end: int) -> note.Note:
    return note.Note((note.LaneNote(position, attempts_ended=1, ends=(end,)),))


def test_a_shard_that_appeared_later_begins_at_its_oldest_record():
    shard = DrivenStream(checkpoint=None, start=Start("LATEST"), appeared_later=True)

    assert shard.last(do.Resolve).start == Start("TRIM_HORIZON")


def test_a_checkpoint_wins_over_the_starting_position_and_is_not_committed_again():
    shard = DrivenStream(checkpoint=Checkpoint(7), start=Start("LATEST"))

    assert shard.count(do.Resolve) == 0
    assert shard.count(do.Commit) == 0
    assert shard.last(do.Fetch).after == 7
    assert shard.reports(reports.Started) == [reports.Started(7, "CHECKPOINT")]


def test_a_start_that_can_not_be_found_is_asked_for_again():
    shard = DrivenStream(checkpoint=None)
    shard.tell(facts.SourceFailed(shard.last(do.Resolve).id, "away"))
    assert shard.machine.view().last_error == "away"

    shard.pass_time(500)

    assert shard.count(do.Resolve) == 2


def test_someone_elses_note_is_passed_over():
    shard = DrivenStream(checkpoint=Checkpoint(7, "metadata of a Java client"))

    assert shard.last(do.Fetch).after == 7


def test_a_newer_note_holds_the_shard_and_says_both_versions():
    shard = DrivenStream(checkpoint=Checkpoint(7, '{"v":9,"lanes":[1,2]}'))

    assert shard.count(do.Fetch) == 0
    assert shard.machine.view().state == "held"
    assert "version 9" in shard.machine.view().last_error
    assert f"reads {note.VERSION}" in shard.machine.view().last_error
    shard.pass_time(1_000_000)
    assert len(shard.reports(reports.Held)) == 1
    assert kinds(shard.revoke(0)) == [do.Release]


# How it goes on.


def test_records_are_invoked_settled_and_committed():
    shard = DrivenStream()

    invoke = shard.invoke(0, 1, 2)
    assert (positions(invoke.batch), invoke.attempt, invoke.request_id) == ([0, 1, 2], 1, "1")
    assert invoke.grant == shard.last(do.RequestEnvironment).id
    shard.respond(RETURNED)

    assert shard.committed() == [2]
    assert shard.machine.view().counters.processed == 3


def test_one_batch_is_in_flight_and_the_next_one_is_prepared_and_read_ahead():
    shard = DrivenStream(batch_size=2)

    shard.invoke(0, 1)
    shard.fetch(2, 3, 4)

    assert shard.count(do.Invoke) == 1
    assert positions(shard.last(do.Prepare).batch) == [2, 3]
    assert shard.last(do.Fetch).after == 4


def test_first_attempts_cost_no_commit_of_their_own():
    shard = DrivenStream(batch_size=2)

    shard.invoke(0, 1, 2, 3)
    assert shard.count(do.Commit) == 0
    shard.respond(RETURNED)

    assert shard.count(do.Commit) == 1


def test_the_next_batch_waits_for_no_commit():
    shard = DrivenStream(batch_size=2)
    shard.invoke(0, 1, 2, 3)
    shard.respond(RETURNED)

    shard.grant()

    assert shard.invoked() == [[0, 1], [2, 3]]
    assert shard.count(do.Commit) == 1


def test_a_window_is_met():
    shard = DrivenStream(batching_window_ms=500)
    shard.fetch(0)

    assert shard.count(do.RequestEnvironment) == 0
    shard.pass_time(499)
    assert shard.count(do.RequestEnvironment) == 0
    shard.pass_time(1)
    assert shard.count(do.RequestEnvironment) == 1


def test_a_record_that_comes_while_an_environment_is_awaited_goes_along():
    shard = DrivenStream()
    shard.fetch(0)
    shard.fetch(1)

    shard.grant()

    assert shard.invoked() == [[0, 1]]


def test_a_fetch_that_fails_is_tried_again_with_a_growing_wait():
    shard = DrivenStream()
    for wait_ms in (500, 1_000, 2_000):
        shard.tell(facts.SourceFailed(shard.last(do.Fetch).id, "away"))
        asked = shard.count(do.Fetch)
        shard.pass_time(wait_ms - 1)
        assert shard.count(do.Fetch) == asked
        shard.pass_time(1)
        assert shard.count(do.Fetch) == asked + 1


def test_a_fetch_without_an_answer_is_asked_again_and_the_late_answer_changes_nothing():
    shard = DrivenStream()
    first = shard.last(do.Fetch)
    shard.pass_time(FETCH_ANSWER_MS)
    assert shard.last(do.Fetch).id != first.id
    shard.fetch(0)

    late = facts.RecordsFetched(first.id, Fetched("orders-0", [record(0)], 0, 10))
    assert shard.tell(late) == []
    assert shard.machine.view().buffered == 1


def test_a_trimmed_range_is_reported_counted_and_passed():
    shard = DrivenStream(checkpoint=Checkpoint(3))
    shard.fetch(10, gap=Gap(4, 9))
    shard.grant()

    assert shard.reports(reports.PositionLost) == [reports.PositionLost(4, 9)]
    assert shard.machine.view().counters.lost == 6
    assert shard.invoked() == [[10]]


def test_positions_without_records_are_committed_once_it_is_quiet():
    shard = DrivenStream()
    shard.fetch(position=6)
    assert shard.count(do.Commit) == 0

    shard.pass_time(QUIET_MS)

    assert shard.committed() == [6]
    shard.commit()
    assert shard.machine.view().is_idle


def test_positions_without_records_behind_a_batch_wait_for_it():
    shard = DrivenStream()
    shard.invoke(0)
    shard.fetch(position=6)
    shard.pass_time(10 * QUIET_MS)
    assert shard.count(do.Commit) == 0

    shard.respond(RETURNED)

    assert shard.committed() == [6]


def test_a_record_too_large_on_its_own_is_dropped_and_blocks_nothing():
    shard = DrivenStream(event_bytes_max=200)
    shard.fetch(record(0, 10), record(1, 500), record(2, 10))
    shard.grant()
    shard.respond(RETURNED)
    shard.grant()

    assert shard.invoked() == [[0], [2]]
    [dropped] = shard.reports(reports.RecordsDropped)
    assert (dropped.condition, dropped.first, dropped.records) == ("MaximumPayloadSizeExceeded", "1", 1)
    assert shard.machine.view().counters.dropped == 1


def test_nothing_more_is_dropped_while_commits_are_refused():
    shard = DrivenStream(event_bytes_max=200)
    shard.invoke(0)
    shard.respond(RETURNED)
    shard.fail_commit(refused=True)

    shard.fetch(record(1, 500))

    assert shard.reports(reports.RecordsDropped) == []
    shard.pass_time(500)
    shard.commit()
    assert len(shard.reports(reports.RecordsDropped)) == 1


# How it fails.


@pytest.mark.parametrize("retries", [0, 1, 2, 5])
def test_a_failed_batch_is_invoked_exactly_once_more_than_its_retries_and_given_up(retries: int):
    shard = DrivenStream(retry_attempts_max=retries)
    shard.invoke(0, 1)

    shard.fail_until_given_up()

    assert shard.invoked() == [[0, 1]] * (retries + 1)
    assert [invoke.attempt for invoke in shard.all_of(do.Invoke)] == list(range(1, retries + 2))
    [dropped] = shard.reports(reports.RecordsDropped)
    assert dropped == reports.RecordsDropped(
        "RetryAttemptsExhausted", "0", "1", 2, retries + 1, "ValueError", "no good"
    )
    assert shard.last(do.Commit).checkpoint == Checkpoint(1)


def test_the_eighth_invocation_of_a_function_that_fails_at_once_falls_at_51_and_a_half_seconds():
    shard = DrivenStream()
    shard.invoke(0)
    while shard.count(do.Invoke) < 8:
        shard.respond(FAILED)
        shard.commit()
        if shard.pass_time(20_000 if shard.count(do.Invoke) >= 7 else 500 * 2 ** (shard.count(do.Invoke) - 1)):
            shard.grant()

    assert shard.times_of(do.Invoke)[-1] == 51_500


def test_an_attempt_that_ended_is_on_record_before_the_next_begins():
    shard = DrivenStream()
    shard.invoke(0, 1)
    shard.respond(FAILED)

    assert shard.last(do.Commit).checkpoint == Checkpoint(-1, note.write(tried_once(-1, end=1), -1))
    shard.pass_time(20_000)
    assert shard.count(do.RequestEnvironment) == 1
    shard.commit()
    assert shard.count(do.RequestEnvironment) == 2


def test_the_note_names_the_last_record_and_not_what_lies_behind_it():
    shard = DrivenStream()
    shard.invoke(0, 1, position=9)

    shard.respond(FAILED)

    assert note.read(shard.last(do.Commit).checkpoint.note, -1) == tried_once(-1, end=1)
    shard.commit()
    shard.pass_time(500)
    shard.grant()
    shard.respond(RETURNED)
    assert shard.last(do.Commit).checkpoint == Checkpoint(9)


def test_a_killed_node_runs_the_attempt_again_that_was_running_and_the_same_batch():
    shard = DrivenStream(checkpoint=Checkpoint(2, TRIED_ONCE), batch_size=1)

    invoke = shard.invoke(3, 4, 5)

    assert (positions(invoke.batch), invoke.attempt) == ([3, 4], 2)


def test_attempts_go_on_counting_after_a_restart():
    shard = DrivenStream(checkpoint=Checkpoint(2, TRIED_ONCE), retry_attempts_max=1)
    shard.invoke(3, 4)

    shard.respond(FAILED)

    assert len(shard.reports(reports.RecordsDropped)) == 1
    assert shard.last(do.Commit).checkpoint == Checkpoint(4)


def test_the_next_batch_starts_with_no_attempts():
    shard = DrivenStream(checkpoint=Checkpoint(2, TRIED_ONCE))
    shard.invoke(3, 4, 5)
    shard.respond(RETURNED)
    shard.grant()

    assert shard.last(do.Invoke).attempt == 1


def test_the_attempts_of_a_batch_that_was_trimmed_away_are_not_laid_on_another():
    shard = DrivenStream(checkpoint=Checkpoint(2, TRIED_ONCE), retry_attempts_max=1)

    invoke = shard.invoke(7, 8)

    assert (positions(invoke.batch), invoke.attempt) == ([7, 8], 1)


def test_a_batch_that_was_trimmed_away_with_nothing_behind_it_is_over():
    shard = DrivenStream(checkpoint=Checkpoint(2, TRIED_ONCE))
    shard.fetch(position=4, gap=Gap(3, 4))
    shard.pass_time(QUIET_MS)

    assert shard.last(do.Commit).checkpoint == Checkpoint(4)
    shard.commit()
    assert shard.machine.view().is_idle


def test_a_throttle_burns_no_attempt_and_keeps_the_back_off():
    shard = DrivenStream(retry_attempts_max=0)
    shard.invoke(0)
    for wait_ms in (500, 1_000, 2_000, 4_000):
        shard.respond(NOT_RUN)
        shard.pass_time(wait_ms - 1)
        requests = shard.count(do.RequestEnvironment)
        shard.pass_time(1)
        assert shard.count(do.RequestEnvironment) == requests + 1
        shard.grant()

    assert {invoke.attempt for invoke in shard.all_of(do.Invoke)} == {1}
    assert shard.count(do.Commit) == 0
    assert shard.machine.view().counters.failed_invocations == 0


def test_a_throttle_that_names_a_time_is_believed():
    shard = DrivenStream()
    shard.invoke(0)

    shard.respond(NotRun("later", 7_000))

    assert shard.machine.view().next_try_ms == 7_000


def test_the_view_shows_a_blocked_shard():
    shard = DrivenStream()
    shard.invoke(0)
    shard.pass_time(100)
    shard.respond(FAILED)

    view = shard.machine.view()

    assert (view.state, view.attempts_ended, view.blocked_since_ms) == ("retrying", 1, 100)
    assert (view.last_error, view.next_try_ms) == ("ValueError: no good", 600)
    assert not view.is_idle


# Answers that are late, lost, doubled or wrong.


def test_an_answer_twice_settles_once():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0, 1)
    answer = facts.Responded(shard.last(do.Invoke).id, RETURNED)
    shard.tell(answer)
    shard.grant()

    assert shard.tell(answer) == []
    assert shard.machine.view().counters.processed == 1


def test_an_environment_that_was_not_asked_for_is_given_back():
    shard = DrivenStream()

    assert shard.tell(facts.EnvironmentGranted(77)) == [do.ReturnEnvironment(77)]


def test_an_invocation_without_an_answer_is_ended_and_no_attempt():
    shard = DrivenStream(function_timeout_ms=1_000)
    invoke = shard.invoke(0)

    shard.pass_time(1_000 + INVOKE_SLACK_MS)
    assert shard.last(do.Cancel).id == invoke.id
    shard.respond(NotRun("ended by the node"))
    shard.grant()

    assert shard.last(do.Invoke).attempt == 1
    assert shard.count(do.Invoke) == 2


def test_a_cancel_without_an_answer_is_waited_for_no_longer_than_it_must():
    shard = DrivenStream(function_timeout_ms=1_000)
    shard.invoke(0)

    shard.pass_time(1_000 + INVOKE_SLACK_MS + CANCEL_ANSWER_MS)

    assert shard.count(do.RequestEnvironment) == 2


def test_a_commit_whose_answer_is_lost_is_sent_again_with_what_is_newest():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0, 1)
    shard.respond(RETURNED)
    shard.grant()
    shard.respond(RETURNED)

    shard.pass_time(ANSWER_MS)

    assert shard.committed() == [0, 1]


def test_a_failed_commit_is_announced_and_tried_again():
    shard = DrivenStream()
    shard.invoke(0)
    shard.respond(RETURNED)

    shard.fail_commit()

    assert shard.reports(reports.SourceTroubled) == [reports.SourceTroubled("commit", "the broker is away", 500)]
    shard.pass_time(500)
    assert shard.committed() == [0, 0]


def test_a_refused_commit_holds_the_shard_until_one_succeeds():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0, 1)
    shard.respond(RETURNED)
    shard.fail_commit(refused=True)

    assert kinds(shard.grant()) == [do.ReturnEnvironment]
    requests = shard.count(do.RequestEnvironment)
    shard.pass_time(499)
    assert shard.count(do.RequestEnvironment) == requests
    shard.pass_time(1)
    shard.commit()
    assert shard.count(do.RequestEnvironment) == requests + 1


def test_while_commits_fail_only_so_many_batches_are_run():
    shard = DrivenStream(batch_size=1)
    shard.fetch(*range(50))
    shard.grant()
    shard.respond(RETURNED)
    shard.fail_commit()
    while shard.count(do.RequestEnvironment) > shard.count(do.Invoke):
        shard.grant()
        shard.respond(RETURNED)

    assert shard.count(do.Invoke) == UNCOMMITTED_MAX
