from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api import FunctionFailed, NotRun, Record, Returned
from penstock.core import outcome, response
from penstock.core.events import Origin, stream_layout
from penstock.core.invocation_record import Answer
from penstock.core.outcome import Failed, PartlyFailed, ResponseReader, Succeeded, Throttled

KINESIS = Origin(source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/orders", region="us-east-1", shard="0")
KAFKA = Origin(source_arn="arn", region="us-east-1", shard="orders-0", topic="orders", partition=0)
BATCH = [Record(position, b"", None, 0) for position in (10, 11, 14)]
SENTENCE = "batchItemFailures names what is not in the batch: "


def read(payload: Any, *, event_format: str = "kinesis", reports: bool = True, has_window: bool = False) -> Any:
    layout = stream_layout(event_format, KAFKA if event_format == "kafka" else KINESIS)
    reader = ResponseReader(layout, reports_item_failures=reports)
    data = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
    return reader.read(Returned(data, 12), BATCH, has_window=has_window)


def reported(*identifiers: Any) -> dict[str, Any]:
    return {"batchItemFailures": [{"itemIdentifier": identifier} for identifier in identifiers]}


@pytest.mark.parametrize("payload", [b"null", b"{}", b'{"batchItemFailures":[{"itemIdentifier":"1"}]}', b'"no"', b"7"])
def test_without_a_setting_that_gives_it_a_meaning_whatever_a_function_returns_is_success(payload: bytes):
    assert outcome.read(Returned(payload, 12)) == Succeeded(12, Answer(function_error=None, payload=payload))
    assert read(payload, reports=False) == Succeeded(12, Answer(function_error=None, payload=payload))


def test_a_function_that_failed_spent_an_attempt():
    failed = FunctionFailed("Sandbox.Timedout", "Task timed out after 1.00 seconds", b'{"errorType":"x"}', 1000)
    answer = Answer(function_error="Unhandled", payload=b'{"errorType":"x"}')

    assert outcome.read(failed) == Failed("Sandbox.Timedout", "Task timed out after 1.00 seconds", 1000, answer)


def test_a_function_that_was_not_run_spent_none():
    assert outcome.read(NotRun("no process could be started", 50)) == Throttled("no process could be started", 50)


@pytest.mark.parametrize(
    "payload",
    [b"", b"null", b"{}", b"[]", b'""', {"batchItemFailures": []}, {"batchItemFailures": None}, {"statusCode": 200}],
)
def test_a_response_that_reports_nothing_is_success(payload: Any):
    assert isinstance(read(payload), Succeeded)


@pytest.mark.parametrize(
    ("identifiers", "done", "count"), [(["10"], 0, 1), (["11"], 1, 1), (["14", "11"], 1, 2), (["14", "14"], 2, 1)]
)
def test_the_lowest_reported_record_is_where_it_failed(identifiers: list[str], done: int, count: int):
    found = read(reported(*identifiers))

    assert isinstance(found, PartlyFailed)
    assert (found.done, found.reported) == (done, count)
    assert found.answer.function_error is None


@pytest.mark.parametrize(
    "identifier", ["", None, "123", 10, "+10", " 10", "1_0", "\u0661\u0660", True, ["10"], {"partition": "orders-0"}]
)
def test_an_identifier_that_is_not_in_the_batch_fails_all_of_it_and_is_named(identifier: Any):
    found = read(reported("11", identifier))

    assert isinstance(found, Failed)
    assert found.answer.function_error is None
    assert found.error_message == SENTENCE + json.dumps(
        {"itemIdentifier": identifier}, separators=(",", ":"), ensure_ascii=False
    )


@pytest.mark.parametrize(
    "payload",
    [
        {"batchItemFailures": [{"foo": "10"}]},
        {"batchItemFailures": [{"foo": None}]},
        {"batchItemFailures": ["10"]},
        {"batchItemFailures": {"itemIdentifier": "10"}},
        {"batchItemFailures": "10"},
        {"batchItemFailures": 0},
        b'"ok"',
        b"7",
        b"true",
        b"[1]",
        b"{no json",
    ],
)
def test_a_response_of_another_shape_fails_the_whole_batch(payload: Any):
    assert isinstance(read(payload), Failed)


def test_only_the_first_few_unknown_identifiers_are_shown():
    found = read(reported(*map(str, range(20, 40))))

    assert isinstance(found, Failed)
    assert found.error_message.count("itemIdentifier") == response.SHOWN_MAX
    assert found.error_message.endswith(", …")


@pytest.mark.parametrize(
    "identifier",
    [
        {"partition": "orders-0", "offset": 11},
        {"topic-partition": "orders-0", "offset": 11},
        {"partition": "orders-0", "offset": "11"},
        "11",
    ],
)
def test_kafka_s_identifiers_are_known_in_each_of_their_forms(identifier: Any):
    found = read(reported(identifier), event_format="kafka")

    assert isinstance(found, PartlyFailed)
    assert found.done == 1


@pytest.mark.parametrize(
    "identifier",
    [
        {"partition": "orders-1", "offset": 11},
        {"partition": "orders-0", "offset": 12},
        {"partition": "orders-0", "offset": True},
        {"partition": "orders-0"},
        {"partition": "orders-0", "offset": 11, "topic": "orders"},
        11,
        "12",
    ],
)
def test_what_names_no_record_of_the_partition_fails_the_whole_batch(identifier: Any):
    assert isinstance(read(reported(identifier), event_format="kafka"), Failed)


def test_a_window_s_state_is_taken_as_the_function_wrote_it():
    found = read(b'{"state": {"sum": 1.10, "big": 123456789012345678901}, "x": 1}', has_window=True, reports=False)

    assert found.state == b'{"sum": 1.10, "big": 123456789012345678901}'


@pytest.mark.parametrize("payload", [b"", b"null", b"{}", b'{"state":null}', b'{"state":[]}', b'{"state":"{}"}', b"[]"])
def test_a_response_without_a_state_fails_where_a_window_needs_one(payload: bytes):
    assert isinstance(read(payload, has_window=True), Failed)


def test_a_partial_response_brings_the_state_of_what_was_done():
    found = read({"state": {"n": 1}, **reported("14")}, has_window=True)

    assert isinstance(found, PartlyFailed)
    assert (found.done, found.state) == (2, b'{"n": 1}')
