"""Which parts of a case are compared with what a node does, and which are left, with the reason.

Parts are told apart by what they hold and not by the case they are of:

| a part that holds | is |
|---|---|
| events (`Records`), all records, or the first one | compared, of a change feed the number of records alone |
| a document of a destination, bare, as messages of SQS, or as a notification of SNS | compared |
| data, or keys and data, of each batch | compared with the batches in their order |
| a number of invocations, of records of each, or of documents; the keys of all records | compared |
| a response of Lambda's API about a mapping that has run | its `LastProcessingResult` is compared, the rest is left |
| any other response or an error of Lambda's API | left; names in it are bound to those of our mapping |

A case without a part that is compared is not run. What is none of these is *unknown*, which is a failure of the test
that lists all parts.

DynamoDB's cases run in the layout `kinesis`, as long as there is no other: what they say of images, of names and of
sequence numbers is left, as is a case whose filter looks at images.

Where a recording is not followed to the letter:

- a function that takes five seconds takes one (`behaviour`); that the next batch waits for it is compared;
- records are put with timestamps in the past, in place of waiting for them to grow too old (`inputs`); so how often one
  is tried in its minute is compared in `test_record_age`, and here only that it was, as often as its document says;
- every function has a role of its own in events, where several recorded ones shared one;
- the runtime with an empty response is a Python function that returns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

from conformance.recordings.case import Case

IDENTITY = "names are bound; that Lambda's API answers so is not of a stream's rules"
ERROR = "an error of Lambda's API is not of a stream's rules"
REST_OF_RESPONSE = "all of the response but its LastProcessingResult"
IMAGES = "the records themselves: images are of the layout `dynamodb`"
IMAGE_FILTER = "its filter looks at images, which are of the layout `dynamodb`"
FEED_BLOCK = "the block's shard, sequence numbers, stream and form of times, which are of the layout `dynamodb`"
SQS_FRAME = "what SQS puts around a body"
SNS_FRAME = "what SNS puts around a message"

BLOCKS = ("KinesisBatchInfo", "DDBStreamBatchInfo")
_FRAMES = {"messages": SQS_FRAME, "notification": SNS_FRAME, "bare": ""}
_DESTINATION_WORDS = ("failure", "destination", "dlq", "sqs", "sns", "queue")


class Kind(Enum):
    """How a part is compared."""

    EVENTS = "events"
    RECORD = "first record"
    RECORDS = "all records"
    BATCHES = "batches"
    DOCUMENTS = "documents"
    DOCUMENTS_COUNT = "number of documents"
    INVOCATIONS = "number of invocations"
    SIZES = "records of each invocation"
    KEYS = "keys of all records"
    RESULT = "last result"
    LEFT = "left"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Part:
    """One part of what a case expects. `left` says what of it is not compared, and why."""

    name: str
    kind: Kind
    value: Any
    left: str = ""

    @property
    def function(self) -> int:
        """Tell which function it is about, where there are several: they are called a, b, …"""
        stem, dash, letter = self.name.rpartition("-")
        return ord(letter) - ord("a") if stem and dash and len(letter) == 1 else 0


def parts_of(case: Case) -> list[Part]:
    """Sort all parts of a case."""
    parts = [_part(case, name, value) for name, value in case.expected.items()]
    if case.is_change_feed and "FilterCriteria" in case.setup.get("create", {}):
        return [
            part if part.kind is Kind.LEFT else Part(part.name, Kind.LEFT, part.value, IMAGE_FILTER) for part in parts
        ]
    return parts


def is_run(case: Case) -> bool:
    """Tell whether there is anything to compare."""
    return any(part.kind not in {Kind.LEFT, Kind.UNKNOWN} for part in parts_of(case))


def documents(case: Case) -> list[Mapping[str, Any]]:
    """Give the documents that a case expects at its destination, in their order."""
    parts = [part for part in parts_of(case) if part.kind is Kind.DOCUMENTS]
    return [document for part in parts for document in _documents(part.value)[1]]


def events(case: Case) -> list[Mapping[str, Any]]:
    """Give the events that a case expects its first function to get; records alone count as one event."""
    parts = [part for part in parts_of(case) if part.function == 0]
    whole = [event for part in parts if part.kind is Kind.EVENTS for event in as_list(part.value)]
    return whole or [{"Records": part.value} for part in parts if part.kind is Kind.RECORDS]


def responses(case: Case) -> list[tuple[int, Mapping[str, Any]]]:
    """Give the responses of Lambda's API about one mapping, each with the number of its function."""
    parts = [part for part in parts_of(case) if _is_mapping(part.value)]
    return [(part.function, part.value) for part in parts]


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _part(case: Case, name: str, value: Any) -> Part:
    if isinstance(value, Mapping) and "Error" in value:
        return Part(name, Kind.LEFT, value, ERROR)
    if isinstance(value, Mapping) and ("EventSourceMappings" in value or value.get("State") == "Creating"):
        return Part(name, Kind.LEFT, value, IDENTITY)
    if _is_mapping(value):
        return Part(name, Kind.RESULT, value, REST_OF_RESPONSE)
    frame, found = _documents(value)
    if found or (not value and not isinstance(value, int) and _is_of_destination(name)):
        left = [_FRAMES[frame], FEED_BLOCK if case.is_change_feed else ""]
        return Part(name, Kind.DOCUMENTS, value, "; ".join(filter(None, left)))
    kind = _kind(name, value)
    has_images = case.is_change_feed and kind in {Kind.EVENTS, Kind.RECORD, Kind.RECORDS}
    return Part(name, kind, value, IMAGES if has_images else "")


