"""What a destination is told, in AWS's words and in its order of keys."""

import json
from dataclasses import replace
from typing import Any

import pytest

from penstock.api import Record
from penstock.core.events import Origin, stream_layout
from penstock.core.events.invocation_documents import (
    DocumentForm,
    Extent,
    InvocationDocuments,
)
from penstock.core.invocation_record import Answer, InvocationRecord

FUNCTION = "arn:aws:lambda:us-east-1:000000000000:function:billing"
ERROR = {"errorType": "KeyError", "errorMessage": "'id'", "stackTrace": ['  File "app.py", line 3, in handler\n']}
CRASHED = Answer(function_error="Unhandled", payload=json.dumps(ERROR).encode())
ENDED_MS = 1_573_691_886_021

FAILED = InvocationRecord(
    condition="RetryAttemptsExhausted",
    records=(
        Record(41, b"one", b"alice", 1_573_691_884_835, (("trace", b"\x01\xff"), ("trace", None))),
        Record(42, b"two", None, 1_573_691_885_580),
    ),
    invoke_count=3,
    request_id="5f2f7a68-6a1f-4d8e-a4fd-28f0a2f6a4a1",
    ended_ms=ENDED_MS,
    answer=CRASHED,
)
BARE_FORM = DocumentForm(payload=False, response=False)
FROM_TOPIC_TO_TOPIC = DocumentForm(from_topic_to_topic=True)


def documents(event_format: str, origin: Origin, form: DocumentForm | None = None) -> InvocationDocuments:
    return InvocationDocuments(
        event_format,
        origin,
        form=form or DocumentForm(),
        function_arn=FUNCTION,
        mapping="billing.From",
        encode=stream_layout(event_format, origin).encode,
    )


def built(made: InvocationDocuments, record: InvocationRecord = FAILED, extent: Extent = Extent.WHOLE) -> Any:
    (part,) = made.parts(record)
    return json.loads(made.build(part, extent, reason="it was too large").value)


def headers_of(document: Any) -> dict[str, str]:
    return {name: value.decode() for name, value in document.headers if name.startswith("penstock.")}


def test_the_bare_document_of_a_kinesis_batch_has_nothing_but_what_aws_has(origin):
    assert built(documents("kinesis", origin, BARE_FORM)) == {
        "requestContext": {
            "requestId": FAILED.request_id,
            "functionArn": FUNCTION,
            "condition": "RetryAttemptsExhausted",
            "approximateInvokeCount": 3,
        },
        "responseContext": {"statusCode": 200, "executedVersion": "$LATEST", "functionError": "Unhandled"},
        "version": "1.0",
        "timestamp": "2019-11-14T00:38:06.021Z",
        "KinesisBatchInfo": {
            "shardId": "shardId-000000000003",
            "startSequenceNumber": "41",
            "endSequenceNumber": "42",
            "approximateArrivalOfFirstRecord": "2019-11-14T00:38:04.835Z",
            "approximateArrivalOfLastRecord": "2019-11-14T00:38:05.580Z",
            "batchSize": 2,
            "streamArn": origin.source_arn,
        },
    }


def test_the_bare_document_of_a_kafka_batch_has_nothing_but_what_aws_has(origin):
    document = built(documents("kafka", origin, BARE_FORM))

    assert list(document) == ["requestContext", "responseContext", "version", "timestamp", "KafkaBatchInfo"]
    assert document["requestContext"]["functionArn"] == FUNCTION
    event = stream_layout("kafka", origin).encode(FAILED.records)
    assert json.dumps(document["KafkaBatchInfo"]) == json.dumps(
        {
            "batchSize": 2,
            "eventSourceArn": origin.source_arn,
            "bootstrapServers": "b-1:9092,b-2:9092",
            "payloadSize": len(event),
            "recordsInfo": {
                "orders-3": {
                    "firstRecordOffset": "41",
                    "lastRecordOffset": "42",
                    "firstRecordTimestamp": "2019-11-14T00:38:04.835Z",
                    "lastRecordTimestamp": "2019-11-14T00:38:05.580Z",
                }
            },
        }
    )


