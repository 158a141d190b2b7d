"""The first traces of the specification (§11, T1 to T8), and one of our own, in the shape of recordings."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.recordings.case import Case

KINESIS = "kinesis 1 shard"
DYNAMODB = "dynamodb stream"
QUEUE = {"DestinationConfig": {"OnFailure": {"Destination": "<sqs arn>"}}}
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
AGE = {"MaximumRecordAgeInSeconds": 60}
FLAGGED = "returns batchItemFailures with the sequenceNumber of records whose data has should_fail true"

TIME = "<timestamp:2022-07-13T13:48:01.000Z>"
FUNCTION_ARN = "arn:<partition>:lambda:<region>:111111111111:function:<resource:1>"
STREAM_ARN = "arn:<partition>:kinesis:<region>:111111111111:stream/<resource:2>"

SUCCESSES: Mapping[str, Any] = {
    "an empty text": "",
    "null": None,
    "an empty object": {},
    "an empty list": [],
    "no failures": {"batchItemFailures": []},
    "null failures": {"batchItemFailures": None},
}
FAILURES: Mapping[str, Any] = {
    "an empty identifier": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "a null identifier": {"batchItemFailures": [{"itemIdentifier": None}]},
    "a wrong key": {"batchItemFailures": [{"foo": "bar"}]},
    "a wrong key with null": {"batchItemFailures": [{"foo": None}]},
}


def traces() -> list[Case]:
    """Give T1 to T8, and what a destination of ours gets where nobody asks for AWS's bare form."""
    return [*_given_up(), *_responses(), *_ages(), *_ours()]


def _given_up() -> Iterator[Case]:
    yield case(
        "T1 one retry",
        {"BatchSize": 1, "MaximumRetryAttempts": 1, **QUEUE},
        {"failure": document(2), "invocations": 2},
        function="raises",
    )
    for source in (KINESIS, DYNAMODB):
        feed = source == DYNAMODB
        yield case(
            f"T2 partial responses, {source}",
            {"BatchSize": 3, "MaximumRetryAttempts": 3, **REPORTS, **QUEUE},
            {
                "failure": document(4, error=None, sequence="<sequence-number:6>", feed=feed),
                "records_per_invocation": [3, 3, 1, 1, 1, 1],
                "delivered_keys": [f"test_{number}" for number in (0, 1, 2, 3, 4, 5, 5, 5, 5, 5)],
            },
            source=source,
            function=FLAGGED,
        )


def _responses() -> Iterator[Case]:
    settings = {"BatchSize": 1, "MaximumRetryAttempts": 2, **REPORTS, **QUEUE}
    failed = {"failure": document(3, error=None), "records_per_invocation": [1, 1, 1]}
    unknown = {"batchItemFailures": [{"itemIdentifier": "123"}]}
    yield case("T3 an unknown identifier", settings, failed, function_returns=unknown)
    for name, value in SUCCESSES.items():
        yield case(f"T4 {name}", settings, {"failure": [], "records_per_invocation": [1]}, function_returns=value)
    for name, value in FAILURES.items():
        yield case(f"T5 {name}", settings, failed, function_returns=value)


def _ages() -> Iterator[Case]:
    yield case(
        "T6 too old while it is tried",
        {"BatchSize": 1, "MaximumRetryAttempts": -1, **AGE, **QUEUE},
        {"failure": document(8, condition="RecordAgeExceeded")},
        function="raises",
    )
    untried = document(1, condition="RecordAgeExceeded")
    yield case(
        "T7 too old before the mapping",
        {"BatchSize": 1, "MaximumRetryAttempts": 0, **AGE, **QUEUE},
        {"failure": untried, "invocations": 0},
        function="raises",
    )
    yield case(
        "T8 one too old, five fresh",
        {"BatchSize": 10, "MaximumRetryAttempts": 0, **AGE, **QUEUE},
        {"failure": untried, "events": [{"Records": [record(number) for number in range(2, 7)]}]},
        function="echo",
    )


def _ours() -> Iterator[Case]:
    destination = {"OnFailure": {"Destination": "<sqs arn>", "IncludePayload": True}}
    payload = {"Records": [record(1)]}
    yield case(
        "ours: a payload and the last answer",
        {"BatchSize": 1, "MaximumRetryAttempts": 1, "DestinationConfig": destination},
        {"failure": {**document(2), "payload": payload}},
        function="raises",
    )


def case(
    name: str, create: Mapping[str, Any], expected: Mapping[str, Any], *, source: str = KINESIS, **does: Any
) -> Case:
    """Make one case in the shape of a recording."""
    return Case(id=name, title=name, setup={"source": source, "create": create, **does}, expected=expected)


def document(
    count: int,
    *,
    condition: str = "RetryAttemptsExhausted",
    error: str | None = "Unhandled",
    sequence: str = "<sequence-number:1>",
    feed: bool = False,
) -> dict[str, Any]:
    """Write a document of one record as AWS was recorded to."""
    request = {
        "requestId": "<uuid:2>",
        "functionArn": FUNCTION_ARN,
        "condition": condition,
        "approximateInvokeCount": count,
    }
    response = {"statusCode": 200, "executedVersion": "$LATEST", "functionError": error}
    info = {
        "shardId": "shardId-000000000000",
        "startSequenceNumber": sequence,
        "endSequenceNumber": sequence,
        "approximateArrivalOfFirstRecord": TIME,
        "approximateArrivalOfLastRecord": TIME,
        "batchSize": 1,
        "streamArn": STREAM_ARN,
    }
    return {
        "requestContext": request,
        **({} if condition == "RecordAgeExceeded" else {"responseContext": response}),
        "version": "1.0",
        "timestamp": TIME,
        ("DDBStreamBatchInfo" if feed else "KinesisBatchInfo"): info,
    }


def record(number: int) -> dict[str, Any]:
    """Write the record with this number of a case as AWS was recorded to."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": f"test_{number}",
            "sequenceNumber": f"<sequence-number:{number}>",
            "data": b64encode(json.dumps({"record_id": number}).encode()).decode(),
            "approximateArrivalTimestamp": "<approximate-arrival-timestamp>",
        },
        "eventSource": "aws:kinesis",
        "eventVersion": "1.0",
        "eventID": f"shardId-000000000000:<sequence-number:{number}>",
        "eventName": "aws:kinesis:record",
        "invokeIdentityArn": "arn:<partition>:iam::111111111111:role/<resource:3>",
        "awsRegion": "<region>",
        "eventSourceARN": STREAM_ARN,
    }
