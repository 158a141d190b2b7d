"""Our reading of a function's response: succeeded, failed, or never run."""

from dataclasses import dataclass
from typing import TypeAlias, assert_never

from penstock.api import FunctionFailed, InvocationResult, NotRun, Returned


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The whole batch is done."""

    duration_ms: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The whole batch failed, and an attempt was spent (D2)."""

    error_type: str
    error_message: str
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """The batch was never run, or its run was ended by the node: no attempt."""

    reason: str
    retry_after_ms: int | None


Outcome: TypeAlias = Succeeded | Failed | Throttled


def read(result: InvocationResult) -> Outcome:
    """Read an invocation's result. Without `ReportBatchItemFailures` what the function returns is not looked at."""
    match result:
        case Returned(duration_ms=duration_ms):
            return Succeeded(duration_ms)
        case FunctionFailed(error_type=error_type, error_message=error_message, duration_ms=duration_ms):
            return Failed(error_type, error_message, duration_ms)
        case NotRun(reason=reason, retry_after_ms=retry_after_ms):
            return Throttled(reason, retry_after_ms)
        case _:
            assert_never(result)