@pytest.mark.parametrize("event_format", ["kinesis", "kafka"])
def test_the_payload_is_the_event_as_an_escaped_text_and_the_last_answer_is_an_object(origin, event_format):
    document = built(documents(event_format, origin))

    assert list(document)[-2:] == ["payload", "responsePayload"]
    assert document["payload"].encode() == stream_layout(event_format, origin).encode(FAILED.records)
    assert document["responsePayload"] == ERROR


def test_from_topic_to_topic_each_record_has_a_document_with_its_key_its_headers_and_the_context(origin):
    made = documents("kafka", origin, FROM_TOPIC_TO_TOPIC)

    first, second = map(made.build, made.parts(FAILED))

    content = json.loads(first.value)
    assert list(content)[-3:] == ["KafkaBatchInfo", "payload", "responsePayload"]
    assert content["requestContext"]["functionArn"] == f"{FUNCTION}:$LATEST"
    assert content["requestContext"]["condition"] == "RetriesExhausted"
    assert content["KafkaBatchInfo"]["batchSize"] == 1
    assert content["KafkaBatchInfo"]["recordInfo"] == {"offset": "41", "timestamp": "2019-11-14T00:38:04.835Z"}
    assert "recordsInfo" not in content["KafkaBatchInfo"]
    event = stream_layout("kafka", origin).encode(FAILED.records[:1])
    assert content["payload"] == json.loads(event)
    assert content["KafkaBatchInfo"]["payloadSize"] == len(event)
    assert (first.key, second.key) == (b"alice", None)
    assert first.headers[:2] == FAILED.records[0].headers
    assert headers_of(first) == {
        "penstock.condition": "RetriesExhausted",
        "penstock.mapping": "billing.From",
        "penstock.function": FUNCTION,
        "penstock.request-id": FAILED.request_id,
        "penstock.invoke-count": "3",
        "penstock.failed-at": "2019-11-14T00:38:06.021Z",
        "penstock.topic": "orders",
        "penstock.partition": "3",
        "penstock.offset": "41",
        "penstock.timestamp": "1573691884835",
        "penstock.error-type": "KeyError",
        "penstock.error-message": "'id'",
    }
    assert json.loads(second.value)["KafkaBatchInfo"]["recordInfo"]["offset"] == "42"


def test_from_topic_to_topic_in_the_kinesis_layout_a_batch_of_one_keeps_key_and_headers(origin):
    made = documents("kinesis", origin, FROM_TOPIC_TO_TOPIC)
    (alone,) = made.parts(replace(FAILED, records=FAILED.records[:1]))
    (together,) = made.parts(FAILED)

    one, both = made.build(alone), made.build(together)

    assert (one.key, one.headers[:2]) == (b"alice", FAILED.records[0].headers)
    assert json.loads(one.value)["KinesisBatchInfo"]["batchSize"] == 1
    assert both.key is None
    assert headers_of(both)["penstock.offset"] == "41"
    assert headers_of(both)["penstock.last-offset"] == "42"


def test_elsewhere_a_document_has_no_key_and_no_headers(origin):
    made = documents("kafka", origin)
    (part,) = made.parts(FAILED)

    document = made.build(part)

    assert (document.key, document.headers) == (None, ())
    assert (document.shard, document.ended_ms) == ("orders-3", ENDED_MS)


def test_records_too_old_have_no_response_context_and_those_too_large_have_null(origin):
    made = documents("kinesis", origin)

    old = built(made, replace(FAILED, condition="RecordAgeExceeded", answer=None, invoke_count=1))
    large = built(made, replace(FAILED, condition="MaximumPayloadSizeExceeded", answer=None))

    assert list(old) == ["requestContext", "version", "timestamp", "KinesisBatchInfo", "payload"]
    assert old["requestContext"]["condition"] == "RecordAgeExceeded"
    assert large["responseContext"] is None
    assert list(large)[:2] == ["requestContext", "responseContext"]


