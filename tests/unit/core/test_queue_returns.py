"""How a queue machine gives back what nobody runs here, and what it owes a queue whose leases are connections."""

from __future__ import annotations

from typing import Any

from penstock.api import Message
from penstock.core import commands as do
from penstock.core import facts
from simulation.layout import PlainMessageFilter
from unit.core.driving import FAILED, RETURNED, DrivenQueue, grouped, message, names

LEASE_MS = 30_000


def waiting_to_be_counted(**settings: Any) -> DrivenQueue:
    """Bring a message of a group to where its second run is being counted."""
    queue = DrivenQueue(is_fifo=True, **settings)
    queue.invoke(grouped("a1", "a"))
    queue.respond(FAILED)
    queue.pass_time(LEASE_MS)
    assert queue.last(do.Count).receive_count == 2
    return queue


def holding_what_is_too_large() -> DrivenQueue:
    queue = DrivenQueue(is_delayed=False, is_leased=False, event_bytes_max=200)
    queue.invoke("a", message("big", 500))
    return queue


def test_what_is_being_counted_goes_back_when_it_is_known_how_often_it_counts():
    queue = waiting_to_be_counted()

    queue.revoke(60_000)
    assert queue.count(do.Nack) == 0
    queue.settle(queue.last(do.Count))

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("a1/1",), 0, False)
    queue.receive()
    assert queue.count(do.Release) == 0
    queue.settle(nack)
    assert queue.count(do.Release) == 1


def test_a_count_that_is_never_answered_is_repeated_and_holds_no_stop_up_for_ever():
    queue = waiting_to_be_counted()

    queue.revoke(60_000)
    queue.pass_time(60_000)
    assert queue.count(do.Count) > 1
    queue.pass_time(5_000)

    assert queue.count(do.Nack) == 0, "it comes back by its lease"
    assert queue.count(do.Release) == 1


def test_what_can_not_be_hidden_is_held_for_its_timeout_and_then_returned_uncounted():
    queue = holding_what_is_too_large()
    assert names(queue.last(do.Invoke).batch) == ["a"]
    queue.respond(RETURNED)
    assert queue.count(do.Nack) == 0
    assert queue.machine.view().held == 1
    assert not queue.machine.view().is_idle

    queue.pass_time(LEASE_MS)

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("big/1",), 0, False)
    assert queue.machine.view().held == 0


def test_what_is_hidden_here_goes_back_when_the_mapping_stops():
    queue = holding_what_is_too_large()

    queue.revoke(1_000)

    nack = queue.last(do.Nack)
    assert (nack.receipts, nack.delay_ms, nack.counted) == (("big/1",), 0, False)


def test_what_is_to_be_kept_for_others_does_not_come_again_at_once_where_it_can_not_be_hidden():
    queue = DrivenQueue(is_delayed=False, on_filtered="keep", record_filter=PlainMessageFilter())

    queue.receive(Message("other", "other/1", b"-", 1, 0, 0))
    assert queue.count(do.Nack) == 0
    queue.pass_time(LEASE_MS)

    assert (queue.last(do.Nack).receipts, queue.last(do.Nack).counted) == (("other/1",), False)


def test_what_is_hidden_here_is_a_part_of_what_may_be_held():
    queue = DrivenQueue(is_delayed=False, event_bytes_max=200, held_max=3)

    queue.receive(message("big", 500))

    assert queue.last(do.Receive).messages_max == 2


def test_an_ack_is_repeated_for_as_long_as_its_connection_may_last():
    queue = DrivenQueue(is_delayed=False, is_leased=False)
    queue.invoke("a")
    queue.respond(RETURNED)

    for _ in range(20):
        queue.tell(facts.SettleFailed(queue.last(do.Ack).id, "the store is full"))
        queue.pass_time(LEASE_MS)

    assert queue.count(do.Ack) > 10
    assert queue.machine.view().settling == 1
    queue.settle(queue.last(do.Ack))
    assert queue.machine.view().settling == 0


def test_a_receive_that_is_never_answered_does_not_keep_a_group_from_coming_again():
    queue = DrivenQueue(is_fifo=True)
    queue.invoke(grouped("a1", "a"))
    queue.respond(RETURNED)
    receives = queue.count(do.Receive)

    queue.tell(facts.Settled(queue.last(do.Ack).id, expired=True))
    assert isinstance(queue.all_of(do.Cancel)[-1], do.Cancel)
    queue.pass_time(2_000)

    assert queue.count(do.Receive) == receives + 1
