from __future__ import annotations

import pytest

from penstock.core.leases import EXTEND_EVERY_MS_LEAST, Leases


def test_a_lease_is_extended_when_a_third_of_it_has_passed_again_and_again():
    leases = Leases(lease_ms=30_000)
    leases.hold("ahead", ("a", "b"), 0)

    assert leases.deadline_ms() == 10_000
    assert leases.due(9_999) == []
    assert leases.due(10_000) == [("a", "b")]
    assert leases.due(10_000) == []
    assert leases.deadline_ms() == 20_000


def test_where_an_entry_grows_its_oldest_lease_says_when():
    leases = Leases(lease_ms=30_000)
    leases.hold("ahead", ("a",), 0)
    leases.hold("ahead", ("a", "b"), 9_000)

    assert leases.due(10_000) == [("a", "b")]


def test_what_moves_to_another_entry_keeps_its_time_and_the_rest_stays():
    leases = Leases(lease_ms=30_000)
    leases.hold("ahead", ("a", "b", "c"), 0)

    leases.move("ahead", 7, ("a", "b"), ("c",))

    assert leases.due(10_000) == [("a", "b"), ("c",)]
    leases.let_go(7)
    assert leases.due(20_000) == [("c",)]


def test_nothing_stays_where_all_of_it_moved():
    leases = Leases(lease_ms=30_000)
    leases.hold("ahead", ("a",), 0)

    leases.move("ahead", 7, ("a",), ())

    assert leases.due(10_000) == [("a",)]


def test_what_was_let_go_is_extended_no_more():
    leases = Leases(lease_ms=30_000)
    leases.hold("ahead", ("a",), 0)

    leases.let_go("ahead")
    leases.let_go("ahead")

    assert leases.deadline_ms() is None


@pytest.mark.parametrize("lease_ms", [0, 1, 5])
def test_however_short_a_lease_is_extending_it_leaves_time_for_other_things(lease_ms: int):
    leases = Leases(lease_ms=lease_ms)
    leases.hold("ahead", ("a",), 0)

    leases.due(EXTEND_EVERY_MS_LEAST)

    assert leases.deadline_ms() == 2 * EXTEND_EVERY_MS_LEAST
