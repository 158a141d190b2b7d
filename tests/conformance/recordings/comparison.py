"""Holds what came of a case to what was recorded, part by part, and to what is true of every case."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from conformance.recordings import scope
from conformance.recordings.behaviour import plan_of
from conformance.recordings.case import Case
from conformance.recordings.outcome import Invocation, Kept, Outcome
from conformance.recordings.placeholders import Bindings, hold_order
from conformance.recordings.scope import Kind, Part

BLOCK, FEED_BLOCK = scope.BLOCKS


class Comparison:
    """One case beside what came of it."""

    def __init__(self, case: Case, outcome: Outcome) -> None:
        self._case = case
        self._outcome = outcome
        self._bindings = Bindings()

    def hold(self) -> None:
        """Compare everything. Raises AssertionError with the part and the place in it."""
        self._hold_names()
        for part in scope.parts_of(self._case):
            self._hold_part(part)
        self._hold_documents()
        for invocations in self._outcome.invocations:
            self._hold_turns(invocations)
            self._hold_deliveries(invocations)
        if self._case.is_disabled:
            self._hold_disabled()

    # What was recorded.

    def _hold_names(self) -> None:
        """Take the names in the responses of Lambda's API for those of our mappings."""
        for function, response in scope.responses(self._case):
            identity = self._outcome.identities[function]
            self._bindings.hold(response["UUID"], identity.uuid, "UUID")
            self._bindings.hold(response["FunctionArn"], identity.function_arn, "FunctionArn")
            if not self._case.is_change_feed:
                self._bindings.hold(response["EventSourceArn"], identity.source_arn, "EventSourceArn")

    def _hold_part(self, part: Part) -> None:
        hold = {
            Kind.EVENTS: self._hold_events,
            Kind.RECORD: self._hold_record,
            Kind.RECORDS: self._hold_records,
            Kind.BATCHES: _hold_batches,
            Kind.INVOCATIONS: _hold_invocations,
            Kind.SIZES: _hold_sizes,
            Kind.KEYS: _hold_keys,
            Kind.DOCUMENTS_COUNT: self._hold_documents_count,
            Kind.RESULT: self._hold_result,
        }
        assert part.kind is not Kind.UNKNOWN, f"{part.name}: nothing here knows what this is: {part.value!r}"
        # All documents are held together, and what is left is left.
        if part.kind not in {Kind.DOCUMENTS, Kind.LEFT}:
            hold[part.kind](part, self._outcome.invocations[part.function])

    def _hold_events(self, part: Part, invocations: Sequence[Invocation]) -> None:
        expected = scope.as_list(part.value)
        if self._case.is_change_feed:
            wanted = [len(event["Records"]) for event in expected]
            assert _sizes(invocations) == wanted, f"{part.name}: {_sizes(invocations)} records, not {wanted}"
            return
        assert len(invocations) == len(expected), f"{part.name}: {len(invocations)} events, not {len(expected)}"
        for number, (event, invocation) in enumerate(zip(expected, invocations, strict=True)):
            self._hold_element(_with_own_role(event, part.function), invocation.event, f"{part.name}[{number}]")

    def _hold_record(self, part: Part, invocations: Sequence[Invocation]) -> None:
        if not self._case.is_change_feed:
            self._hold_element(_with_own_role(part.value, part.function), invocations[0].records[0], part.name)

    def _hold_records(self, part: Part, invocations: Sequence[Invocation]) -> None:
        records = [record for each in invocations for record in each.records]
        assert len(records) == len(part.value), f"{part.name}: {len(records)} records, not {len(part.value)}"
        if not self._case.is_change_feed:
            self._hold_element(_with_own_role(part.value, part.function), records, part.name)

    def _hold_element(self, expected: Any, actual: Any, path: str) -> None:
        self._bindings.hold(expected, actual, path)
        hold_order(expected, actual, path)

    def _hold_documents_count(self, part: Part, _: Sequence[Invocation]) -> None:
        count = len(self._outcome.documents)
        assert count == part.value, f"{part.name}: {count} documents, not {part.value}"

    def _hold_result(self, part: Part, _: Sequence[Invocation]) -> None:
        found, wanted = self._outcome.last_results[part.function], part.value["LastProcessingResult"]
        assert found == wanted, f"{part.name}: the last result is {found!r}, not {wanted!r}"

    def _hold_documents(self) -> None:
        expected, kept = scope.documents(self._case), self._outcome.documents
        if any(part.kind is Kind.DOCUMENTS_COUNT for part in scope.parts_of(self._case)) and not expected:
            return
        assert len(kept) == len(expected), f"{len(kept)} documents, not {len(expected)}: {kept}"
        for number, (wanted, found) in enumerate(zip(expected, kept, strict=True)):
            self._hold_document(wanted, found, f"document {number}")

    def _hold_document(self, expected: Mapping[str, Any], kept: Kept, path: str) -> None:
        actual = dict(kept.document)
        if "payload" in actual:
            # What a destination of ours gets besides, together with the payload.
            assert "responsePayload" in actual or "responseContext" not in actual, f"{path}: no responsePayload"
            actual.pop("responsePayload", None)
            assert isinstance(actual["payload"], str), f"{path}: the payload is no text"
            # The recorder parsed it.
            actual["payload"] = json.loads(actual["payload"])
        expected = _with_count_of(expected, actual)
        if self._case.is_change_feed:
            expected, actual = _without_images(expected, FEED_BLOCK), _without_images(actual, BLOCK)
        self._hold_element(expected, actual, path)
        self._hold_count(actual["requestContext"], kept.document, path)
        if kept.path:
            self._hold_path(kept, path)

    # What is true of every case.

    def _hold_count(self, context: Mapping[str, Any], document: Mapping[str, Any], path: str) -> None:
        """A document counts the invocations of its very batch, and names the last; one too old to be tried counts 1."""
        block = document[BLOCK]
        span = range(int(block["startSequenceNumber"]), int(block["endSequenceNumber"]) + 1)
        assert block["batchSize"] == len(span), f"{path}: {block['batchSize']} records from {span[0]} to {span[-1]}"
        tries = [each for some in self._outcome.invocations for each in some if each.positions == list(span)]
        is_untried = context["condition"] == "RecordAgeExceeded" and not tries
        counted = context["approximateInvokeCount"]
        assert counted == (1 if is_untried else len(tries)), f"{path}: counts {counted}; the function had {len(tries)}"
        if tries:
            assert context["requestId"] == tries[-1].request_id, f"{path}: names another invocation than the last"

    def _hold_path(self, kept: Kept, path: str) -> None:
        """A document lies where AWS puts it in a bucket."""
        moment = kept.document["timestamp"]
        day, second = moment[:10], moment[11:19].replace(":", ".")
        folders = ["aws", "lambda", self._outcome.identities[0].uuid, kept.document[BLOCK]["shardId"], *day.split("-")]
        self._bindings.hold("/".join([*folders, f"{day}T{second}-<uuid>"]), kept.path, f"{path}: path")
        name = kept.path.rpartition("/")[2].removeprefix(f"{day}T{second}-")
        assert [len(each) for each in name.split("-")] == [8, 4, 4, 4, 12], f"{path}: {name} is no UUID"

    def _hold_turns(self, invocations: Sequence[Invocation]) -> None:
        """One batch of a shard at a time: the next one is not begun before a function that takes its time is done."""
        sleep_s = plan_of(self._case).get("sleep_s", 0)
        if sleep_s and self._case.shards == 1:
            gaps_s = [after.at_s - before.at_s for before, after in pairwise(invocations)]
            assert all(gap_s >= sleep_s for gap_s in gaps_s), f"they began {gaps_s} s apart, and took {sleep_s} s each"

    def _hold_deliveries(self, invocations: Sequence[Invocation]) -> None:
        """No record is passed over, but those that are too old; where nothing can fail each comes exactly once."""
        times = Counter(record["eventID"] for each in invocations for record in each.records)
        untried = [
            each["batchSize"]
            for document in scope.documents(self._case)
            for name, each in document.items()
            if name in scope.BLOCKS and document["requestContext"].items() >= _UNTRIED.items()
        ]
        if "FilterCriteria" not in self._case.setup.get("create", {}):
            assert len(times) == self._outcome.put - sum(untried), (
                f"of {self._outcome.put} records came {sorted(times)}"
            )
        if not plan_of(self._case).keys() & {"raises", "reports"} and not scope.documents(self._case):
            assert set(times.values()) <= {1}, f"records came more than once: {times}"

    def _hold_disabled(self) -> None:
        """What was put while the mapping was disabled came when it was enabled again, and not before."""
        for before, after in zip(self._outcome.invocations, self._outcome.after_enabling, strict=True):
            known = {position for each in before for position in each.positions}
            came = [position for each in after for position in each.positions]
            assert len(came) == self._outcome.put_while_disabled, f"{len(came)} records came after it was enabled"
            assert not known.intersection(came), "what had come before came again"


