"""Our reading of what became of an invocation: succeeded, failed in whole or in part, or never run (D2, D5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias, assert_never

import msgspec

from penstock.api import FunctionFailed, InvocationResult, NotRun, Record, Returned
from penstock.core.events.layout import StreamLayout
from penstock.core.invocation_record import Answer
from penstock.core.response import Bad, decode, reported_items, unknown_items

UNHANDLED = "Unhandled"
"""Lambda's word for an exception, a timeout or a crash."""

RETURNED = Answer(function_error=None)
ERRED = Answer(function_error=UNHANDLED)


@dataclass(frozen=True, slots=True)
class Succeeded:
    """The whole batch is done. `state` is the JSON of the window's new state, where there is a window."""

    duration_ms: int
    answer: Answer = RETURNED
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class PartlyFailed:
    """The records before index `done` are done; the one there is the first that was reported."""

    done: int
    reported: int
    """How many of the batch were reported."""
    duration_ms: int
    answer: Answer
    state: bytes = b""


@dataclass(frozen=True, slots=True)
class Failed:
    """The whole batch failed, and an attempt was spent (D2)."""

    error_type: str
    error_message: str
    duration_ms: int
    answer: Answer = ERRED


@dataclass(frozen=True, slots=True)
class Throttled:
    """The batch was never run, or its run was ended by the node: no attempt."""

    reason: str
    retry_after_ms: int | None


Outcome: TypeAlias = Succeeded | PartlyFailed | Failed | Throttled


def read(result: InvocationResult) -> Succeeded | Failed | Throttled:
    """Read an invocation's result whose response says nothing."""
    match result:
        case Returned(payload=payload, duration_ms=duration_ms):
            return Succeeded(duration_ms, Answer(function_error=None, payload=payload))
        case FunctionFailed(error_type=error_type, error_message=error_message, duration_ms=duration_ms):
            answer = Answer(function_error=UNHANDLED, payload=result.payload)
            return Failed(error_type, error_message, duration_ms, answer)
        case NotRun(reason=reason, retry_after_ms=retry_after_ms):
            return Throttled(reason, retry_after_ms)
        case _:
            assert_never(result)


class ResponseReader:
    """Reads the responses of one shard's function, as far as the mapping's settings give them a meaning."""

    def __init__(self, layout: StreamLayout, *, reports_item_failures: bool) -> None:
        """Take the layout, which knows what an identifier means."""
        self._layout = layout
        self._reports_item_failures = reports_item_failures

    def read(self, result: InvocationResult, records: Sequence[Record], *, has_window: bool) -> Outcome:
        """Read the result of an invocation on these records; with a window the response must hold its state."""
        succeeded = read(result)
        if not isinstance(succeeded, Succeeded) or not (self._reports_item_failures or has_window):
            return succeeded
        payload = succeeded.answer.payload
        response = decode(payload)
        if isinstance(response, Bad):
            return _failed(response, succeeded)
        state = _state(response, payload) if has_window else b""
        if isinstance(state, Bad):
            return _failed(state, succeeded)
        done = self._done(response, records) if self._reports_item_failures else None
        if isinstance(done, Bad):
            return _failed(done, succeeded)
        if done is None:
            return Succeeded(succeeded.duration_ms, succeeded.answer, state)
        return PartlyFailed(*done, succeeded.duration_ms, succeeded.answer, state)

    def _done(self, response: Any, records: Sequence[Record]) -> tuple[int, int] | Bad | None:
        """Give how many records come before the first that is reported, and how many are; None: none is (§3.4)."""
        failures = reported_items(response)
        if isinstance(failures, Bad):
            return failures
        if not failures:
            return None
        places = {record.position: index for index, record in enumerate(records)}
        reported = [self._place(failure, places) for failure in failures]
        unknown = [failure for failure, place in zip(failures, reported, strict=True) if place is None]
        if unknown:
            return unknown_items(unknown)
        found = {place for place in reported if place is not None}
        return min(found), len(found)

    def _place(self, failure: Any, places: dict[int, int]) -> int | None:
        if not isinstance(failure, dict):
            return None
        position = self._layout.position_of(failure.get("itemIdentifier"))
        return None if position is None else places.get(position)


class _State(msgspec.Struct):
    state: msgspec.Raw


def _state(response: Any, payload: bytes) -> bytes | Bad:
    """Take the state out of a response as the function wrote it, number for number (`lambda-semantics.md §3.7`)."""
    if not isinstance(response, dict) or not isinstance(response.get("state"), dict):
        return Bad("Response.State", "the response holds no object `state`, which a tumbling window needs")
    return bytes(msgspec.json.decode(payload, type=_State).state)


def _failed(bad: Bad, succeeded: Succeeded) -> Failed:
    return Failed(bad.error_type, bad.error_message, succeeded.duration_ms, succeeded.answer)
