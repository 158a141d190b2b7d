from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from penstock.api import NotRun
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.queue_machine import LAST_SETTLE_MS
from penstock.core.receiving import RECEIVE_SLACK_MS, RECEIVE_WAIT_MS
from penstock.core.runs import CANCEL_ANSWER_MS, INVOKE_SLACK_MS
from penstock.core.settlement import ANSWER_MS
from unit.core.driving import FAILED, NOT_RUN, RETURNED, DrivenQueue, kinds, message, names

LEASE_MS = 30_000


# What it takes.


def test_it_receives_a_batch_and_waits_long():
    queue = DrivenQueue(batch_size=7)

    assert queue.last(do.Receive) == do.Receive(queue.last(do.Receive).id, 7, RECEIVE_WAIT_MS)


def test_it_receives_nothing_while_no_environment_would_be_free():
    queue = DrivenQueue()
    queue.tell(facts.HeadroomChanged(free=0))

    queue.receive()
    assert queue.count(do.Receive) == 1
    queue.tell(facts.HeadroomChanged(free=1))
    assert queue.count(do.Receive) == 2


def test_at_most_one_batch_waits_ahead_of_those_that_run():
    queue = DrivenQueue(batch_size=2)
    queue.invoke("a", "b")
    queue.receive("c", "d")

    assert queue.machine.view().waiting == 2
    assert queue.count(do.Receive) == 2
    queue.grant()
    assert queue.count(do.Receive) == 3
    assert [names(invoke.batch) for invoke in queue.all_of(do.Invoke)] == [["a", "b"], ["c", "d"]]


def test_it_runs_no_more_at_once_than_its_cap():
    queue = DrivenQueue(batch_size=1, concurrency_max=2)
    queue.invoke("a")
    queue.invoke("b")

    assert queue.count(do.Receive) == 2
    queue.respond(RETURNED)
    assert queue.count(do.Receive) == 3


def test_a_cap_that_is_lowered_between_request_and_grant_is_kept():
    queue = DrivenQueue(batch_size=1)
    queue.invoke("a")
    queue.receive("b")
    queue.tell(facts.QueueSettingsChanged(replace(queue.settings, concurrency_max=1)))

    assert kinds(queue.grant()) == [do.ReturnEnvironment]
    queue.respond(RETURNED)
    queue.grant()
    assert names(queue.last(do.Invoke).batch) == ["b"]


def test_a_window_starts_at_the_first_message_and_receives_fill_it():
    queue = DrivenQueue(batch_size=10, batching_window_ms=1_000)
    queue.pass_time(5_000)
    queue.receive("a")
    assert (queue.last(do.Receive).messages_max, queue.last(do.Receive).wait_ms) == (9, 1_000)

    queue.pass_time(600)
    queue.receive("b")
    assert queue.last(do.Receive).wait_ms == 400
    queue.pass_time(399)
    assert queue.count(do.RequestEnvironment) == 0
    queue.pass_time(1)
    queue.grant()

    assert names(queue.last(do.Invoke).batch) == ["a", "b"]


def test_a_batch_that_one_event_can_not_hold_waits_for_no_window():
    queue = DrivenQueue(batch_size=100, batching_window_ms=60_000, event_bytes_max=400)
    queue.receive(*(message(name, 100) for name in "abcde"))

    assert queue.count(do.RequestEnvironment) == 1
    queue.grant()
    queue.grant()
    assert [len(names(invoke.batch)) for invoke in queue.all_of(do.Invoke)] == [2, 2]


def test_the_attempt_is_the_broker_s_count():
    queue = DrivenQueue()

    assert queue.invoke(message("a", receive_count=1), message("b", receive_count=4)).attempt == 4