_UNTRIED = {"condition": "RecordAgeExceeded", "approximateInvokeCount": 1}


def _hold_invocations(part: Part, invocations: Sequence[Invocation]) -> None:
    assert len(invocations) == part.value, f"{part.name}: {len(invocations)}, not {part.value}"


def _hold_sizes(part: Part, invocations: Sequence[Invocation]) -> None:
    assert _sizes(invocations) == part.value, f"{part.name}: {_sizes(invocations)}, not {part.value}"


def _hold_keys(part: Part, invocations: Sequence[Invocation]) -> None:
    keys = [key for each in invocations for key, _ in each.pairs]
    keys = sorted(keys) if "sorted" in part.name else keys
    assert keys == part.value, f"{part.name}: {keys}, not {part.value}"


def _hold_batches(part: Part, invocations: Sequence[Invocation]) -> None:
    has_keys = isinstance(part.value[0][0], list)
    batches = [
        [
            [record["kinesis"]["partitionKey"], record["kinesis"]["data"]] if has_keys else record["kinesis"]["data"]
            for record in each.records
        ]
        for each in invocations
    ]
    assert batches == part.value, f"{part.name}: {batches}"


def _with_own_role(expected: Any, function: int) -> Any:
    """Give each function of a case a role of its own, as functions of ours have; those recorded shared one."""
    return json.loads(re.sub(r":role/<resource:(\d+)>", rf":role/<resource:\1 of {function}>", json.dumps(expected)))


def _with_count_of(expected: Mapping[str, Any], actual: Mapping[str, Any]) -> Mapping[str, Any]:
    """Let a number of tries within a time be any above 1: how many fit is the back-off's matter, and chance's."""
    context = expected["requestContext"]
    if context["condition"] != "RecordAgeExceeded" or context["approximateInvokeCount"] == 1:
        return expected
    count = actual["requestContext"]["approximateInvokeCount"]
    assert count > 1, "it was tried once"
    return {**expected, "requestContext": {**context, "approximateInvokeCount": count}}


def _without_images(document: Mapping[str, Any], block: str) -> dict[str, Any]:
    """Keep of a document what does not depend on the layout: of its block the size, of its payload the number."""
    size = document[block]["batchSize"]
    changed = {block: ("block", dict.fromkeys(sorted(document[block])) | {"batchSize": size})}
    if "payload" in document:
        changed["payload"] = ("payload", len(document["payload"]["Records"]))
    return dict(changed.get(key, (key, value)) for key, value in document.items())


def _sizes(invocations: Sequence[Invocation]) -> list[int]:
    return [len(each.records) for each in invocations]
