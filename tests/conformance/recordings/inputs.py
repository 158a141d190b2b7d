"""What is put on a case's stream: read off what came of it, since the recordings tell of what was put in words at most.

Records are put in waves, each at once. What was there before the mapping is put before it begins; a mapping that begins
at LATEST gets everything once it is enabled, any other the last wave of several.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from conformance.recordings.behaviour import flag_of
from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.mapping import settings_of
from conformance.recordings.scope import BLOCKS, Kind, documents, events, parts_of

OLDER_S = 5.0
"""A record that is given up before anything is tried is so much older than the limit when it is put."""
TRIED_FOR_S = 6.0
"""One that is given up while it is tried has so long left, in place of a whole minute and more."""
_SEQUENCE = re.compile(r"<(?:start-)?sequence-number:(\d+)>")
_PUT = re.compile(r'(\d+) (?:x|records?) "(.*?)"(?:, keys? (\w+?)_0\.\.\d+)?')


@dataclass(frozen=True, slots=True, kw_only=True)
class Put:
    """A record to put. `age_s` is how long ago its timestamp says it was put."""

    key: str = "test"
    data: bytes = b"hello"
    age_s: float = 0.0


Waves = list[list[Put]]


@dataclass(frozen=True, slots=True)
class Inputs:
    """The waves before the mapping begins, and those that come once it is enabled."""

    before: Waves
    after: Waves

    @property
    def count(self) -> int:
        return sum(map(len, [*self.before, *self.after]))


def inputs_of(case: Case) -> Inputs:
    """Find out what a case puts. Raises NotUnderstood."""
    waves = _waves(case)
    settings = settings_of(case)
    limit_s = settings.get("MaximumRecordAgeInSeconds", -1)
    for document in documents(case):
        if document["requestContext"]["condition"] != "RecordAgeExceeded":
            continue
        if document["requestContext"]["approximateInvokeCount"] > 1:
            # It has to be young enough when it comes, so that it comes when the mapping reads.
            return Inputs([], [_aged(wave, limit_s - TRIED_FOR_S) for wave in waves])
        old = _aged([Put()] * _block(document)["batchSize"], limit_s + OLDER_S)
        # Where anything was delivered, that came in one batch with it.
        waves = [[*old, *waves[0]], *waves[1:]] if events(case) or _has(case, Kind.SIZES) else [old]
    if settings["StartingPosition"] == "LATEST":
        return Inputs([], waves)
    return Inputs(waves[:-1] or waves, waves[1:][-1:])


def _waves(case: Case) -> Waves:
    put = case.setup.get("put")
    if isinstance(put, list):
        return [[_written(each) for each in put]]
    found = _from_batches(case) or _from_events(case) or _from_keys(case) or _from_payload(case)
    return found or [[_written(put)] if isinstance(put, Mapping) else _told(case, put or '1 record "hello"')]


def _told(case: Case, text: str) -> list[Put]:
    """Make as many equal records as a text says, else as many as were given up together."""
    put = _PUT.fullmatch(text)
    if put is not None:
        count, data, stem = int(put[1]), put[2].encode(), put[3]
        return [Put(key=f"{stem}_{number}" if stem else "test", data=data) for number in range(count)]
    sizes = [_block(document)["batchSize"] for document in documents(case)]
    if len(sizes) != 1:
        raise NotUnderstood(f"{case.id}: what is put, {text!r}, means nothing here")
    return [Put()] * int(sizes[0])


def _written(value: Any) -> Put:
    return Put(data=value.encode() if isinstance(value, str) else json.dumps(value).encode())


def _from_batches(case: Case) -> Waves:
    """A batch is data, or pairs of a key and data; without keys the sample's is taken."""
    samples = [part.value["kinesis"]["partitionKey"] for part in parts_of(case) if part.kind is Kind.RECORD]
    key = samples[0] if samples else "test"
    return [
        [
            Put(key=each[0], data=base64.b64decode(each[1]))
            if isinstance(each, list)
            else Put(key=key, data=base64.b64decode(each))
            for each in batch
        ]
        for part in parts_of(case)
        if part.kind is Kind.BATCHES
        for batch in part.value
    ]


def _from_events(case: Case) -> Waves:
    """Each event that has new records was a wave."""
    known: set[str] = set()
    waves = [[_put(record) for record in _new(event["Records"], known)] for event in events(case)]
    return [wave for wave in waves if wave]


def _from_payload(case: Case) -> Waves:
    waves = [
        [_put(record) for record in document["payload"]["Records"]]
        for document in documents(case)
        if "payload" in document
    ]
    return waves[:1]


def _from_keys(case: Case) -> Waves:
    """All keys that were ever delivered, in one wave; the data says which of them the function is to report."""
    flag = flag_of(case)
    for part in parts_of(case):
        if part.kind is not Kind.KEYS:
            continue
        keys = list(dict.fromkeys(part.value))
        bad = _reported(case, keys, part.value)
        return [
            [
                Put(key=key, data=json.dumps({flag: number in bad} if flag else {"record_id": number}).encode())
                for number, key in enumerate(keys)
            ]
        ]
    if flag:
        raise NotUnderstood(f"{case.id}: which records the function reports can not be told")
    return []


def _reported(case: Case, keys: Sequence[str], delivered: Sequence[str]) -> set[int]:
    """Tell which records were given up: those that a document names by a number, else those delivered most often."""
    named = [_SEQUENCE.fullmatch(_block(document)["startSequenceNumber"]) for document in documents(case)]
    numbers = {int(found[1]) - 1 for found in named if found}
    most = max(map(delivered.count, keys))
    often = {number for number, key in enumerate(keys) if delivered.count(key) == most > 1}
    # A number names a record only where the recorder counted all of them, and not just those in documents.
    is_counted = numbers.issubset(often)
    return numbers if is_counted else often


def _new(records: Sequence[Mapping[str, Any]], known: set[str]) -> Iterator[Mapping[str, Any]]:
    for record in records:
        number = (record.get("kinesis") or record["dynamodb"]).get("sequenceNumber", record["eventID"])
        if number not in known:
            known.add(number)
            yield record


def _put(record: Mapping[str, Any]) -> Put:
    if "dynamodb" in record:
        change = record["dynamodb"]
        return Put(key=json.dumps(change["Keys"]), data=json.dumps(change.get("NewImage", {})).encode())
    return Put(key=record["kinesis"]["partitionKey"], data=base64.b64decode(record["kinesis"]["data"]))


def _aged(wave: Sequence[Put], age_s: float) -> list[Put]:
    return [replace(put, age_s=age_s) for put in wave]


def _block(document: Mapping[str, Any]) -> Mapping[str, Any]:
    return next(document[name] for name in BLOCKS if name in document)


def _has(case: Case, kind: Kind) -> bool:
    return any(part.kind is kind for part in parts_of(case))
