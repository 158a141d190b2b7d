from __future__ import annotations

from typing import Any

from penstock.api import Message
from penstock.core.groups import Groups
from simulation.layout import PlainLayout, event_bytes
from unit.core.driving import grouped

ROOMY = 1_000_000


class Held:
    """Groups of messages that are named by their group and a number: `a1`."""

    def __init__(self, *names: str, by_group: bool = True) -> None:
        self.groups = Groups(PlainLayout(), by_group=by_group)
        self.add(*names)

    def add(self, *names: str, now_ms: int = 0) -> Any:
        return self.groups.add([one(name) for name in names], now_ms)

    def take(self, batch_size: int = 10, *, limit: int = ROOMY) -> list[str]:
        return [message.message_id for message in self.groups.take(batch_size, limit)[0]]

    def is_ready(self, now_ms: int = 0, *, batch_size: int = 10, window_ms: int = 0) -> bool:
        return self.groups.is_ready(now_ms, batch_size=batch_size, window_ms=window_ms)

    def finish(self, *names: str, now_ms: int = 0) -> None:
        self.groups.finish(map(receipt, names), now_ms)

    def hold(self, now_ms: int = 0, **delays_ms: int | None) -> None:
        self.groups.hold_back([(one(name), delay_ms) for name, delay_ms in delays_ms.items()], now_ms)

    def count(self, now_ms: int) -> list[str]:
        """Count what is due, and hear that it is."""
        counts = self.groups.due(now_ms, count_max=10)
        receipts = [each for receipts in counts.values() for each in receipts]
        self.groups.counted(receipts, now_ms)
        return [each.partition("/")[0] for each in receipts]


def one(name: str) -> Message:
    return grouped(name, name[0])


def receipt(name: str) -> str:
    return f"{name}/1"


def test_a_batch_takes_what_comes_first_of_a_group_and_then_of_the_next():
    held = Held("a1", "b1", "a2", "c1", "b2")

    assert len(held.groups) == 5
    assert held.take(4) == ["a1", "a2", "b1", "b2"]
    assert held.take(4) == ["c1"]
    assert not held.is_ready()


def test_a_group_that_is_out_waits_and_the_others_run():
    held = Held("a1", "a2", "b1")
    assert held.take(1) == ["a1"]

    assert held.take() == ["b1"]
    held.add("a3")
    assert not held.is_ready()
    held.finish("a1")

    assert held.take() == ["a2", "a3"]


def test_a_group_is_out_until_the_last_message_of_its_batch_is_settled():
    held = Held("a1", "a2", "a3")
    held.take(2)

    held.finish("a1")
    assert not held.is_ready()
    held.finish("a2")
    assert held.take() == ["a3"]


def test_groups_take_turns():
    held = Held("a1", "a2", "a3", "b1", "b2")
    order = []
    for now_ms in range(5):
        order += (taken := held.take(1))
        held.finish(*taken, now_ms=now_ms)

    assert order == ["a1", "b1", "a2", "b2", "a3"]


def test_a_batch_is_cut_at_the_size_of_an_event_and_the_rest_keeps_its_place():
    held = Held("a1", "a2", "b1")
    limit = event_bytes([one("a1")])

    assert held.take(limit=limit) == ["a1"]
    assert held.take(limit=limit) == ["b1"]
    held.finish("a1")
    assert held.take(limit=limit) == ["a2"]


def test_a_window_begins_with_the_first_that_could_run():
    held = Held()
    held.add("a1", now_ms=100)
    held.add("b1", now_ms=300)

    assert not held.is_ready(599, window_ms=500)
    assert held.is_ready(600, window_ms=500)
    assert held.is_ready(300, batch_size=2, window_ms=500)


def test_what_waited_behind_its_group_waits_for_no_window():
    held = Held("a1", "a2")
    held.take(1)

    held.finish("a1", now_ms=50)

    assert held.is_ready(50, window_ms=60_000)


def test_what_failed_runs_again_first_when_it_is_due_and_counted():
    held = Held("a1", "a2", "a3", "b1")
    held.take(3)
    held.finish("a1")
    held.hold(a2=5_000, a3=None)

    assert held.take() == ["b1"]
    assert held.groups.deadline_ms() == 5_000
    assert held.groups.due(4_999, count_max=10) == {}
    assert held.groups.due(5_000, count_max=10) == {2: ("a2/1", "a3/1")}
    assert not held.is_ready(5_000), "its run is not counted yet"
    held.groups.counted(("a2/1", "a3/1"), 5_050)

    messages, first = held.groups.take(10, ROOMY)
    assert [(message.message_id, message.receive_count) for message in messages] == [("a2", 2), ("a3", 2)]
    assert first == 0


def test_what_comes_behind_a_failure_waits_for_it():
    held = Held("a1")
    held.take()
    held.hold(a1=5_000)
    held.add("a2")

    assert not held.is_ready()
    assert held.count(5_000) == ["a1"]
    assert held.take() == ["a1", "a2"]


