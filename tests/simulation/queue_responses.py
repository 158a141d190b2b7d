"""What a simulated function returns for messages, and what that means (`lambda-semantics.md §4.2`, D5, D21).

As in `responses`, the half that writes and the half that reads know nothing of each other, nor of the core.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from simulation.chance import Chance

FINE = (None, {}, "", [], {"batchItemFailures": []}, {"batchItemFailures": None}, {"message": "hello"})
DELAYS_S = (0, 1, 0.25, 5, 20)
WRONG_DELAYS_S = (-1, "5", True, 43_201, [])
LATE_MS = 43_200_000


@dataclass(frozen=True, slots=True)
class Meaning:
    """`delays_ms` are of what was reported, by its place in the batch; None where no delay was asked for."""

    kind: Literal["success", "failure", "reported"]
    delays_ms: dict[int, int | None] = field(default_factory=dict)


def draw(chance: Chance, ids: Sequence[str], *, reported: Iterable[str], is_odd: bool, delays: float) -> bytes:
    """Answer for a batch of messages with these ids."""
    failures = [_failure(chance, each, delays) for each in reported]
    response: Any = {"batchItemFailures": failures} if failures else chance.one_of(FINE)
    if is_odd:
        response = _odd(chance, ids, delays)
    if isinstance(response, bytes):
        return response
    return json.dumps(response).encode()


def _failure(chance: Chance, message_id: str, delays: float) -> dict[str, object]:
    delay = {"retryAfterSeconds": chance.one_of(DELAYS_S)} if chance.happens(delays) else {}
    return {"itemIdentifier": message_id, **delay}


def _odd(chance: Chance, ids: Sequence[str], delays: float) -> object:
    valid = [_failure(chance, each, delays) for each in ids if chance.happens(0.3)]
    if chance.happens(0.2):
        return chance.one_of(FINE)
    if valid and chance.happens(0.4):
        # Also twice, and not in their order.
        twice = [_failure(chance, str(failure["itemIdentifier"]), delays) for failure in valid[:1]]
        return {"batchItemFailures": [*valid[::-1], *twice]}
    if chance.happens(0.2):
        return chance.one_of((b"{", b"\xff", "hello", 7, [1], {"batchItemFailures": "m1"}, {"batchItemFailures": {}}))
    strange: object = chance.one_of(
        (
            {"itemIdentifier": ""},
            {"itemIdentifier": None},
            {"itemIdentifier": 7},
            {"foo": "notvalid"},
            {"itemIdentifier": "m1000000"},
            {},
            "m1",
            {"itemIdentifier": ids[0], "retryAfterSeconds": chance.one_of(WRONG_DELAYS_S)},
        )
    )
    return {"batchItemFailures": chance.one_of(([strange], [*valid, strange], [strange, *valid]))}


def read(payload: bytes, ids: Sequence[str]) -> Meaning:
    """Say what a response means to a mapping that lets its function report."""
    try:
        response = json.loads(payload) if payload else None
    except ValueError:
        return Meaning("failure")
    if response in (None, "", []):
        return Meaning("success")
    if not isinstance(response, dict):
        return Meaning("failure")
    failures = response.get("batchItemFailures")
    if failures is None or failures == []:
        return Meaning("success")
    if not isinstance(failures, list) or not all(_is_sound(failure, ids) for failure in failures):
        return Meaning("failure")
    delays_ms: dict[int, int | None] = {}
    for place, message_id in enumerate(ids):
        asked = [failure.get("retryAfterSeconds") for failure in failures if failure["itemIdentifier"] == message_id]
        if asked:
            known = [round(delay * 1000) for delay in asked if delay is not None]
            delays_ms[place] = max(known, default=None)
    return Meaning("reported", delays_ms)


def _is_sound(failure: Any, ids: Sequence[str]) -> bool:
    if not isinstance(failure, dict) or failure.get("itemIdentifier") not in ids:
        return False
    delay = failure.get("retryAfterSeconds")
    return delay is None or (type(delay) in {int, float} and 0 <= delay * 1000 <= LATE_MS)
