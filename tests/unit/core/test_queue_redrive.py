"""How a queue machine deals with partial responses and dead letters, and what it counts."""

from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api import Returned
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.fates import LETTERS_MAX
from penstock.core.sending_away import ANSWER_MS, IN_FLIGHT_MAX
from penstock.core.views import QueueView
from unit.core.driving import FAILED, NOT_RUN, RETURNED, DrivenQueue, message, names

LEASE_MS = 30_000
REDRIVE: dict[str, Any] = {"receive_count_max": 3, "has_dead_letters": True}


def reporting(*items: str | tuple[str, float]) -> Returned:
    failures = [
        {"itemIdentifier": item} if isinstance(item, str) else {"itemIdentifier": item[0], "retryAfterSeconds": item[1]}
        for item in items
    ]
    return Returned(json.dumps({"batchItemFailures": failures}).encode(), 5)


def nacks(queue: DrivenQueue) -> list[tuple[tuple[str, ...], int, bool]]:
    return [(nack.receipts, nack.delay_ms, nack.counted) for nack in queue.all_of(do.Nack)]


def letters(queue: DrivenQueue) -> list[str]:
    return [command.letter.message.message_id for command in queue.all_of(do.SendAway)]


def deliver(queue: DrivenQueue) -> list[Any]:
    return queue.tell(facts.Delivered(queue.last(do.SendAway).id))


def fail_delivery(queue: DrivenQueue, *, refused: bool = False) -> list[Any]:
    return queue.tell(facts.DeliveryFailed(queue.last(do.SendAway).id, "it is away", refused=refused))


def is_balanced(view: QueueView) -> bool:
    counters = view.counters
    known = counters.filtered + counters.invoked_first + counters.dropped_before + counters.returned
    return counters.polled == known + view.unrun


# Partial responses.


def test_reported_messages_come_back_each_after_its_delay_and_the_rest_is_acked():
    queue = DrivenQueue(reports_item_failures=True)
    queue.invoke("a", "b", "c", "d")

    queue.respond(reporting("b", ("d", 5)))

    assert queue.last(do.Ack).receipts == ("a/1", "c/1")
    assert nacks(queue) == [(("b/1",), LEASE_MS, True), (("d/1",), 5_000, True)]
    [report] = queue.reports(reports.BatchPartlyFailed)
    assert (report.records, report.done, report.failed_from, report.retry_in_ms) == (4, 2, "b", 5_000)
    counters = queue.machine.view().counters
    assert (counters.processed, counters.failed, counters.failed_invocations) == (2, 2, 0)


def test_messages_with_the_same_delay_come_back_together():
    queue = DrivenQueue(reports_item_failures=True)
    queue.invoke("a", "b", "c")

    queue.respond(reporting(("a", 5), "b", ("c", 5)))

    assert nacks(queue) == [(("a/1", "c/1"), 5_000, True), (("b/1",), LEASE_MS, True)]


def test_a_report_that_can_not_be_followed_deletes_nothing_and_says_why():
    queue = DrivenQueue(reports_item_failures=True)
    queue.invoke("a", "b")

    queue.respond(reporting("a", "x"))

    assert queue.count(do.Ack) == 0
    assert nacks(queue) == [(("a/1", "b/1"), LEASE_MS, True)]
    assert '"itemIdentifier":"x"' in queue.machine.view().last_error


# Dead letters.


def test_a_message_whose_runs_are_used_up_is_sent_away_and_then_deleted():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.tell(facts.ClockChanged(1_000_000))
    queue.invoke(message("a", receive_count=3), message("b", receive_count=2))
    queue.respond(FAILED)

    assert nacks(queue) == [(("b/2",), LEASE_MS, True)]
    letter = queue.last(do.SendAway).letter
    assert (letter.message.message_id, letter.condition, letter.runs) == ("a", "MaximumReceiveCountExceeded", 3)
    assert (letter.error_type, letter.error_message, letter.ended_ms) == ("ValueError", "no good", 1_000_000)
    assert queue.count(do.Ack) == 0
    [dropped] = queue.reports(reports.RecordsDropped)
    assert (dropped.first, dropped.records, dropped.attempts) == ("a", 1, 3)

    deliver(queue)

    assert queue.last(do.Ack).receipts == ("a/3",)
    assert not queue.machine.view().is_idle
    queue.settle(queue.last(do.Ack))
    counters = queue.machine.view().counters
    assert (counters.dropped, counters.delivered, counters.deleted) == (1, 1, 1)


