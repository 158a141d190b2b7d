"""Our reading of what became of an invocation on messages of a queue (`lambda-semantics.md §4.2`, D5, D21)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from penstock.api import InvocationResult, Message
from penstock.core.invocation_record import Answer
from penstock.core.outcome import Failed, Succeeded, Throttled, read
from penstock.core.response import ITEM_FAILURES, Bad, decode, reported_items, shown_items, unknown_items

RETRY_AFTER_S_MAX = 43_200
"""As long as SQS hides a message at most."""


@dataclass(frozen=True, slots=True)
class Reported:
    """Some messages were reported, by their place in the batch, with the delay asked for; the others are done.

    A delay of None means that the function named none: the visibility timeout counts.
    """

    delays_ms: dict[int, int | None]
    duration_ms: int
    answer: Answer


QueueOutcome: TypeAlias = Succeeded | Reported | Failed | Throttled


def read_queue_response(
    result: InvocationResult, messages: Sequence[Message], *, reports_item_failures: bool
) -> QueueOutcome:
    """Read the result of an invocation on these messages, as far as the mapping's settings give it a meaning."""
    succeeded = read(result)
    if not isinstance(succeeded, Succeeded) or not reports_item_failures:
        return succeeded
    response = decode(succeeded.answer.payload)
    failures = response if isinstance(response, Bad) else reported_items(response)
    if isinstance(failures, Bad):
        return _failed(failures, succeeded)
    if not failures:
        return succeeded
    delays_ms = _delays_ms(failures, messages)
    if isinstance(delays_ms, Bad):
        return _failed(delays_ms, succeeded)
    return Reported(delays_ms, succeeded.duration_ms, succeeded.answer)


def _failed(bad: Bad, succeeded: Succeeded) -> Failed:
    return Failed(bad.error_type, bad.error_message, succeeded.duration_ms, succeeded.answer)


def _delays_ms(failures: Sequence[Any], messages: Sequence[Message]) -> dict[int, int | None] | Bad:
    """Find what is reported in the batch; one item that can not be followed spoils them all (D5)."""
    places: dict[str, list[int]] = {}
    for place, message in enumerate(messages):
        places.setdefault(message.message_id, []).append(place)
    unknown = [failure for failure in failures if _identifier(failure) not in places]
    if unknown:
        return unknown_items(unknown)
    impatient = [failure for failure in failures if not _is_delay(failure.get("retryAfterSeconds"))]
    if impatient:
        wanted = f"a number of seconds from 0 to {RETRY_AFTER_S_MAX}"
        return Bad(ITEM_FAILURES, f"retryAfterSeconds is not {wanted} in {shown_items(impatient)}")
    delays_ms: dict[int, int | None] = {}
    for failure in failures:
        seconds = failure.get("retryAfterSeconds")
        delay_ms = None if seconds is None else round(seconds * 1000)
        for place in places[_identifier(failure)]:
            # Of one that is named twice, the longer wait counts.
            delays_ms[place] = _longer(delays_ms.get(place), delay_ms)
    return dict(sorted(delays_ms.items()))


def _identifier(failure: Any) -> str:
    """Give an item's identifier; the empty one, which no message has, where there is none."""
    identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
    return identifier if isinstance(identifier, str) else ""


def _is_delay(seconds: Any) -> bool:
    if seconds is None:
        return True
    return isinstance(seconds, int | float) and not isinstance(seconds, bool) and 0 <= seconds <= RETRY_AFTER_S_MAX


def _longer(one_ms: int | None, other_ms: int | None) -> int | None:
    return other_ms if one_ms is None or (other_ms is not None and other_ms > one_ms) else one_ms
