"""What an executor is: whatever runs a function once, for one event, and tells how it went."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import msgspec

PAYLOAD_BYTES_MAX = 6_291_556
"""The most an event or a response may have (`lambda-semantics.md §5.1`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FunctionSpec:
    """A function as its configuration says, with absolute paths and nothing left to resolve.

    `python` is the interpreter that runs it (None: the node's own). `environment` is what the function sees besides
    AWS's variables; `inherit` names variables of the node's own that it sees too. `memory_mb` None means no limit.
    """

    name: str
    handler: str
    code: Path
    arn: str
    region: str = "us-east-1"
    runtime: str = "python"
    python: Path | None = None
    layers: tuple[Path, ...] = ()
    timeout_ms: int = 3000
    memory_mb: int | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    inherit: tuple[str, ...] = ()
    preload: bool = False


class Invocation(msgspec.Struct, frozen=True, gc=False):
    """One try at an event. `request_id` is a UUID; `event` is the JSON document's bytes."""

    request_id: str
    event: bytes
    before: Callable[[], Awaitable[None]] | None = None
    """Awaited once all is ready, right before the function is handed the event. Cancelled there, it never is."""


class Returned(msgspec.Struct, frozen=True, gc=False):
    """The function returned; `payload` is its response as JSON bytes."""

    payload: bytes
    duration_ms: int


class FunctionFailed(msgspec.Struct, frozen=True, gc=False):
    """The function failed: an exception, a timeout, a crash, a response that is no JSON or too large, a failed init.

    `payload` is Lambda's error document (`lambda-semantics.md §5.2`); type and message are repeated beside it.
    """

    error_type: str
    error_message: str
    payload: bytes
    duration_ms: int


class NotRun(msgspec.Struct, frozen=True, gc=False):
    """The function was not run, or was ended by the node itself: no attempt (`D2`).

    `reason` is a sentence: no process could be started, a throttle, a drain.
    """

    reason: str
    retry_after_ms: int | None = None


InvocationResult = Returned | FunctionFailed | NotRun


class Executor(Protocol):
    """Runs one function. The engine asks for no more invocations at once than the function may have.

    `invoke` never raises for what the function or its environment does; cancelling it ends the invocation for good
    (its process is dead when the cancelled call returns).
    """

    async def open(self) -> None:
        """Get ready to run; does not run the function's code. Raises PenstockError when this can never work."""

    async def close(self) -> None:
        """End every environment, and all that they started."""

    async def invoke(self, invocation: Invocation) -> InvocationResult:
        """Run the function on one event."""

    def environments_count(self) -> int:
        """Tell how many environments are alive now."""