def test_an_answer_that_reported_failures_is_no_function_error(origin):
    reported = Answer(function_error=None, payload=b'{"batchItemFailures":[{"itemIdentifier":"42"}]}')

    document = built(documents("kinesis", origin), replace(FAILED, answer=reported))

    assert document["responseContext"] == {"statusCode": 200, "executedVersion": "$LATEST", "functionError": None}
    assert document["responsePayload"] == {"batchItemFailures": [{"itemIdentifier": "42"}]}


def test_an_answer_that_nobody_remembers_is_left_out(origin):
    document = built(documents("kinesis", origin), replace(FAILED, answer=None))

    assert document["responseContext"] is None
    assert "responsePayload" not in document


def test_a_success_is_told_like_a_failure_with_what_the_function_returned(origin):
    success = replace(FAILED, condition="Success", answer=Answer(function_error=None, payload=b'{"sum":7}'))
    made = documents("kafka", origin, FROM_TOPIC_TO_TOPIC)

    content = built(documents("kinesis", origin), success)

    assert content["requestContext"]["condition"] == "Success"
    assert content["responseContext"]["functionError"] is None
    assert content["responsePayload"] == {"sum": 7}
    context = headers_of(made.build(made.parts(success)[0]))
    assert context["penstock.condition"] == "Success"
    assert context["penstock.ended-at"] == "2019-11-14T00:38:06.021Z"
    assert "penstock.failed-at" not in context


@pytest.mark.parametrize("form", [DocumentForm(), FROM_TOPIC_TO_TOPIC])
def test_a_document_without_its_payload_says_why_and_keeps_everything_else(origin, form):
    made = documents("kafka", origin, form)
    whole = json.loads(made.build(made.parts(FAILED)[0]).value)

    smaller = json.loads(made.build(made.parts(FAILED)[0], Extent.WITHOUT_PAYLOAD, reason="it was too large").value)

    assert "payload" not in smaller
    assert smaller.pop("payloadOmitted") == "it was too large"
    whole.pop("payload")
    assert smaller == whole


def test_the_smallest_document_is_aws_own_with_a_word_on_what_is_missing(origin):
    record = replace(FAILED, records=(replace_key(FAILED.records[0], b"k" * 5000),))
    made = documents("kafka", origin, FROM_TOPIC_TO_TOPIC)
    (part,) = made.parts(record)

    bare = made.build(part, Extent.BARE, reason="x" * 5000)

    assert bare.key is None
    assert "trace" not in dict(bare.headers)
    assert "penstock.error-message" not in dict(bare.headers)
    assert "responsePayload" not in json.loads(bare.value)
    assert bare.size_bytes < 1700
    assert made.build(part).size_bytes > made.build(part, Extent.WITHOUT_PAYLOAD).size_bytes > bare.size_bytes


def test_a_short_key_stays_with_the_smallest_document(origin):
    made = documents("kafka", origin, FROM_TOPIC_TO_TOPIC)

    assert made.build(made.parts(FAILED)[0], Extent.BARE).key == b"alice"


def test_a_form_without_payload_never_says_that_it_was_left_out(origin):
    assert "payloadOmitted" not in built(documents("kinesis", origin, BARE_FORM), extent=Extent.BARE)


@pytest.mark.parametrize("payload", [b"Segmentation fault", b'{"half": ', b'{"a": "\xff"}', b"[" * 100_000])
def test_an_answer_that_is_no_json_is_quoted(origin, payload):
    record = replace(FAILED, answer=Answer(function_error="Unhandled", payload=payload))
    made = documents("kafka", origin, FROM_TOPIC_TO_TOPIC)

    document = made.build(made.parts(record)[0])

    assert json.loads(document.value)["responsePayload"] == payload.decode(errors="replace")
    assert "penstock.error-type" not in dict(document.headers)


def replace_key(record: Record, key: bytes) -> Record:
    return Record(record.position, record.value, key, record.timestamp_ms, record.headers)