def test_it_is_held_and_sent_again_while_its_target_is_away():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)

    fail_delivery(queue)
    assert queue.machine.view().delivering is not None
    for _ in range(20):
        queue.pass_time(20_000)
        fail_delivery(queue)

    assert queue.count(do.SendAway) > 10
    assert queue.count(do.Nack) == 0
    extended = [at_ms for at_ms, one in queue.said if isinstance(one, do.Extend) and "a/3" in one.receipts]
    assert max(extended) > queue.now_ms - LEASE_MS
    queue.pass_time(20_000)
    deliver(queue)
    assert queue.last(do.Ack).receipts == ("a/3",)


def test_one_that_its_target_refuses_is_held_and_named_and_the_mapping_goes_on():
    queue = DrivenQueue(**REDRIVE)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)

    fail_delivery(queue, refused=True)

    view = queue.machine.view()
    assert view.delivering is not None
    assert (view.delivering.first, view.delivering.refused, view.sending_away) == ("a", True, 1)
    [troubled] = queue.reports(reports.DeliveryTroubled)
    assert (troubled.first, troubled.refused, troubled.retry_in_ms) == ("a", True, 500)
    assert names(queue.invoke("b").batch) == ["b"]


def test_a_broker_s_higher_count_makes_no_dead_letter_of_what_was_not_run_here():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.receive(message("a", receive_count=99))
    assert queue.count(do.SendAway) == 0
    queue.grant()
    queue.respond(NOT_RUN)
    assert queue.count(do.SendAway) == 0

    queue.pass_time(500)
    queue.invoke(message("a", receive_count=99))
    queue.respond(FAILED)

    assert letters(queue) == ["a"]


def test_without_a_target_a_message_returns_for_ever():
    queue = DrivenQueue(concurrency_max=1)
    queue.invoke(message("a", receive_count=500))

    queue.respond(FAILED)

    assert nacks(queue) == [(("a/500",), LEASE_MS, True)]


def test_many_dead_letters_at_once_are_sent_a_few_at_a_time():
    queue = DrivenQueue(**REDRIVE, batch_size=100)
    queue.invoke(*(message(f"m{number}", receive_count=3) for number in range(100)))

    queue.respond(FAILED)

    assert queue.count(do.SendAway) == IN_FLIGHT_MAX
    deliver(queue)
    assert queue.count(do.SendAway) == IN_FLIGHT_MAX + 1
    assert queue.machine.view().sending_away == 99


def test_with_too_many_letters_on_their_way_nothing_more_is_received():
    queue = DrivenQueue(**REDRIVE, batch_size=LETTERS_MAX)
    queue.invoke(*(message(f"m{number}", receive_count=3) for number in range(LETTERS_MAX)))
    queue.receive()
    asked = queue.count(do.Receive)
    queue.respond(FAILED)
    queue.receive()

    assert queue.count(do.Receive) == asked
    deliver(queue)
    assert queue.count(do.Receive) == asked + 1


def test_a_message_too_large_on_its_own_goes_to_the_dead_letters_where_there_are_any():
    queue = DrivenQueue(**REDRIVE, event_bytes_max=200)
    queue.receive(message("big", 500))

    letter = queue.last(do.SendAway).letter
    assert (letter.condition, letter.runs) == ("MaximumPayloadSizeExceeded", 0)
    assert queue.count(do.Nack) == 0
    view = queue.machine.view()
    assert (view.counters.dropped, view.counters.dropped_before) == (1, 1)
    assert is_balanced(view)


# How they stop.


def test_a_stop_waits_for_a_letter_that_is_on_its_way():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)
    queue.revoke(10_000)
    queue.receive()

    assert queue.count(do.Release) == 0
    deliver(queue)
    queue.settle(queue.last(do.Ack))
    assert queue.count(do.Release) == 1


def test_at_the_deadline_of_a_stop_it_is_ended_and_its_message_given_back():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)
    sent = queue.last(do.SendAway)
    queue.revoke(10_000)
    queue.receive()

    queue.pass_time(10_000)

    assert do.Cancel(sent.id) in queue.all_of(do.Cancel)
    assert nacks(queue) == [(("a/3",), 0, True)]
    queue.settle(queue.last(do.Nack))
    assert queue.count(do.Release) == 1


