from __future__ import annotations

from itertools import accumulate

import pytest

from penstock.core.retry import GiveUp, RetryAfter, RetryPolicy, wait_ms
from penstock.core.settings import RetryBackoff
from unit.core.driving import no_jitter


def policy(retry_attempts_max: int, backoff: RetryBackoff | None = None) -> RetryPolicy:
    return RetryPolicy(backoff=backoff or RetryBackoff(), retry_attempts_max=retry_attempts_max, jitter=no_jitter)


def test_the_waits_double_from_half_a_second_up_to_twenty():
    waits = [wait_ms(RetryBackoff(), tries, no_jitter) for tries in range(1, 9)]

    assert waits == [500, 1_000, 2_000, 4_000, 8_000, 16_000, 20_000, 20_000]


def test_the_eighth_invocation_of_a_function_that_fails_at_once_falls_at_51_and_a_half_seconds():
    waits = [policy(-1).after(attempts) for attempts in range(1, 8)]

    assert list(accumulate(wait.wait_ms for wait in waits if isinstance(wait, RetryAfter)))[-1] == 51_500


@pytest.mark.parametrize(("chance", "wait"), [(-1.0, 400), (0.0, 500), (1.0, 600), (0.5, 550)])
def test_jitter_spreads_a_wait_by_a_fifth_each_way(chance: float, wait: int):
    assert wait_ms(RetryBackoff(), 1, lambda: chance) == wait


def test_a_back_off_of_ones_own_is_kept():
    backoff = RetryBackoff(initial_ms=10, maximum_ms=100, multiplier=3)

    assert [wait_ms(backoff, tries, no_jitter) for tries in range(1, 5)] == [10, 30, 90, 100]


def test_the_ten_thousandth_wait_is_as_long_as_the_longest():
    assert wait_ms(RetryBackoff(multiplier=1000), 10_000, no_jitter) == 20_000


@pytest.mark.parametrize(
    ("retries", "attempts_ended", "is_over"),
    [(0, 1, True), (1, 1, False), (1, 2, True), (3, 3, False), (3, 4, True), (-1, 10_000, False)],
)
def test_n_retries_are_n_plus_one_tries(retries: int, attempts_ended: int, is_over: bool):  # noqa: FBT001 - a table
    decided = policy(retries).after(attempts_ended)

    assert (decided == GiveUp("RetryAttemptsExhausted")) == is_over


def test_what_was_never_run_is_never_given_up():
    assert policy(0).after_not_run(500) == RetryAfter(20_000)