def test_one_that_asked_for_a_longer_wait_holds_back_itself_and_what_is_behind_it():
    held = Held("a1", "a2", "a3")
    held.take()
    held.hold(a1=1_000, a2=9_000, a3=None)

    assert held.count(1_000) == ["a1"]
    assert held.take() == ["a1"]
    held.finish("a1", now_ms=1_500)
    assert held.groups.deadline_ms() == 9_000
    assert held.count(9_000) == ["a2", "a3"]
    assert held.take() == ["a2", "a3"]


def test_a_run_that_could_not_be_had_is_as_if_it_had_not_been():
    held = Held("a1", "a2")
    messages, _ = held.groups.take(10, ROOMY)
    held.groups.put_back(messages, 100)
    held.add("a3")

    assert held.take() == ["a1", "a2", "a3"]
    assert held.groups.blocked_since_ms is None


def test_groups_that_fail_are_named_until_what_failed_is_done():
    held = Held("a1", "b1")
    held.take()
    held.hold(100, b1=1_000)
    held.hold(200, a1=1_000)

    assert held.groups.blocked(5) == ("b", "a")
    assert held.groups.blocked(1) == ("b",)
    assert held.groups.blocked_since_ms == 100
    held.count(1_100)
    assert held.groups.blocked_since_ms == 100
    held.take()
    held.finish("b1", now_ms=1_200)
    assert held.groups.blocked(5) == ("a",)


def test_it_counts_what_is_held_and_what_of_it_never_ran():
    held = Held("a1", "a2", "b1")
    assert (held.groups.held, held.groups.unrun) == (3, 3)
    held.take(2)
    assert (held.groups.held, held.groups.unrun) == (1, 1)
    held.hold(a1=5_000)
    held.finish("a2")
    assert (held.groups.held, held.groups.unrun) == (2, 1)
    assert held.groups.bytes_count > 0


def test_a_group_goes_back_whole_what_was_run_apart_from_what_was_not():
    held = Held("a1", "b1")
    held.take()
    held.hold(b1=5_000)
    held.add("b2", "a2")

    given_up = held.groups.give_up([receipt("b2")], 1_000)

    assert (given_up.unspent, given_up.spent, given_up.unrun) == (("b2/1",), (("b1/1", 4_000),), 1)
    assert held.groups.held == 1
    assert held.groups.blocked_since_ms is None or held.groups.is_barred


def test_what_comes_of_a_group_on_its_way_back_goes_back_too_until_it_is_there():
    held = Held("a1", "b1")
    held.groups.give_up([receipt("a1")], 0)
    assert held.groups.is_barred

    assert held.add("a2", "b2").barred == ("a2/1",)
    held.groups.lift_bars(0)
    assert held.groups.is_barred, "nobody has answered yet"
    held.finish("a1", "a2")
    held.groups.lift_bars(0)

    assert not held.groups.is_barred
    assert held.add("a1").barred == ()
    assert held.take() == ["b1", "b2", "a1"]


def test_giving_everything_up_leaves_what_is_out():
    held = Held("a1", "a2", "b1")
    held.take(1)

    given_up = held.groups.give_up(None, 0)

    assert sorted(given_up.unspent) == ["a2/1", "b1/1"]
    assert held.groups.held == 0
    held.finish("a1", "a2", "b1")
    held.groups.lift_bars(0)
    held.add("a3")
    assert held.take() == ["a3"]


def test_a_count_that_comes_after_its_group_was_given_up_changes_nothing():
    held = Held("a1")
    held.take()
    held.hold(a1=1_000)
    held.groups.due(1_000, count_max=10)
    given_up = held.groups.give_up(None, 1_000)

    held.groups.counted(("a1/1",), 1_001)

    assert given_up.counting == ("a1/1",)
    held.finish("a1", now_ms=1_002)
    held.groups.lift_bars(1_002)
    held.add("a1", now_ms=1_003)
    assert held.take() == ["a1"]


def test_a_message_that_waits_and_comes_again_keeps_its_place_under_its_newest_receipt():
    held = Held("a1", "a2")
    again = grouped("a1", "a", receive_count=2)

    added = held.groups.add([again], 0)

    assert added.outdated == ("a1/1",)
    messages, _ = held.groups.take(10, ROOMY)
    assert [(message.message_id, message.receipt, message.receive_count) for message in messages] == [
        ("a1", "a1/2", 1), ("a2", "a2/1", 1),
    ]  # fmt: skip


def test_a_message_that_runs_and_comes_again_waits_behind_itself():
    held = Held("a1", "a2")
    held.take(1)
    held.groups.add([grouped("a1", "a", receive_count=2)], 0)
    assert held.groups.held == 2

    held.finish("a1")

    assert held.take() == ["a2", "a1"]


def test_without_groups_each_message_goes_its_own_way():
    held = Held("a1", "a2", "a3", by_group=False)
    held.take(2)
    held.hold(a1=5_000)

    assert held.take() == ["a3"]
    held.add("a4")
    assert held.take() == ["a4"]
    assert held.groups.blocked(5) == ()
    assert held.count(5_000) == ["a1"]
    assert held.take() == ["a1"]
