from __future__ import annotations

import pytest

from penstock.core.scaling import MINUTE_MS, Scaling


def busy(scaling: Scaling, minutes: int, *, from_ms: int = 0) -> list[int | None]:
    """Keep all that is allowed in use for so many minutes; gives what is allowed in each."""
    limits = []
    for minute in range(minutes):
        now_ms = from_ms + minute * MINUTE_MS
        scaling.advance(now_ms)
        limits.append(scaling.limit)
        scaling.on_busy(scaling.limit or 0, now_ms)
    return limits


@pytest.mark.parametrize("most", [None, 1, 1000])
def test_eager_knows_no_limit_but_the_mapping_s_own(most: int | None):
    scaling = Scaling("eager", most)
    scaling.on_failed()
    scaling.on_empty_receive()

    assert busy(scaling, 3) == [most] * 3
    assert scaling.deadline_ms() is None


@pytest.mark.parametrize(
    ("policy", "limits"),
    [
        ("lambda-2023", [5, 65, 125, 185, 245]),
        ("lambda", [5, 305, 605, 905, 1205, 1250, 1250]),
    ],
)
def test_it_begins_with_five_and_adds_its_step_each_busy_minute(policy: str, limits: list[int]):
    assert busy(Scaling(policy, None), len(limits)) == limits


def test_of_2023_there_are_never_more_than_a_thousand():
    assert max(limit or 0 for limit in busy(Scaling("lambda-2023", None), 30)) == 1_000


@pytest.mark.parametrize(("most", "limits"), [(1, [1, 1, 1]), (3, [3, 3, 3]), (100, [5, 65, 100, 100])])
def test_it_never_passes_the_mapping_s_own_limit(most: int, limits: list[int]):
    assert busy(Scaling("lambda-2023", most), len(limits)) == limits


def test_a_minute_in_which_not_all_was_in_use_is_not_busy():
    scaling = Scaling("lambda-2023", None)
    scaling.on_busy(4, 0)
    scaling.advance(10 * MINUTE_MS)

    assert scaling.limit == 5
    assert scaling.deadline_ms() is None


def test_growth_is_due_a_minute_after_it_was_busy():
    scaling = Scaling("lambda-2023", None)
    scaling.on_busy(5, 7_000)

    assert scaling.deadline_ms() == 7_000 + MINUTE_MS
    scaling.advance(7_000 + MINUTE_MS - 1)
    assert scaling.limit == 5
    scaling.advance(7_000 + MINUTE_MS)
    assert scaling.limit == 65


def test_one_busy_minute_grows_it_once_however_long_it_was_not_looked_at():
    scaling = Scaling("lambda-2023", None)
    scaling.on_busy(5, 0)

    scaling.advance(10 * MINUTE_MS)

    assert scaling.limit == 65


def test_receives_that_bring_nothing_lead_it_back_to_the_floor():
    scaling = Scaling("lambda-2023", None)
    busy(scaling, 4)
    limits = []
    for _ in range(10):
        scaling.on_empty_receive()
        limits.append(scaling.limit)

    assert limits[:3] == [95, 50, 27]
    assert limits[-1] == 5
    assert scaling.deadline_ms() is None


def test_todays_policy_goes_on_to_two_and_back_as_soon_as_two_are_not_enough():
    scaling = Scaling("lambda", None)
    scaling.on_empty_receive()
    assert scaling.limit == 2

    scaling.on_busy(2, 0)

    assert scaling.limit == 5


def test_with_a_limit_of_its_own_it_never_goes_below_five():
    scaling = Scaling("lambda", 8)
    for _ in range(5):
        scaling.on_empty_receive()

    assert scaling.limit == 5


def test_failures_lead_it_down_to_one_and_a_busy_minute_back_to_five():
    scaling = Scaling("lambda-2023", None)
    busy(scaling, 2)
    scaling.advance(10 * MINUTE_MS)
    limits = []
    for _ in range(90):
        scaling.on_failed()
        limits.append(scaling.limit)

    assert limits[:2] == [113, 102]
    assert limits[-1] == 1
    assert busy(scaling, 3, from_ms=20 * MINUTE_MS) == [1, 5, 65]


def test_another_policy_begins_anew_and_another_limit_does_not():
    scaling = Scaling("lambda-2023", None)
    busy(scaling, 2)

    scaling.change("lambda-2023", 10)
    assert scaling.limit == 10
    scaling.change("lambda-2023", None)
    assert scaling.limit == 65
    scaling.change("lambda", None)
    assert scaling.limit == 5
    scaling.change("eager", None)
    assert scaling.limit is None
