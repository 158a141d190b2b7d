"""How a queue machine keeps the order of a FIFO queue (D23)."""

from __future__ import annotations

import json
from itertools import count
from typing import Any

from penstock.api import NotRun, Returned
from penstock.core import commands as do
from penstock.core import facts, reports
from unit.core.driving import FAILED, NOT_RUN, RETURNED, DrivenQueue, grouped, names

LEASE_MS = 30_000


class DrivenFifo(DrivenQueue):
    """Messages are named by their group and a number: `a1`."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**{"is_fifo": True, "reports_item_failures": True, "batch_size": 10, **settings})
        self._deliveries = count(1)

    def bring(self, *names_: str) -> None:
        """Answer the receive, and give every environment that is asked for."""
        self.receive(*(grouped(name, name[0], receive_count=1) for name in names_))
        self.run_all()

    def run_all(self) -> None:
        while self.count(do.RequestEnvironment) > self._granted():
            self.grant()

    def report(self, *names_: str, of: int = -1) -> None:
        failures = [{"itemIdentifier": name} for name in names_]
        payload = json.dumps({"batchItemFailures": failures}).encode()
        self.tell(facts.Responded(self.all_of(do.Invoke)[of].id, Returned(payload, 5)))
        self.run_all()

    def answer(self, kind: type) -> None:
        """Answer the newest command of a kind."""
        self.tell(facts.Settled(self.last(kind).id))
        self.run_all()

    def wait(self, duration_ms: int) -> None:
        self.pass_time(duration_ms)
        self.run_all()

    def invoked(self) -> list[list[str]]:
        return [names(invoke.batch) for invoke in self.all_of(do.Invoke)]

    def _granted(self) -> int:
        return self.count(do.Invoke) + self.count(do.ReturnEnvironment)


def test_of_a_group_one_batch_runs_at_a_time_and_groups_run_side_by_side():
    queue = DrivenFifo(batch_size=1)
    queue.bring("a1", "a2", "b1")

    assert queue.invoked() == [["a1"], ["b1"]]
    queue.report(of=0)
    assert queue.invoked() == [["a1"], ["b1"]], "a1 may still come back"
    queue.answer(do.Ack)
    assert queue.invoked() == [["a1"], ["b1"], ["a2"]]


def test_what_is_reported_comes_next_with_what_is_behind_it_and_is_counted_before():
    queue = DrivenFifo(concurrency_max=1)
    queue.bring("a1", "a2", "a3", "a4")

    queue.report("a2", "a3", "a4")
    queue.answer(do.Ack)
    assert queue.count(do.Nack) == 0
    queue.wait(LEASE_MS)
    assert queue.last(do.Count) == do.Count(queue.last(do.Count).id, ("a2/1", "a3/1", "a4/1"), 2)
    assert queue.invoked() == [["a1", "a2", "a3", "a4"]]
    queue.answer(do.Count)

    assert queue.invoked()[1:] == [["a2", "a3", "a4"]]
    assert [message.receive_count for message in queue.last(do.Invoke).batch.messages] == [2, 2, 2]


def test_a_failure_holds_back_its_group_and_the_others_go_on():
    queue = DrivenFifo(batch_size=4)
    queue.bring("a1", "b1", "a2", "b2")

    queue.report("a1")
    assert queue.last(do.Ack).receipts == ("b1/1", "b2/1")
    queue.answer(do.Ack)
    queue.bring("a3", "b3", "c1")

    assert queue.invoked() == [["a1", "a2", "b1", "b2"], ["b3", "c1"]]
    view = queue.machine.view()
    assert (view.blocked_groups, view.held, view.blocked_since_ms) == (("a",), 3, 0)
    queue.wait(LEASE_MS)
    queue.answer(do.Count)
    assert queue.invoked()[2:] == [["a1", "a2", "a3"]]


def test_as_on_aws_what_was_not_reported_is_deleted_also_behind_a_failure():
    queue = DrivenFifo(group_failure_mode="aws")
    queue.bring("a1", "a2", "a3")

    queue.report("a2")

    assert queue.last(do.Ack).receipts == ("a1/1", "a3/1")
    queue.answer(do.Ack)
    queue.wait(LEASE_MS)
    queue.answer(do.Count)
    assert queue.invoked()[1:] == [["a2"]]


def test_a_dead_letter_leaves_its_group_and_the_group_goes_on_when_it_is_gone():
    queue = DrivenFifo(receive_count_max=1, has_dead_letters=True)
    queue.bring("a1", "a2")
    queue.bring("a3")

    queue.report("a1")
    assert [one.letter.message.message_id for one in queue.all_of(do.SendAway)] == ["a1"]
    queue.tell(facts.Delivered(queue.last(do.SendAway).id))
    queue.answer(do.Ack)
    queue.wait(1)
    queue.answer(do.Count)

    assert queue.invoked()[1:] == [["a2", "a3"]]


def test_a_batch_that_could_not_be_run_runs_again_as_it_was_and_is_not_counted():
    queue = DrivenFifo(concurrency_max=1)
    queue.bring("a1", "a2")
    queue.tell(facts.Responded(queue.last(do.Invoke).id, NOT_RUN))
    queue.wait(500)

    assert queue.invoked() == [["a1", "a2"], ["a1", "a2"]]
    assert queue.count(do.Nack) == queue.count(do.Count) == 0
    assert queue.last(do.Invoke).attempt == 1


def test_what_fits_is_held_behind_a_group_that_fails_and_past_that_nothing_is_received_and_it_is_said():
    queue = DrivenFifo(held_max=5, batch_size=2)
    queue.bring("a1", "a2")
    queue.respond(FAILED)
    queue.bring("a3", "a4")
    assert queue.last(do.Receive).messages_max == 1
    assert not queue.machine.view().is_full
    queue.bring("a5")

    view = queue.machine.view()
    assert (view.is_full, view.blocked_groups, view.held) == (True, ("a",), 5)
    asked = queue.count(do.Receive)
    queue.wait(1_000)
    assert queue.count(do.Receive) == asked


def test_what_is_held_is_extended_however_long_its_group_fails():
    queue = DrivenFifo(concurrency_max=1, visibility_timeout_ms=30_000)
    queue.bring("a1")
    queue.report("a1")
    queue.bring("a2")

    queue.wait(29_000)

    extended = {receipt for extend in queue.all_of(do.Extend) for receipt in extend.receipts}
    assert extended == {"a1/1", "a2/1"}
    assert queue.count(do.Nack) == 0


def test_what_came_too_late_to_a_lost_lease_goes_back_whole_and_nothing_is_received_until_it_is_there():
    queue = DrivenFifo(extends=False)
    queue.bring("a1")
    queue.report("a1")
    queue.bring("a2", "b1")
    receive = queue.last(do.Receive)
    queue.wait(LEASE_MS - 1)
    assert queue.count(do.Nack) == 0

    queue.wait(1)

    returned = [(nack.receipts, nack.counted) for nack in queue.all_of(do.Nack)]
    assert returned == [(("a2/1",), False), (("a1/1",), True)]
    assert do.Cancel(receive.id) in queue.all_of(do.Cancel)
    assert do.Cancel(queue.last(do.Invoke).id) in queue.all_of(do.Cancel), "b1 may run elsewhere by now"
    queue.tell(facts.Received(receive.id, [grouped("a3", "a")]))
    assert queue.last(do.Nack).receipts == ("a3/1",)
    asked = queue.count(do.Receive)
    for nack in queue.all_of(do.Nack):
        assert queue.count(do.Receive) == asked
        queue.settle(nack)
    assert queue.count(do.Receive) == asked + 1


def test_an_ack_of_what_was_another_s_by_then_gives_back_what_is_behind_it():
    queue = DrivenFifo(batch_size=1, concurrency_max=1)
    queue.bring("a1", "a2")
    queue.report()

    queue.tell(facts.Settled(queue.last(do.Ack).id, expired=True))

    assert (queue.last(do.Nack).receipts, queue.last(do.Nack).counted) == (("a2/1",), False)
    assert queue.reports(reports.LeasesExpired) == [reports.LeasesExpired(1)]


def test_a_stop_gives_back_what_was_run_counted_and_what_was_not_uncounted():
    queue = DrivenFifo(batch_size=2)
    queue.bring("a1", "a2", "a3", "b1")
    queue.report("a1", "a2", of=0)
    queue.revoke(10_000)

    returned = [(nack.receipts, nack.delay_ms, nack.counted) for nack in queue.all_of(do.Nack)]
    assert returned == [(("a3/1",), 0, False), (("a1/1", "a2/1"), LEASE_MS, True)]


def test_what_fails_while_it_stops_goes_back_for_its_delay():
    queue = DrivenFifo(concurrency_max=1)
    queue.bring("a1", "a2")
    queue.revoke(10_000)

    queue.report("a2")

    assert queue.last(do.Ack).receipts == ("a1/1",)
    assert (queue.last(do.Nack).receipts, queue.last(do.Nack).delay_ms) == (("a2/1",), LEASE_MS)
    assert queue.last(do.Nack).counted


def test_a_run_that_is_ended_goes_back_with_what_is_behind_it():
    queue = DrivenFifo(batch_size=1, concurrency_max=1)
    queue.bring("a1", "a2")
    queue.revoke(1_000)
    queue.pass_time(1_000)

    queue.respond(NotRun("ended by the node"))

    assert [(nack.receipts, nack.counted) for nack in queue.all_of(do.Nack)] == [(("a2/1",), False), (("a1/1",), False)]


def test_a_queue_that_can_not_hide_what_fails_has_it_held_here():
    queue = DrivenFifo(is_fifo=False, is_delayed=False)
    queue.bring("a1", "a2", "a3")
    queue.report("a2")
    assert queue.last(do.Ack).receipts == ("a1/1", "a3/1")
    queue.bring("a4")
    queue.respond(RETURNED)

    queue.wait(LEASE_MS)
    queue.answer(do.Count)

    assert queue.invoked() == [["a1", "a2", "a3"], ["a4"], ["a2"]]
    assert queue.last(do.Invoke).batch.messages[0].receive_count == 2
    assert queue.count(do.Nack) == 0


def test_what_fails_goes_back_once_failures_take_half_of_what_may_be_held():
    queue = DrivenFifo(is_fifo=False, is_delayed=False, held_max=4)
    queue.bring("a1", "a2", "a3")
    queue.report("a1", "a2")
    assert queue.count(do.Nack) == 0
    queue.bring("a4", "a5")

    queue.report("a4")

    assert [(nack.receipts, nack.delay_ms, nack.counted) for nack in queue.all_of(do.Nack)] == [
        (("a4/1",), LEASE_MS, True)
    ]
    queue.answer(do.Nack)
    queue.bring("a6")
    assert queue.invoked()[-1] == ["a6"]


def test_a_fifo_queue_holds_what_fails_however_much_it_is():
    queue = DrivenFifo(held_max=2)
    queue.bring("a1", "b1")
    queue.report("a1", "b1")

    assert queue.count(do.Nack) == 0