def test_a_letter_whose_target_is_away_does_not_hold_up_a_stop():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)
    fail_delivery(queue)

    queue.revoke(10_000)

    assert nacks(queue) == [(("a/3",), 0, True)]


def test_a_letter_without_an_answer_is_sent_again():
    queue = DrivenQueue(**REDRIVE, concurrency_max=1)
    queue.invoke(message("a", receive_count=3))
    queue.respond(FAILED)

    queue.pass_time(ANSWER_MS)

    assert letters(queue) == ["a", "a"]


# What it counts.


def test_what_was_polled_is_always_the_sum_of_its_fates():
    queue = DrivenQueue(**REDRIVE, event_bytes_max=300, batch_size=2, concurrency_max=1)
    queue.receive("a", "b")
    assert is_balanced(queue.machine.view())
    queue.grant()
    queue.respond(RETURNED)
    assert is_balanced(queue.machine.view())
    queue.receive(message("big", 900), "c")
    assert is_balanced(queue.machine.view())
    queue.grant()
    queue.respond(NOT_RUN)
    assert is_balanced(queue.machine.view())
    queue.pass_time(500)
    queue.receive("d", "e")
    queue.revoke(0)
    assert is_balanced(queue.machine.view())
    assert queue.machine.view().counters.returned == 2


# For several environments.


@pytest.mark.parametrize(("free", "wanted"), [(1, 5), (3, 15), (16, 80)])
def test_it_receives_for_every_environment_that_is_free(free: int, wanted: int):
    queue = DrivenQueue(batch_size=5)
    queue.receive()
    queue.tell(facts.HeadroomChanged(0))
    queue.receive()
    queue.tell(facts.HeadroomChanged(free))

    assert queue.last(do.Receive).messages_max == wanted


def test_it_receives_for_no_more_than_may_run():
    queue = DrivenQueue(batch_size=5, concurrency_max=2)
    queue.tell(facts.HeadroomChanged(16))
    queue.receive()

    assert queue.last(do.Receive).messages_max == 10


def test_what_one_receive_brings_runs_side_by_side():
    queue = DrivenQueue(batch_size=2)
    queue.tell(facts.HeadroomChanged(4))
    queue.receive()
    queue.receive(*"abcde")
    for _ in range(3):
        queue.grant()

    assert [names(invoke.batch) for invoke in queue.all_of(do.Invoke)] == [["a", "b"], ["c", "d"], ["e"]]


def test_while_the_function_is_quick_one_batch_is_fetched_ahead_of_a_free_environment():
    queue = DrivenQueue(batch_size=1)
    queue.invoke("a")
    queue.respond(RETURNED)
    queue.tell(facts.HeadroomChanged(1))
    queue.invoke("b")
    queue.tell(facts.HeadroomChanged(0))

    queue.receive()
    assert queue.last(do.Receive).messages_max == 1
    asked = queue.count(do.Receive)
    queue.receive("c")
    assert queue.count(do.Receive) == asked, "one batch waits, and no more"


def test_while_it_is_slow_nothing_is_fetched_that_others_could_run():
    queue = DrivenQueue(batch_size=1)
    queue.invoke("a")
    queue.pass_time(2_000)
    queue.respond(RETURNED)
    queue.invoke("b")
    queue.tell(facts.HeadroomChanged(0))
    asked = queue.count(do.Receive)

    queue.receive()

    assert queue.count(do.Receive) == asked


def test_concurrency_grows_as_the_policy_says_while_there_is_work():
    queue = DrivenQueue(batch_size=1, scaling="lambda-2023", function_timeout_ms=900_000)
    queue.tell(facts.HeadroomChanged(16))
    queue.receive()
    names_left = iter(f"m{number}" for number in range(10_000))

    def fill() -> int:
        while True:
            asked = queue.count(do.RequestEnvironment)
            if queue.machine.view().concurrency == len(queue.machine.view().in_flight):
                return len(queue.machine.view().in_flight)
            queue.receive(*(next(names_left) for _ in range(queue.last(do.Receive).messages_max)))
            while queue.count(do.RequestEnvironment) > asked:
                asked = queue.count(do.RequestEnvironment)
                queue.grant()

    assert fill() == 5
    queue.pass_time(60_000)
    assert fill() == 65
    queue.pass_time(60_000)
    assert fill() == 125
