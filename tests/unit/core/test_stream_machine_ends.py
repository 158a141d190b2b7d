from __future__ import annotations

from dataclasses import replace

from penstock.core import commands as do
from penstock.core import facts, note, reports
from penstock.core.settings import RetryBackoff, StreamSettings
from penstock.core.stream_machine import LAST_COMMIT_MS
from unit.core.driving import FAILED, NOT_RUN, RETURNED, DrivenStream, kinds, record


def settings_with(shard: DrivenStream, **changed: object) -> StreamSettings:
    return replace(shard.settings, **changed)


TRIED_ONCE = '{"v":1,"a":1,"e":4}'


# How it stops.


def tried_once(position: int, *, end: int) -> note.Note:
    return note.Note((note.LaneNote(position, attempts_ended=1, ends=(end,)),))


def test_a_revoked_shard_lets_its_batch_finish_commits_and_lets_go():
    shard = DrivenStream(batch_size=2)
    shard.invoke(0, 1, 2)
    shard.revoke(10_000)
    assert shard.machine.view().state == "stopping"

    shard.pass_time(5_000)
    said = shard.respond(RETURNED)

    assert [type(one) for one in said if not isinstance(one, do.Announce)] == [do.Commit]
    assert shard.last(do.Commit).checkpoint.position == 1
    assert kinds(shard.commit()) == [do.Release]
    assert shard.machine.view().state == "released"
    assert shard.machine.next_deadline_ms() is None


def test_a_revoked_shard_that_does_nothing_lets_go_at_once():
    assert kinds(DrivenStream().revoke(10_000)) == [do.Release]


def test_a_revoked_shard_asks_for_nothing_more_and_gives_back_what_it_asked_for():
    shard = DrivenStream()
    shard.fetch(0)
    request = shard.last(do.RequestEnvironment)

    assert shard.revoke(10_000) == [do.ReturnEnvironment(request.id), do.Release()]
    assert shard.tell(facts.EnvironmentGranted(request.id)) == [do.ReturnEnvironment(request.id)]


def test_at_the_deadline_the_invocation_is_ended_and_its_result_ignored():
    shard = DrivenStream(retry_attempts_max=0)
    invoke = shard.invoke(0)
    shard.revoke(10_000)

    assert shard.pass_time(10_000) == [do.Cancel(invoke.id)]
    assert shard.respond(RETURNED) == [do.Release()]
    assert shard.count(do.Commit) == 0
    assert shard.machine.view().counters.processed == 0


def test_an_invocation_that_was_ended_by_a_revocation_is_no_attempt_and_no_failure():
    shard = DrivenStream(retry_attempts_max=0)
    shard.invoke(0)
    shard.revoke(0)

    shard.respond(FAILED)

    assert shard.reports(reports.RecordsDropped) == []
    assert shard.count(do.Commit) == 0


def test_an_attempt_that_fails_within_the_grace_is_on_record():
    shard = DrivenStream()
    shard.invoke(0)
    shard.revoke(10_000)

    shard.respond(FAILED)

    assert note.read(shard.last(do.Commit).checkpoint.note, -1) == tried_once(-1, end=0)
    assert kinds(shard.commit()) == [do.Release]


def test_what_is_not_committed_a_moment_after_the_deadline_stays_uncommitted():
    shard = DrivenStream()
    shard.invoke(0)
    shard.respond(RETURNED)
    shard.fail_commit()

    shard.revoke(200)
    shard.pass_time(200 + LAST_COMMIT_MS)

    assert shard.last(do.Release) == do.Release()
    assert max(shard.times_of(do.Commit)) < 200 + LAST_COMMIT_MS


def test_a_failed_commit_is_tried_again_while_the_last_batch_still_runs():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0, 1)
    shard.respond(RETURNED)
    shard.grant()
    shard.revoke(10_000)
    shard.fail_commit()

    shard.pass_time(500)

    assert shard.committed() == [0, 0]


