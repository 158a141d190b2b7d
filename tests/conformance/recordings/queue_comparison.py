"""Holds what came of a queue's case to what was recorded, part by part, and to what is true of every case."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from hashlib import md5
from itertools import pairwise
from typing import Any

from conformance.recordings import queue_scope as scope
from conformance.recordings.case import Case
from conformance.recordings.outcome import Invocation
from conformance.recordings.placeholders import Bindings, hold_order
from conformance.recordings.queue_behaviour import plan_of
from conformance.recordings.queue_inputs import GROUP
from conformance.recordings.queue_run import QueueOutcome
from conformance.recordings.queue_scope import Part, QueueKind
from penstock.api import Message

MD5 = "md5OfMessageAttributes"
ROUNDING = 0.95
"""A delay is measured with another clock than it is kept with, to the millisecond."""
CONDITION = "MaximumReceiveCountExceeded"


class QueueComparison:
    """One case beside what came of it. `gives_back`: what failed comes back under a receipt of its own."""

    def __init__(self, case: Case, outcome: QueueOutcome, *, gives_back: bool) -> None:
        self._case = case
        self._outcome = outcome
        self._has_own_receipts = gives_back and not outcome.setup.is_fifo
        self._bindings = Bindings()
        self._deliveries: dict[str, list[tuple[Invocation, Mapping[str, Any]]]] = defaultdict(list)
        """Of each message by its id, in the order in which they came."""
        for invocation in outcome.invocations:
            for record in invocation.records:
                self._deliveries[record["messageId"]].append((invocation, record))

    def hold(self) -> None:
        """Compare everything. Raises AssertionError with the part and the place in it."""
        self._hold_mappings()
        for part in scope.parts_of(self._case):
            self._hold_part(part)
        self._hold_invocations()
        self._hold_letters()
        self._hold_counts()
        self._hold_delays()
        self._hold_turns()
        self._hold_end()

    # What was recorded.

    def _hold_mappings(self) -> None:
        """Take the names in the responses of Lambda's API for those of our mapping."""
        identity = self._outcome.identity
        for part in scope.of_kind(self._case, QueueKind.MAPPING):
            self._bindings.hold(part.value["UUID"], identity.uuid, "UUID")
            self._bindings.hold(part.value["FunctionArn"], identity.function_arn, "FunctionArn")
            self._bindings.hold(part.value["EventSourceArn"], identity.source_arn, "EventSourceArn")
        states = scope.lasting_states(self._case)
        assert self._outcome.states[-len(states) :] == states or not states, f"{self._outcome.states}, not {states}"

    def _hold_part(self, part: Part) -> None:
        assert part.kind is not QueueKind.UNKNOWN, f"{part.name}: nothing here knows what this is: {part.value!r}"
        records = [record for each in self._outcome.invocations for record in each.records]
        match part.kind:
            case QueueKind.EVENTS:
                self._hold_events(part)
            case QueueKind.RECORD:
                self._hold_record(part.value, min(records, key=lambda record: str(record["body"])), part.name)
            case QueueKind.TOTAL:
                assert len(records) == part.value, f"{part.name}: {len(records)}, not {part.value}"
            case QueueKind.BODIES:
                assert sorted(record["body"] for record in records) == part.value, part.name
            case QueueKind.DELIVERIES:
                self._hold_deliveries(part)
            case QueueKind.RECEIVES:
                receives = {str(_number(each[0][1])): len(each) for each in self._deliveries.values()}
                assert receives == part.value, f"{part.name}: {receives}, not {part.value}"
            case _:
                # Invocations and letters are held all together; a mapping's settings in a test of their own.
                pass

    def _hold_events(self, part: Part) -> None:
        """What was recorded at one time is what had come until then; the last time there was all of it."""
        expected = scope.events(part)
        most = max(len(scope.events(each)) for each in scope.of_kind(self._case, QueueKind.EVENTS))
        came = len(self._outcome.invocations)
        assert came == most, f"{part.name}: {came} events, not {most}"
        for event, invocation in zip(expected, self._outcome.invocations, strict=False):
            self._hold_event(event, invocation.event, part.name)

    def _hold_invocations(self) -> None:
        """Where the function told of each invocation, there were no others."""
        parts = scope.of_kind(self._case, QueueKind.INVOCATION)
        if not parts:
            return
        came = len(self._outcome.invocations)
        assert came == len(parts), f"{came} invocations, not {len(parts)}"
        for part, invocation in zip(parts, self._outcome.invocations, strict=True):
            assert invocation.told == scope.told(part), f"{part.name}: the function told {invocation.told}"
            (event,) = scope.events(part)
            self._hold_event(event, invocation.event, part.name)

    def _hold_event(self, expected: Mapping[str, Any], actual: Mapping[str, Any], path: str) -> None:
        assert expected.keys() == actual.keys(), f"{path}: keys {sorted(actual)}, not {sorted(expected)}"
        records = actual["Records"]
        assert len(records) == len(expected["Records"]), f"{path}: {len(records)} records"
        for number, (wanted, found) in enumerate(zip(expected["Records"], records, strict=True)):
            self._hold_record(wanted, found, f"{path}.Records[{number}]")

    def _hold_record(self, expected: Mapping[str, Any], actual: Mapping[str, Any], path: str) -> None:
        shown = dict(actual)
        assert isinstance(shown["body"], str), f"{path}: the body is no text"
        assert shown["md5OfBody"] == _md5(shown["body"].encode()), f"{path}: the checksum is another body's"
        if not isinstance(expected["body"], str):
            # The recorder parsed it.
            shown["body"] = json.loads(shown["body"])
        self._bindings.hold(expected, shown, path)
        hold_order(_ordered(expected), _ordered(shown), path)

    def _hold_deliveries(self, part: Part) -> None:
        found = [[_delivery(record) for record in each.records] for each in self._outcome.invocations]
        if not self._outcome.setup.is_fifo:
            found = [sorted(each) for each in found]
        assert found == part.value, f"{part.name}: {found}, not {part.value}"

    def _hold_letters(self) -> None:
        expected, found = scope.letters(self._case), self._outcome.dead
        assert len(found) == len(expected), f"{len(found)} dead letters, not {len(expected)}: {found}"
        left = list(found)
        for message in expected:
            letter = next((each for each in left if _is_like(message["Body"], each)), None)
            assert letter is not None, f"there is no dead letter {message['Body']}: {left}"
            left.remove(letter)
            self._hold_letter(message, letter)

    def _hold_letter(self, expected: Mapping[str, Any], letter: Message) -> None:
        told = {name: str(attribute.value) for name, attribute in letter.attributes.items()}
        message_id = told["penstock.message-id"]
        deliveries = self._deliveries[message_id]
        bodies = {record["body"] for _, record in deliveries}
        assert bodies == {letter.body.decode()}, f"a dead letter has another body than its message: {bodies}"
        if "MessageId" in expected:
            self._bindings.hold(expected["MessageId"], message_id, "MessageId")
            self._bindings.hold(expected["MD5OfBody"], _md5(letter.body), "MD5OfBody")
        most = self._outcome.setup.receive_count_max
        assert len(deliveries) == most, f"a dead letter was run {len(deliveries)} times, not {most}"
        assert told["penstock.receive-count"] == str(most), f"a dead letter counts {told['penstock.receive-count']}"
        assert told["penstock.condition"] == CONDITION, f"a dead letter's condition is {told['penstock.condition']}"
        assert told["penstock.error-message"], "a dead letter does not tell of the error"
        group = GROUP if self._outcome.setup.is_fifo else None
        assert letter.group == group, f"a dead letter is of the group {letter.group!r}, not {group!r}"

    # What is true of every case.

    def _hold_counts(self) -> None:
        """Every message came; its count went up by one each time, and where it was given back its receipt changed."""
        came = sorted(each[0][1]["body"] for each in self._deliveries.values())
        assert came == sorted(self._outcome.sent), f"of {self._outcome.sent} came {came}"
        for message_id, deliveries in self._deliveries.items():
            counts = [_delivery(record)[1] for _, record in deliveries]
            assert counts == list(range(1, len(counts) + 1)), f"{message_id} came with the counts {counts}"
            if self._has_own_receipts:
                receipts = {record["receiptHandle"] for _, record in deliveries}
                assert len(receipts) == len(deliveries), f"{message_id} came under the receipts {receipts}"

    def _hold_delays(self) -> None:
        """What failed came back after the visibility timeout, and not before."""
        least_s = (self._outcome.setup.visibility_s or 0) * ROUNDING
        for message_id, deliveries in self._deliveries.items():
            gaps_s = [after.at_s - before.at_s for (before, _), (after, _) in pairwise(deliveries)]
            assert all(gap_s >= least_s for gap_s in gaps_s), f"{message_id} came {gaps_s} s apart"

    def _hold_turns(self) -> None:
        """Of a group there is one batch at a time, however long the function takes; and nothing while disabled."""
        sleep_s = plan_of(self._case).get("sleep_s", 0)
        if sleep_s and self._outcome.setup.is_fifo:
            gaps_s = [after.at_s - before.at_s for before, after in pairwise(self._outcome.invocations)]
            assert all(gap_s >= sleep_s for gap_s in gaps_s), f"they began {gaps_s} s apart, and took {sleep_s} s each"
            order = [record["body"] for each in self._outcome.invocations for record in each.records]
            assert order == self._outcome.sent, f"a group came in the order {order}"
        assert self._outcome.before_enabling == 0, "the function ran while its mapping was disabled"

    def _hold_end(self) -> None:
        assert self._outcome.left == [], f"on the queue is left {self._outcome.left}"


def _ordered(record: Mapping[str, Any]) -> dict[str, Any]:
    """Give a record in which what SQS was recorded to have in different orders is in one."""
    attributes = dict(sorted(record["messageAttributes"].items()))
    return {key: value for key, value in record.items() if key != MD5} | {"messageAttributes": attributes}


def _delivery(record: Mapping[str, Any]) -> list[int]:
    """Give a message's number, 0 where it has none, and how often it was received."""
    return [_number(record), int(record["attributes"]["ApproximateReceiveCount"])]


def _number(record: Mapping[str, Any]) -> int:
    body = _parsed(record["body"])
    return int(body["message"]) if isinstance(body, Mapping) and "message" in body else 0


def _is_like(body: Any, letter: Message) -> bool:
    try:
        Bindings().hold(body, letter.body.decode() if isinstance(body, str) else _parsed(letter.body.decode()))
    except AssertionError:
        return False
    return True


def _parsed(body: Any) -> Any:
    """Read a body as the recorder did: JSON where it is an object."""
    if isinstance(body, str) and body.startswith("{") and body.endswith("}"):
        return json.loads(body)
    return body


def _md5(body: bytes) -> str:
    return md5(body, usedforsecurity=False).hexdigest()