def test_a_failing_source_is_asked_again_with_a_growing_wait():
    queue = DrivenQueue()
    for wait_ms in (500, 1_000, 2_000):
        queue.tell(facts.SourceFailed(queue.last(do.Receive).id, "away"))
        asked = queue.count(do.Receive)
        queue.pass_time(wait_ms - 1)
        assert queue.count(do.Receive) == asked
        queue.pass_time(1)
        assert queue.count(do.Receive) == asked + 1


def test_what_was_received_runs_also_while_the_source_fails():
    queue = DrivenQueue(batch_size=10, batching_window_ms=1_000)
    queue.receive("a")
    queue.pass_time(900)
    queue.tell(facts.SourceFailed(queue.last(do.Receive).id, "away"))

    queue.pass_time(100)

    assert queue.count(do.RequestEnvironment) == 1


def test_a_receive_without_an_answer_is_ended_and_what_it_brings_after_all_goes_back_uncounted():
    queue = DrivenQueue()
    first = queue.last(do.Receive)
    queue.pass_time(RECEIVE_WAIT_MS + RECEIVE_SLACK_MS)
    assert queue.last(do.Cancel).id == first.id
    assert queue.count(do.Receive) == 2

    queue.tell(facts.Received(first.id, [message("a")]))

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("a/1",), 0, False)
    assert queue.machine.view().waiting == 0


def test_an_answer_that_comes_twice_takes_nothing_back():
    queue = DrivenQueue()
    answer = facts.Received(queue.last(do.Receive).id, [message("a")])
    queue.tell(answer)

    assert queue.tell(answer) == []
    queue.grant()
    assert queue.tell(answer) == []
    assert queue.machine.view().counters.polled == 1


# How it settles.


def test_what_succeeded_is_acked():
    queue = DrivenQueue()
    queue.invoke("a", "b")

    queue.respond(RETURNED)

    assert queue.last(do.Ack).receipts == ("a/1", "b/1")
    assert not queue.machine.view().is_idle
    queue.settle(queue.last(do.Ack))
    assert queue.machine.view().is_idle
    assert queue.machine.view().counters.processed == 2


def test_what_failed_comes_back_after_the_visibility_timeout_and_is_counted():
    queue = DrivenQueue(visibility_timeout_ms=45_000)
    queue.invoke("a", "b")

    queue.respond(FAILED)

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("a/1", "b/1"), 45_000, True)
    [failed] = queue.reports(reports.BatchFailed)
    assert (failed.error_type, failed.retry_in_ms) == ("ValueError", 45_000)


def test_what_was_never_run_comes_back_uncounted_and_everything_pauses():
    queue = DrivenQueue()
    queue.invoke("a")
    queue.receive("b")
    queue.respond(NOT_RUN)

    nack = queue.last(do.Nack)
    assert (nack.delay_ms, nack.counted) == (500, False)
    assert kinds(queue.grant()) == [do.ReturnEnvironment]
    asked = queue.count(do.Receive)
    queue.pass_time(499)
    assert queue.count(do.Receive) == asked
    queue.pass_time(1)
    queue.grant()
    assert names(queue.last(do.Invoke).batch) == ["b"]


def test_throttles_in_a_row_back_off():
    queue = DrivenQueue(concurrency_max=1)
    for wait_ms in (500, 1_000, 2_000):
        queue.invoke("a")
        queue.respond(NOT_RUN)
        assert queue.last(do.Nack).delay_ms == wait_ms
        queue.pass_time(wait_ms)


def test_a_throttle_that_names_a_time_is_believed():
    queue = DrivenQueue()
    queue.invoke("a")

    queue.respond(NotRun("later", 7_000))

    assert queue.last(do.Nack).delay_ms == 7_000


def test_a_message_too_large_on_its_own_comes_back_and_the_others_run():
    queue = DrivenQueue(event_bytes_max=200)
    queue.invoke("a", message("big", 500), "b")

    assert names(queue.last(do.Invoke).batch) == ["a", "b"]
    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("big/1",), LEASE_MS, True)
    assert "MaximumPayloadSizeExceeded" in queue.machine.view().last_error


