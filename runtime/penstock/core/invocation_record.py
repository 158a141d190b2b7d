"""Invocation records: what a destination is told of records that are done with (`lambda-semantics.md §3.6`, D14)."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from penstock.api import Record

Condition: TypeAlias = Literal["RetryAttemptsExhausted", "RecordAgeExceeded", "MaximumPayloadSizeExceeded", "Success"]
"""Lambda's words for why. `Success` belongs to our `OnSuccess`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """How the last invocation ended. `function_error` is "Unhandled" for an exception, a timeout or a crash.

    None means that the function returned: a success, or a response that reports or is a failure. `payload` is what it
    returned, or Lambda's error document; empty where it is not known any more (a crash of the node came between).
    """

    function_error: str | None
    payload: bytes = b""


@dataclass(frozen=True, slots=True, kw_only=True)
class InvocationRecord:
    """One or more records of one shard that share a fate.

    `invoke_count` is what AWS calls `approximateInvokeCount`: the tries, and 1 where there was none. `answer` is None
    where Lambda has no `responseContext`. `ended_ms` is Unix time.
    """

    condition: Condition
    records: tuple[Record, ...]
    invoke_count: int
    request_id: str
    ended_ms: int
    answer: Answer | None = None

    def span(self) -> tuple[str, str, str, int]:
        """Say which records it tells of: the condition, the first and last position, and how many."""
        return self.condition, str(self.records[0].position), str(self.records[-1].position), len(self.records)

    @property
    def is_failure(self) -> bool:
        """It goes to `OnFailure`, not to `OnSuccess`."""
        return self.condition != "Success"
