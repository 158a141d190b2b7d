"""When a failed batch is tried again, and when it is given up (D1, D2)."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock.core.settings import RetryBackoff

Jitter: TypeAlias = Callable[[], float]
"""Gives a number between -1 and 1; chance comes in as an argument."""

JITTER_SHARE = 0.2


@dataclass(frozen=True, slots=True)
class RetryAfter:
    """Try again so long from now."""

    wait_ms: int


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Do not try again; `condition` is Lambda's word for why."""

    condition: Literal["RetryAttemptsExhausted"]


def wait_ms(backoff: RetryBackoff, tries: int, jitter: Jitter) -> int:
    """Tell how long to wait after so many tries (1, 2, …) that did not succeed: growing, capped, spread by ±20 %."""
    # The exponent is bounded so that the ten-thousandth retry does not overflow a float.
    grown = backoff.initial_ms * backoff.multiplier ** min(tries - 1, 64)
    return round(min(grown, backoff.maximum_ms) * (1 + JITTER_SHARE * jitter()))


class RetryPolicy:
    """Decides after each failed attempt of one batch. Knows no time and no batch.

    `MaximumRetryAttempts` N means N retries after the first try (`lambda-semantics.md §3.3`); -1 means without end.
    """

    def __init__(self, *, backoff: RetryBackoff, retry_attempts_max: int, jitter: Jitter) -> None:
        """Take the settings and the source of chance."""
        self._backoff = backoff
        self._retry_attempts_max = retry_attempts_max
        self._jitter = jitter

    def after(self, attempts_ended: int) -> RetryAfter | GiveUp:
        """Decide, when so many attempts have ended without success."""
        if 0 <= self._retry_attempts_max < attempts_ended:
            return GiveUp("RetryAttemptsExhausted")
        return RetryAfter(wait_ms(self._backoff, attempts_ended, self._jitter))

    def after_not_run(self, times: int) -> RetryAfter:
        """Decide, when a batch could not be run so many times in a row: never an attempt, never given up."""
        return RetryAfter(wait_ms(self._backoff, times, self._jitter))