def test_a_limit_that_shrinks_takes_out_what_waits():
    queue = DrivenQueue(batching_window_ms=60_000)
    queue.receive(message("a", 10), message("b", 500))

    queue.tell(facts.QueueSettingsChanged(replace(queue.settings, event_bytes_max=200)))

    assert queue.last(do.Nack).receipts == ("b/1",)
    assert queue.machine.view().waiting == 1


def test_a_failed_ack_is_tried_again_until_the_lease_has_lapsed():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke("a")
    queue.respond(RETURNED)
    for _ in range(10):
        if not queue.machine.view().settling:
            break
        queue.tell(facts.SettleFailed(queue.last(do.Ack).id, "away"))
        queue.pass_time(20_000)

    assert queue.count(do.Ack) > 2
    assert max(queue.times_of(do.Ack)) < LEASE_MS
    assert queue.reports(reports.LeasesExpired) == [reports.LeasesExpired(1)]
    assert queue.machine.view().settling == 0


def test_an_ack_without_an_answer_is_sent_again_while_the_lease_may_stand():
    queue = DrivenQueue(visibility_timeout_ms=50_000)
    queue.invoke("a")
    queue.respond(RETURNED)
    first = queue.last(do.Ack)

    queue.pass_time(ANSWER_MS)
    assert queue.last(do.Ack).receipts == first.receipts
    assert queue.last(do.Ack).id != first.id
    queue.pass_time(10 * ANSWER_MS)

    assert queue.count(do.Ack) == 2
    assert queue.machine.view().settling == 0


def test_receipts_that_were_no_longer_ours_are_reported():
    queue = DrivenQueue()
    queue.invoke("a", "b")
    queue.respond(RETURNED)

    queue.tell(facts.Settled(queue.last(do.Ack).id, expired=True))

    assert queue.reports(reports.LeasesExpired) == [reports.LeasesExpired(2)]


def test_an_answer_of_the_function_twice_settles_once():
    queue = DrivenQueue()
    queue.invoke("a")
    answer = facts.Responded(queue.last(do.Invoke).id, RETURNED)
    queue.tell(answer)

    assert queue.tell(answer) == []
    assert queue.count(do.Ack) == 1


# Leases.


@pytest.mark.parametrize("window_ms", [60_000, 300_000])
def test_no_lease_lapses_in_the_longest_window_nor_while_the_function_runs(window_ms: int):
    queue = DrivenQueue(batch_size=10, batching_window_ms=window_ms, function_timeout_ms=900_000)
    queue.receive("a")
    queue.pass_time(15_000)
    queue.receive("b")
    queue.pass_time(window_ms - 15_000)
    queue.grant()
    queue.pass_time(200_000)
    queue.respond(RETURNED)
    end_ms = queue.now_ms

    for receipt, since_ms in (("a/1", 0), ("b/1", 15_000)):
        extended = [at_ms for at_ms, one in queue.said if isinstance(one, do.Extend) and receipt in one.receipts]
        steps = [since_ms, *extended, end_ms]
        assert max(after - before for before, after in pairwise(steps)) < LEASE_MS // 2


def test_what_is_settled_is_extended_no_more():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke("a")
    queue.respond(FAILED)
    queue.settle(queue.last(do.Nack))

    queue.pass_time(120_000)

    assert queue.count(do.Extend) == 0


def test_an_extension_without_an_answer_is_not_sent_after_its_message_was_returned():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke("a")
    queue.pass_time(LEASE_MS // 3)
    assert queue.count(do.Extend) == 1
    queue.respond(FAILED)
    queue.settle(queue.last(do.Nack))

    queue.pass_time(2 * ANSWER_MS)

    assert queue.count(do.Extend) == 1


def test_what_waited_a_whole_lease_for_an_environment_goes_back_uncounted():
    queue = DrivenQueue()
    queue.receive("a", "b")
    request = queue.last(do.RequestEnvironment)

    queue.pass_time(LEASE_MS)

    assert do.ReturnEnvironment(request.id) in queue.all_of(do.ReturnEnvironment)
    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("a/1", "b/1"), 0, False)
    assert queue.machine.view().counters.returned == 2


