"""Which parts of a queue's case are compared with what a node does, and which are left, with the reason.

Parts are told apart by what they hold and not by the case they are of:

| a part that holds | is |
|---|---|
| events, alone or beside the version of the function that had them | compared; versions are left |
| a message that the function sent with its event and what it did (`{error, event}`, `{result, event}`) | compared |
| a message without an event, or messages by their ids | compared with the dead letters |
| the number of all messages, their bodies, one record | compared |
| a response of Lambda's API about one mapping | its settings are compared, its state where that lasts |
| an error of Lambda's API, and all of a case that has no source | left |

A case of which settings alone are compared is not run. What is none of these is *unknown*, which is a failure of the
test that lists all parts.

Where a recording is not followed to the letter:

- a batching window lasts a second, a visibility timeout five at most (`queue_setup`);
- a function that takes five seconds takes one (`behaviour`); that the group's next message waits for it is compared;
- a mapping is moved to another version of its function by Lambda's API alone: here the next messages come to the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from conformance.recordings.case import Case

ERROR = "an error of Lambda's API is not of a queue's rules"
NO_SOURCE = "the dead letter of an asynchronous invocation, not of a queue"
REST_OF_RESPONSE = "names, times, and states that pass are of Lambda's API"
VERSIONS = "a function's version is of Lambda's API"
SQS_FRAME = "what SQS gives a message when it is sent and received once more"
LASTING = {"Enabled", "Disabled"}


class QueueKind(Enum):
    """How a part is compared."""

    EVENTS = "events"
    INVOCATION = "an invocation"
    DELIVERIES = "messages of each invocation, with their counts"
    RECEIVES = "receives of each message"
    RECORD = "one record"
    TOTAL = "number of messages"
    BODIES = "all bodies"
    LETTERS = "dead letters"
    MAPPING = "a mapping's settings, and its state"
    LEFT = "left"
    UNKNOWN = "unknown"


_KINDS_BY_NAME = {
    "bodies": QueueKind.BODIES,
    "records_total": QueueKind.TOTAL,
    "receives": QueueKind.RECEIVES,
}
"""What numbers and texts are is told by their name alone."""
_BY_A_NODE = set(QueueKind) - {QueueKind.MAPPING, QueueKind.LEFT, QueueKind.UNKNOWN}


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what a case expects. `left` says what of it is not compared, and why."""

    name: str
    kind: QueueKind
    value: Any
    left: str = ""


def parts_of(case: Case) -> list[Part]:
    """Sort all parts of a case."""
    if not case.source:
        return [Part(name, QueueKind.LEFT, value, NO_SOURCE) for name, value in case.expected.items()]
    return [_part(name, value) for name, value in case.expected.items()]


def is_run(case: Case) -> bool:
    """Tell whether a node has to show anything."""
    return any(part.kind in _BY_A_NODE for part in parts_of(case)) or bool(lasting_states(case))


def has_settings(case: Case) -> bool:
    """Tell whether there are settings of a mapping to compare."""
    return any(part.kind is QueueKind.MAPPING for part in parts_of(case))


def lasting_states(case: Case) -> list[str]:
    """Give the states, in their order, in which a mapping stays."""
    mappings = [part.value for part in parts_of(case) if part.kind is QueueKind.MAPPING]
    return [value["State"] for value in mappings if value["State"] in LASTING]


def of_kind(case: Case, kind: QueueKind) -> list[Part]:
    """Give the parts that are compared in one way."""
    return [part for part in parts_of(case) if part.kind is kind]


def events(part: Part) -> list[Mapping[str, Any]]:
    """Give the events that a part holds."""
    if part.kind is QueueKind.INVOCATION:
        return [_messages(part.value)[0]["Body"]["event"]]
    return [each.get("event", each) for each in part.value]


def told(part: Part) -> Mapping[str, Any]:
    """Give what the function of an invocation said that it did."""
    return {name: value for name, value in _messages(part.value)[0]["Body"].items() if name != "event"}


def letters(case: Case) -> list[Mapping[str, Any]]:
    """Give the messages that a case expects among its dead letters."""
    return [message for part in of_kind(case, QueueKind.LETTERS) for message in _messages(part.value)]


def inventory(cases: list[Case]) -> Iterator[str]:
    """Write down for each part of each case what is done with it."""
    for case in cases:
        yield f"{case.id}: {'run' if is_run(case) else 'not run'}"
        for part in parts_of(case):
            note = f" ({'left: ' if part.kind is not QueueKind.LEFT else ''}{part.left})" if part.left else ""
            yield f"    {part.name}: {part.kind.value}{note}"


def _part(name: str, value: Any) -> Part:
    if isinstance(value, Mapping) and "Error" in value:
        return Part(name, QueueKind.LEFT, value, ERROR)
    kind = _KINDS_BY_NAME.get(name) or _kind(value)
    left = {
        QueueKind.MAPPING: REST_OF_RESPONSE,
        QueueKind.INVOCATION: SQS_FRAME,
        QueueKind.LETTERS: SQS_FRAME,
        QueueKind.EVENTS: VERSIONS if kind is QueueKind.EVENTS and "event" in value[0] else "",
    }
    return Part(name, kind, value, left.get(kind, ""))


def _kind(value: Any) -> QueueKind:
    kind = QueueKind.UNKNOWN
    match value:
        case {"UUID": _, "EventSourceArn": _}:
            kind = QueueKind.MAPPING
        case [{"Records": [*_]} | {"event": {"Records": [*_]}}, *_]:
            kind = QueueKind.EVENTS
        case {"Messages": [{"Body": {"event": {"Records": [*_]}}}]}:
            kind = QueueKind.INVOCATION
        case {"Messages": [{"Body": _}, *_]} | [{"Body": _}, *_] | []:
            kind = QueueKind.LETTERS
        case {"messageId": _}:
            kind = QueueKind.RECORD
        case [[[_, _], *_], *_]:
            kind = QueueKind.DELIVERIES
    return kind


def _messages(value: Any) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = value["Messages"] if isinstance(value, Mapping) else value
    return found
