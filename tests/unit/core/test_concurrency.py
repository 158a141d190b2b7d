from __future__ import annotations

from collections import Counter
from collections.abc import Hashable

import pytest

from penstock.core.concurrency import Concurrency


def node(node_max: int, *mappings: str, **caps: int | None) -> Concurrency:
    """Make a node whose mappings are named `function/mapping`."""
    one = Concurrency(node_max=node_max)
    for function, most in caps.items():
        one.cap(function, most)
    for mapping in mappings:
        one.join(mapping, mapping.split("/", maxsplit=1)[0])
    return one


def request_many(of: Concurrency, mapping: str, count: int) -> list[Hashable]:
    return [granted for index in range(count) for granted in of.request((mapping, index), mapping)]


def test_a_free_environment_is_granted_at_once():
    assert node(2, "f/a").request("one", "f/a") == ["one"]


def test_no_more_are_granted_than_the_node_may_have():
    one = node(2, "f/a")

    assert len(request_many(one, "f/a", 5)) == 2
    assert one.held == 2


def test_no_more_are_granted_than_the_function_may_have():
    one = node(10, "f/a", "f/b", "g/c", f=2)

    assert len(request_many(one, "f/a", 5)) == 2
    assert request_many(one, "f/b", 5) == []
    assert len(request_many(one, "g/c", 5)) == 5
    assert one.held_by("f") == 2


def test_a_function_never_has_more_than_the_node():
    one = node(2, "f/a", f=100)

    assert len(request_many(one, "f/a", 5)) == 2


def test_a_full_function_does_not_keep_another_waiting():
    one = node(10, "f/a", "g/b", f=1)
    request_many(one, "f/a", 3)

    assert one.request("other", "g/b") == ["other"]


def test_what_is_given_back_goes_to_who_waits():
    one = node(1, "f/a")
    request_many(one, "f/a", 3)

    assert one.give_back(("f/a", 0)) == [("f/a", 1)]
    assert one.give_back(("f/a", 1)) == [("f/a", 2)]


def test_giving_back_a_request_that_waits_takes_it_out():
    one = node(1, "f/a")
    request_many(one, "f/a", 3)

    assert one.give_back(("f/a", 1)) == []
    assert one.give_back(("f/a", 0)) == [("f/a", 2)]


def test_giving_back_what_nobody_has_changes_nothing():
    one = node(1, "f/a")
    request_many(one, "f/a", 1)

    assert one.give_back("stranger") == []
    one.give_back(("f/a", 0))
    assert one.give_back(("f/a", 0)) == []
    assert one.held == 0


def test_asking_twice_is_asking_once():
    one = node(1, "f/a", "f/b")
    one.request("holder", "f/a")
    one.request("waiter", "f/b")
    one.request("waiter", "f/b")

    assert one.give_back("holder") == ["waiter"]
    assert one.give_back("waiter") == []


def test_of_one_busy_mapping_and_nine_quiet_ones_none_starves():
    quiet = [f"f/quiet{index}" for index in range(9)]
    one = node(2, "f/busy", *quiet)
    holding = request_many(one, "f/busy", 50)
    for name in quiet:
        assert one.request((name, 0), name) == []

    turns: list[Hashable] = []
    while len(turns) < 20:
        granted = one.give_back(holding.pop(0))
        holding += granted
        turns += granted

    served = Counter(name for name, _ in turns[:11])
    assert all(served[name] == 1 for name in quiet), "each quiet mapping has had its turn before the busy one's third"


def test_among_equals_the_one_that_waited_longest_is_next_in_every_process():
    names = [f"f/{letter}" for letter in "qwertzuiop"]
    one = node(1, "f/first", *names)
    one.request("first", "f/first")
    for name in names:
        one.request(name, name)

    order, holder = [], "first"
    for _ in names:
        [holder] = one.give_back(holder)  # type: ignore[assignment] - requesters are texts here
        order.append(holder)

    assert order == names


@pytest.mark.parametrize(("held", "room"), [(0, True), (1, True), (2, False)])
def test_it_tells_whether_one_would_be_free(held: int, room: bool):  # noqa: FBT001 - a table
    one = node(10, "f/a", f=2)
    request_many(one, "f/a", held)

    assert one.has_room("f") == room
