"""What a simulated function returns, and what that means (`lambda-semantics.md §3.4`, D5, §3.7).

The two halves know nothing of each other, and the second nothing of the core: `draw` writes every row of the tables,
`read` is the reading that the checks go by.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from simulation.chance import Chance

STATE_BYTES_MAX = 1024 * 1024
FINE = (None, {}, "", [], {"batchItemFailures": []}, {"batchItemFailures": None}, {"message": "hello"})


@dataclass(frozen=True, slots=True)
class Meaning:
    """`cut` is the lowest position reported."""

    kind: Literal["success", "failure", "cut"]
    cut: int | None = None


def draw(
    chance: Chance,
    positions: Sequence[int],
    *,
    reported: Sequence[int],
    reports: bool,
    is_odd: bool,
    state: bytes | None,
    pads_state: bool,
) -> bytes:
    """Answer for a batch: report what must be, and do something odd besides where it `is_odd`.

    With a window, `state` is the JSON that the function got; it adds the batch's positions to it.
    """
    response: Any = {"batchItemFailures": [_failure(position) for position in reported]}
    if is_odd:
        response = _odd(chance, positions)
    elif not reported:
        response = chance.one_of(FINE)
    if state is None:
        return json.dumps(response).encode()
    if not isinstance(response, dict):
        response = {}
    if is_odd and chance.happens(0.3):
        return json.dumps({**response, **chance.one_of(({}, {"state": None}, {"state": []}))}).encode()
    meaning = _failures(response, positions) if reports else Meaning("success")
    # A function whose report is not understood has counted all of the batch, and nobody may believe it.
    done = [each for each in positions if meaning.cut is None or each < meaning.cut]
    seen = json.loads(state).get("seen", [])
    padding = {"padding": "x" * STATE_BYTES_MAX} if pads_state else {}
    return json.dumps({**response, "state": {"seen": [*seen, *done], **padding}}).encode()


def _failure(position: int) -> dict[str, object]:
    return {"itemIdentifier": str(position)}


def _odd(chance: Chance, positions: Sequence[int]) -> object:
    valid = [_failure(position) for position in positions if chance.happens(0.3)]
    if chance.happens(0.2):
        return chance.one_of(FINE)
    if valid and chance.happens(0.5):
        return {"batchItemFailures": valid[:: chance.one_of((1, -1))]}
    strange: object = chance.one_of(
        (
            {"itemIdentifier": ""},
            {"itemIdentifier": None},
            {"itemIdentifier": 7},
            {"foo": "1"},
            {"foo": None},
            {},
            "1",
            _failure(10**9),
        )
    )
    return {"batchItemFailures": chance.one_of(([strange], [*valid, strange], [strange, *valid]))}


def read(payload: bytes, positions: Sequence[int], *, reports: bool, has_window: bool) -> Meaning:
    """Say what a response means for a batch of these positions."""
    response = json.loads(payload)
    state = response.get("state") if isinstance(response, dict) else None
    if has_window and not isinstance(state, dict):
        return Meaning("failure")
    return _failures(response, positions) if reports else Meaning("success")


def _failures(response: Any, positions: Sequence[int]) -> Meaning:
    failures = response.get("batchItemFailures") if isinstance(response, dict) else None
    if not failures:
        return Meaning("success")
    texts = {str(position): position for position in positions}
    found = []
    for failure in failures:
        identifier = failure.get("itemIdentifier") if isinstance(failure, dict) else None
        if not isinstance(identifier, str) or identifier not in texts:
            return Meaning("failure")
        found.append(texts[identifier])
    return Meaning("cut", min(found))
