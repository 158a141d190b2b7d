"""The settings of a mapping as the core knows them: our names, units last, all defaults filled in."""

from dataclasses import dataclass
from typing import Literal

from penstock.api import PAYLOAD_BYTES_MAX, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class RetryBackoff:
    """How long to wait before a retry (`D1`): `initial_ms × multiplier^(n-1)`, at most `maximum_ms`, ±20 %."""

    initial_ms: int = 500
    maximum_ms: int = 20_000
    multiplier: float = 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """A stream mapping (`lambda-semantics.md §1`). `retry_attempts_max` -1 means without end."""

    start: Start
    batch_size: int = 100
    batching_window_ms: int = 0
    retry_attempts_max: int = -1
    backoff: RetryBackoff = RetryBackoff()
    function_timeout_ms: int = 3000
    event_bytes_max: int = PAYLOAD_BYTES_MAX


LEASE_MS_LEAST = 1_000
"""A queue may return failures at once, but what is held must be held for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """A queue mapping. `concurrency_max` None means as much as the function and the node may have.

    `on_filtered` says what becomes of a message that no filter matches (D25): it is deleted, or comes back after the
    visibility timeout, uncounted, for another receiver to have.
    """

    batch_size: int = 10
    batching_window_ms: int = 0
    visibility_timeout_ms: int = 30_000
    concurrency_max: int | None = None
    on_filtered: Literal["delete", "keep"] = "delete"
    backoff: RetryBackoff = RetryBackoff()
    function_timeout_ms: int = 3000
    event_bytes_max: int = PAYLOAD_BYTES_MAX

    @property
    def lease_ms(self) -> int:
        """How long a message is ours without being extended."""
        return max(self.visibility_timeout_ms, LEASE_MS_LEAST)