def _kind(name: str, value: Any) -> Kind:
    match value:
        case {"eventID": _}:
            return Kind.RECORD
        case {"Records": [*_]}:
            return Kind.EVENTS
        case bool():
            return Kind.UNKNOWN
        case int():
            return _kind_of_number(name)
        case [first, *_]:
            return _kind_of_list(name, first)
    return Kind.UNKNOWN


def _kind_of_number(name: str) -> Kind:
    if "invocation" in name:
        return Kind.INVOCATIONS
    return Kind.DOCUMENTS_COUNT if _is_of_destination(name) else Kind.UNKNOWN


def _kind_of_list(name: str, first: Any) -> Kind:
    """Tell lists apart by their first element."""
    match first:
        case {"eventID": _}:
            return Kind.RECORDS
        case {"Records": [*_]}:
            return Kind.EVENTS
        case int():
            return Kind.SIZES
        case [_, *_]:
            return Kind.BATCHES
    return Kind.KEYS if isinstance(first, str) and "keys" in name else Kind.UNKNOWN


def _is_of_destination(name: str) -> bool:
    return any(word in name.lower() for word in _DESTINATION_WORDS)


def _is_mapping(value: Any) -> bool:
    return isinstance(value, Mapping) and "UUID" in value and "EventSourceArn" in value


def _documents(value: Any) -> tuple[str, list[Mapping[str, Any]]]:
    """Find documents, and what they are framed in."""
    match value:
        case {"requestContext": _}:
            return "bare", [value]
        case {"Messages": [*messages]}:
            return "messages", [each["Body"] for each in messages]
        case {"Type": "Notification", "Message": message}:
            return "notification", [message]
        case [*several]:
            frames = [_documents(each) for each in several]
            return next((frame for frame, _ in frames), "bare"), [each for _, found in frames for each in found]
    return "bare", []


def inventory(cases: list[Case]) -> Iterator[str]:
    """Write down for each part of each case what is done with it."""
    for case in cases:
        yield f"{case.id}: {'run' if is_run(case) else 'not run'}"
        for part in parts_of(case):
            note = f" ({'left: ' if part.kind is not Kind.LEFT else ''}{part.left})" if part.left else ""
            yield f"    {part.name}: {part.kind.value}{note}"
