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
class DeliverySettings:
    """Which invocation records a mapping sends, and what becomes of those that are not taken (D14).

    `attempts_max` None: a destination that is down is tried until it takes the record. `on_refusal` is for one that
    refuses a record for good, and not for its size.
    """

    on_failure: bool = False
    on_success: bool = False
    on_refusal: Literal["hold", "drop"] = "hold"
    attempts_max: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """A stream mapping (`lambda-semantics.md §1`). `retry_attempts_max` -1 means without end.

    `record_age_ms_max` None means that records never grow too old (D8). `lanes` is the parallelization factor (D6).
    `reports_item_failures` stands for `ReportBatchItemFailures`. `tumbling_window_ms` 0 is no window (D11).
    """

    start: Start
    batch_size: int = 100
    batching_window_ms: int = 0
    retry_attempts_max: int = -1
    record_age_ms_max: int | None = None
    bisects: bool = False
    reports_item_failures: bool = False
    lanes: int = 1
    tumbling_window_ms: int = 0
    tumbling_idle_ms: int = 5_000
    delivery: DeliverySettings = DeliverySettings()
    backoff: RetryBackoff = RetryBackoff()
    function_timeout_ms: int = 3000
    event_bytes_max: int = PAYLOAD_BYTES_MAX


LEASE_MS_LEAST = 1_000
"""A queue may return failures at once, but what is held must be held for a moment."""


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """A queue mapping. `concurrency_max` None means as much as the function and the node may have.

    `on_filtered` says what becomes of a message that no filter matches (D25): it is deleted, or comes back after the
    visibility timeout, uncounted, for another receiver to have, or goes to the dead letters. A message is a dead letter
    after `receive_count_max` runs that failed (None: never), where `has_dead_letters` says that there is a target.
    `group_failure_mode` is a FIFO queue's (D23). `held_max` and `held_bytes_max` bound what is held back, behind others
    of its group or for its next run. `is_delayed` says whether the source can hide what is given back; where not, what
    failed stays held for its delay, as long as such messages take less than half of what may be held (D26).
    Without `is_leased` a message stays ours until its connection ends, however long it is not extended.
    """

    batch_size: int = 10
    batching_window_ms: int = 0
    visibility_timeout_ms: int = 30_000
    concurrency_max: int | None = None
    on_filtered: Literal["delete", "keep", "dead-letter"] = "delete"
    reports_item_failures: bool = False
    is_fifo: bool = False
    group_failure_mode: Literal["group", "aws"] = "group"
    held_max: int = 10_000
    held_bytes_max: int = 64 * 1024 * 1024
    is_delayed: bool = True
    is_leased: bool = True
    receive_count_max: int | None = None
    has_dead_letters: bool = False
    scaling: Literal["eager", "lambda", "lambda-2023"] = "eager"
    backoff: RetryBackoff = RetryBackoff()
    function_timeout_ms: int = 3000
    event_bytes_max: int = PAYLOAD_BYTES_MAX

    @property
    def holds_failures(self) -> bool:
        """What failed is not given back between two runs: for its group's order, or since it would come at once."""
        return self.is_fifo or not self.is_delayed

    @property
    def lease_ms(self) -> int:
        """How long a message is ours without being extended."""
        return max(self.visibility_timeout_ms, LEASE_MS_LEAST)