def test_an_invocation_that_never_answers_is_ended_and_its_messages_come_back_by_their_lease():
    queue = DrivenQueue(function_timeout_ms=1_000, concurrency_max=1)
    invoke = queue.invoke("a")
    queue.pass_time(1_000 + INVOKE_SLACK_MS)
    assert queue.last(do.Cancel).id == invoke.id

    queue.pass_time(CANCEL_ANSWER_MS)
    extended = queue.count(do.Extend)
    queue.pass_time(LEASE_MS)

    assert queue.machine.view().in_flight == ()
    assert queue.count(do.Extend) == extended
    assert queue.count(do.Nack) == 0


# How it stops.


def test_a_stop_returns_what_was_never_run_and_lets_what_runs_end():
    queue = DrivenQueue(batch_size=1)
    queue.invoke("a")
    queue.receive("b")
    queue.revoke(10_000)

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("b/1",), 0, False)
    queue.settle(nack)
    queue.pass_time(9_000)
    queue.respond(RETURNED)
    assert queue.count(do.Release) == 0
    assert kinds(queue.settle(queue.last(do.Ack))) == [do.Release]


def test_what_a_receive_took_while_it_was_being_stopped_goes_back():
    queue = DrivenQueue()
    receive = queue.last(do.Receive)
    assert queue.revoke(10_000) == [do.Cancel(receive.id)]

    queue.tell(facts.Received(receive.id, [message("a")]))

    assert (queue.last(do.Nack).receipts, queue.last(do.Nack).counted) == (("a/1",), False)
    assert kinds(queue.settle(queue.last(do.Nack))) == [do.Release]


def test_an_idle_machine_lets_go_as_soon_as_its_receive_has_ended():
    queue = DrivenQueue()
    queue.revoke(10_000)

    assert kinds(queue.receive()) == [do.Release]


def test_a_receive_that_does_not_end_is_not_waited_for():
    queue = DrivenQueue()
    queue.revoke(10_000)

    assert kinds(queue.pass_time(LAST_SETTLE_MS)) == [do.Release]


def test_at_the_deadline_what_runs_is_ended_and_returned_uncounted():
    queue = DrivenQueue(concurrency_max=1)
    invoke = queue.invoke("a")
    queue.revoke(5_000)

    assert do.Cancel(invoke.id) in queue.pass_time(5_000)
    queue.respond(NotRun("ended by the node"))

    nack = queue.last(do.Nack)
    assert (nack.delay_ms, nack.counted) == (0, False)
    assert kinds(queue.settle(nack)) == [do.Release]


def test_what_succeeded_at_the_very_deadline_is_acked():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke("a")
    queue.revoke(5_000)
    queue.pass_time(5_000)

    queue.respond(RETURNED)

    assert queue.last(do.Ack).receipts == ("a/1",)


def test_a_source_that_does_not_answer_can_not_hold_up_a_stop():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke("a")
    queue.respond(RETURNED)
    queue.revoke(5_000)
    queue.receive()

    queue.pass_time(5_000 + LAST_SETTLE_MS)

    assert queue.count(do.Release) == 1


def test_an_environment_that_comes_after_the_release_is_given_back():
    queue = DrivenQueue()
    queue.receive("a")
    request = queue.last(do.RequestEnvironment)
    queue.revoke(0)
    queue.settle(queue.last(do.Nack))
    assert queue.count(do.Release) == 1

    assert queue.tell(facts.EnvironmentGranted(request.id)) == [do.ReturnEnvironment(request.id)]
    assert queue.tell(facts.HeadroomChanged(free=1)) == []