def test_a_lost_shard_commits_nothing_and_ends_what_runs():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0, 1)
    shard.respond(RETURNED)
    shard.grant()
    shard.fail_commit()
    running = shard.last(do.Invoke)

    assert shard.tell(facts.Lost()) == [do.Cancel(running.id)]
    assert shard.respond(RETURNED) == [do.Release()]
    assert shard.count(do.Commit) == 1


def test_a_shard_that_is_lost_while_it_stops_commits_no_more():
    shard = DrivenStream()
    shard.invoke(0)
    shard.respond(RETURNED)
    shard.revoke(10_000)

    assert shard.tell(facts.Lost()) == [do.Release()]


def test_the_earliest_of_several_deadlines_counts():
    shard = DrivenStream()
    shard.invoke(0)
    shard.revoke(10_000)
    shard.revoke(2_000)
    shard.revoke(5_000)

    shard.pass_time(2_000)

    assert shard.count(do.Cancel) == 1


def test_records_that_come_while_it_stops_are_left_to_the_next_owner():
    shard = DrivenStream(batch_size=1)
    shard.invoke(0)
    shard.revoke(10_000)

    shard.fetch(1)

    assert shard.machine.view().buffered == 0


def test_nothing_is_said_after_the_release():
    shard = DrivenStream()
    shard.invoke(0)
    invoke = shard.last(do.Invoke)
    shard.revoke(0)
    shard.respond(NOT_RUN)

    for fact in (None, facts.Responded(invoke.id, RETURNED), facts.Lost(), facts.BudgetChanged(1)):
        assert shard.tell(fact) == []


# Settings that change.


def test_other_settings_hold_from_the_next_batch_on():
    shard = DrivenStream(batch_size=2)
    shard.invoke(0, 1, 2, 3, 4)

    shard.tell(facts.StreamSettingsChanged(settings_with(shard, batch_size=3)))
    shard.respond(FAILED)
    shard.commit()
    shard.pass_time(500)
    shard.grant()
    shard.respond(RETURNED)
    shard.grant()

    assert shard.invoked() == [[0, 1], [0, 1], [2, 3, 4]]


def test_fewer_retries_count_for_the_batch_that_is_failing():
    shard = DrivenStream(retry_attempts_max=-1)
    shard.invoke(0)
    shard.respond(FAILED)
    shard.commit()

    shard.tell(facts.StreamSettingsChanged(settings_with(shard, retry_attempts_max=1)))
    shard.pass_time(500)
    shard.grant()
    shard.respond(FAILED)

    assert len(shard.reports(reports.RecordsDropped)) == 1


def test_another_back_off_counts_from_the_next_failure_on():
    shard = DrivenStream()
    shard.invoke(0)
    shard.tell(facts.StreamSettingsChanged(settings_with(shard, backoff=RetryBackoff(initial_ms=50))))

    shard.respond(FAILED)

    assert shard.machine.view().next_try_ms == 50


def test_a_longer_window_that_comes_between_request_and_grant_gives_the_environment_back():
    shard = DrivenStream()
    shard.fetch(0)
    shard.tell(facts.StreamSettingsChanged(settings_with(shard, batching_window_ms=500)))

    assert kinds(shard.grant()) == [do.ReturnEnvironment]
    shard.pass_time(500)
    shard.grant()
    assert shard.invoked() == [[0]]


def test_a_smaller_budget_reads_no_further_and_a_larger_one_does():
    shard = DrivenStream(buffer_bytes_max=1_000, batching_window_ms=60_000)
    shard.fetch(record(0, 100))
    assert shard.last(do.Fetch).bytes_max == 900
    shard.tell(facts.BudgetChanged(150))
    asked = shard.count(do.Fetch)

    shard.fetch(record(1, 10))
    assert shard.count(do.Fetch) == asked
    shard.tell(facts.BudgetChanged(10_000))
    assert shard.last(do.Fetch).bytes_max == 9_890
