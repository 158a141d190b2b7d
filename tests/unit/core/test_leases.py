from __future__ import annotations

from itertools import count
from typing import Any

import pytest

from penstock.core.commands import Extend
from penstock.core.leases import EXTEND_EVERY_MS_LEAST, TOGETHER_SHARE, Leases

LEASE_MS = 30_000
THIRD_MS = LEASE_MS // 3


class Kept:
    """Leases with ids for their commands."""

    def __init__(self, lease_ms: int = LEASE_MS) -> None:
        self.leases = Leases(lease_ms=lease_ms)
        self._ids = count(1)

    def ask(self, now_ms: int) -> list[Extend]:
        return self.leases.due(now_ms, lambda: next(self._ids))

    def due(self, now_ms: int) -> list[tuple[str, ...]]:
        return [command.receipts for command in self.ask(now_ms)]

    def __getattr__(self, name: str) -> Any:
        return getattr(self.leases, name)


def test_a_lease_is_extended_when_a_third_of_it_has_passed_again_and_again():
    kept = Kept()
    kept.hold(("a", "b"), 0)

    assert kept.deadline_ms() == THIRD_MS
    assert kept.due(THIRD_MS - 1) == []
    assert kept.ask(THIRD_MS) == [Extend(1, ("a", "b"), LEASE_MS)]
    assert kept.due(THIRD_MS) == []
    assert kept.due(2 * THIRD_MS) == [("a", "b")]


def test_what_comes_soon_after_is_extended_together_with_it():
    kept = Kept()
    kept.hold(("a",), 0)
    kept.hold(("b",), LEASE_MS // TOGETHER_SHARE)
    kept.hold(("c",), LEASE_MS // TOGETHER_SHARE + 1)

    assert kept.due(THIRD_MS) == [("a", "b")]
    assert kept.due(THIRD_MS + LEASE_MS // TOGETHER_SHARE + 1) == [("c",)]


def test_however_long_messages_are_held_and_however_many_come_there_are_few_extensions():
    kept = Kept()
    for second in range(600):
        kept.hold((f"m{second}",), second * 1_000)
        for command in kept.ask(second * 1_000):
            kept.on_extended(command.id, second * 1_000, expired=False)

    assert sum(len(kept.due(600_000 + each * 500)) for each in range(THIRD_MS // 500)) <= TOGETHER_SHARE // 3 + 2
    assert len(kept.leases) == 600


def test_what_was_let_go_is_extended_no_more():
    kept = Kept()
    kept.hold(("a", "b"), 0)

    kept.let_go(("a", "x"))
    assert kept.due(THIRD_MS) == [("b",)]
    kept.let_go(("b",))
    kept.let_go(("b",))

    assert kept.deadline_ms() is None
    assert len(kept.leases) == 0


def test_a_lease_that_was_never_extended_runs_out_and_is_told_of_once():
    kept = Kept()
    kept.hold(("a",), 0)
    kept.ask(THIRD_MS)
    kept.ask(2 * THIRD_MS)

    assert kept.lapsed(LEASE_MS - 1) == ()
    assert kept.lapsed(LEASE_MS) == ("a",)
    assert kept.lapsed(LEASE_MS) == ()


def test_an_extension_counts_from_when_it_was_asked_for():
    kept = Kept()
    kept.hold(("a",), 0)
    (asked,) = kept.ask(THIRD_MS)

    assert kept.on_extended(asked.id, THIRD_MS, expired=False) == ()

    assert kept.lapsed(THIRD_MS + LEASE_MS - 1) == ()
    assert kept.lapsed(THIRD_MS + LEASE_MS) == ("a",)


def test_a_lease_that_had_run_out_and_was_extended_after_all_can_run_out_again():
    kept = Kept()
    kept.hold(("a",), 0)
    (asked,) = kept.ask(THIRD_MS)
    assert kept.lapsed(LEASE_MS) == ("a",)

    kept.on_extended(asked.id, LEASE_MS, expired=False)

    assert kept.lapsed(THIRD_MS + LEASE_MS) == ("a",)


def test_an_extension_that_is_answered_when_it_is_over_changes_nothing():
    kept = Kept()
    kept.hold(("a",), 0)
    (asked,) = kept.ask(THIRD_MS)
    assert kept.lapsed(2 * LEASE_MS) == ("a",)

    kept.on_extended(asked.id, 2 * LEASE_MS, expired=False)

    assert kept.lapsed(2 * LEASE_MS) == ()
    deadline_ms = kept.deadline_ms()
    assert deadline_ms == 2 * THIRD_MS


def test_an_extension_that_finds_receipts_expired_makes_all_of_them_doubtful():
    kept = Kept()
    kept.hold(("a", "b"), 0)
    (asked,) = kept.ask(THIRD_MS)

    assert kept.on_extended(asked.id, THIRD_MS, expired=True) == ("a", "b")


def test_where_some_were_settled_meanwhile_they_are_the_ones_that_expired():
    kept = Kept()
    kept.hold(("a", "b"), 0)
    (asked,) = kept.ask(THIRD_MS)
    kept.let_go(("a",))

    assert kept.on_extended(asked.id, THIRD_MS, expired=True) == ()
    assert kept.lapsed(LEASE_MS) == ()


def test_answers_that_nobody_waits_for_change_nothing():
    kept = Kept()
    kept.hold(("a",), 0)
    (first,) = kept.ask(THIRD_MS)
    (second,) = kept.ask(2 * THIRD_MS)

    assert kept.on_extended(first.id, 2 * THIRD_MS, expired=False) is None
    assert kept.on_failed(first.id) is False
    assert kept.on_failed(second.id) is True
    assert kept.on_failed(second.id) is False
    assert kept.lapsed(LEASE_MS) == ("a",)


@pytest.mark.parametrize("lease_ms", [1, 5])
def test_however_short_a_lease_is_extending_it_leaves_time_for_other_things(lease_ms: int):
    kept = Kept(lease_ms)
    kept.hold(("a",), 0)
    kept.lapsed(lease_ms)

    kept.due(EXTEND_EVERY_MS_LEAST)

    assert kept.deadline_ms() == 2 * EXTEND_EVERY_MS_LEAST
