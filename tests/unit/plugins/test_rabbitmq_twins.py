"""Deduplication ids of a FIFO queue in flight, and five minutes after."""

from __future__ import annotations

import pytest

from penstock_rabbitmq.twins import REMEMBERED_S, Twins


class _World:
    now_s = 0.0

    def __init__(self):
        self.lost: set[str] = set()
        self.twins = Twins(lambda: self.now_s, lambda receipt: receipt not in self.lost)


@pytest.fixture
def world():
    return _World()


def test_a_twin_waits_and_is_settled_with_the_first(world):
    assert world.twins.begin("one", "r1")
    assert not world.twins.begin("one", "r2")
    assert world.twins.begin("two", "r3")
    assert world.twins.settle(["r1"]) == ["r2"]
    assert world.twins.was_settled("one")
    assert not world.twins.was_settled("two")


def test_a_settled_id_is_remembered_for_five_minutes(world):
    world.twins.begin("one", "r1")
    world.twins.settle(["r1"])
    world.now_s = REMEMBERED_S - 1
    assert world.twins.was_settled("one")
    world.now_s = REMEMBERED_S + 1
    assert not world.twins.was_settled("one")


def test_a_twin_comes_again_with_the_first(world):
    world.twins.begin("one", "r1")
    world.twins.begin("one", "r2")
    assert world.twins.give_back(["r1"]) == ["r2"]
    assert world.twins.begin("one", "r1.1")
    assert not world.twins.begin("one", "r2.1")


def test_a_message_is_not_the_twin_of_one_that_was_lost(world):
    world.twins.begin("one", "r1")
    world.lost.add("r1")
    assert world.twins.begin("one", "r2")
    # The lost one's settlement is heard too late to mean the new one.
    assert not world.twins.begin("one", "r3")
    world.twins.settle(["r1"])
    assert not world.twins.begin("one", "r4")
