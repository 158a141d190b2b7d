"""What a function's response says of single items of its batch, as far as streams and queues read it alike (D5)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

ITEM_FAILURES = "Response.BatchItemFailures"
"""The error type of a response that does not say what failed in words that can be followed."""
SHOWN_MAX = 5
SHOWN_CHARACTERS_MAX = 200


@dataclass(frozen=True, slots=True)
class Bad:
    """A response that counts as a failure, and why."""

    error_type: str
    error_message: str


def decode(payload: bytes) -> Any | Bad:
    """Read a response as JSON; nothing at all reads like null."""
    try:
        return msgspec.json.decode(payload) if payload else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return Bad("Response.Unreadable", f"the response is no JSON: {error}")


def reported_items(response: Any) -> list[Any] | Bad:
    """Give what a response reports as failed, whatever it is; empty where it reports nothing (§3.4, §4.2)."""
    if response is None or response in ("", []):
        return []
    if not isinstance(response, dict):
        return Bad(ITEM_FAILURES, f"the response is {_shown(response)}, and no object")
    failures = response.get("batchItemFailures")
    if failures is None:
        return []
    if not isinstance(failures, list):
        return Bad(ITEM_FAILURES, f"batchItemFailures is {_shown(failures)}, and no list")
    return failures


def unknown_items(unknown: Sequence[Any]) -> Bad:
    """Say that a response reports what is not in the batch (D5)."""
    return Bad(ITEM_FAILURES, f"batchItemFailures names what is not in the batch: {shown_items(unknown)}")


def shown_items(items: Sequence[Any]) -> str:
    """Write the first of some items into a message."""
    return ", ".join(map(_shown, items[:SHOWN_MAX])) + (", …" if len(items) > SHOWN_MAX else "")


def _shown(value: Any) -> str:
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= SHOWN_CHARACTERS_MAX else f"{text[:SHOWN_CHARACTERS_MAX]}…"
