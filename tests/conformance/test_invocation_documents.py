"""What AWS was recorded to send to on-failure destinations, and what we build for the same fate of the same records."""

import json
from typing import Any
from uuid import uuid4

import pytest

from penstock.api import Record
from penstock.core.events import Origin, stream_layout
from penstock.core.events.invocation_documents import DocumentForm, InvocationDocuments
from penstock.core.invocation_record import Answer, Condition, InvocationRecord

ORIGIN = Origin(
    source_arn="arn:aws:kinesis:us-east-1:111111111111:stream/orders",
    region="us-east-1",
    role_arn="arn:aws:iam::111111111111:role/billing",
    shard="0",
)
FUNCTION_ARN = "arn:aws:lambda:us-east-1:111111111111:function:billing"
TIME_MS = 1_657_720_081_000

RAISED = Answer(function_error="Unhandled", payload=b'{"errorType":"Exception"}')
REPORTED = Answer(function_error=None, payload=b'{"batchItemFailures":[{"itemIdentifier":""}]}')


def built(
    count: int,
    *,
    condition: Condition = "RetryAttemptsExhausted",
    answer: Answer | None = RAISED,
    form: DocumentForm | None = None,
) -> Any:
    record = InvocationRecord(
        condition=condition,
        records=(Record(49_600, b'{"input": "hello", "value": "world", "raise_error": 1}', b"custom", TIME_MS),),
        invoke_count=count,
        request_id=str(uuid4()),
        ended_ms=TIME_MS,
        answer=answer,
    )
    documents = InvocationDocuments(
        "kinesis",
        ORIGIN,
        form=form or DocumentForm(payload=False, response=False),
        function_arn=FUNCTION_ARN,
        mapping="billing.From",
        encode=stream_layout("kinesis", ORIGIN).encode,
    )
    (part,) = documents.parts(record)
    return json.loads(documents.build(part).value)


def only_body(expected: Any) -> Any:
    (message,) = expected["Messages"]
    return message["Body"]


def hold(expected: Any, actual: Any, bind: Any, keys: Any) -> None:
    """Hold a document to a recorded one: its values, the form of its times, and the order of its keys."""
    bind(expected, actual)
    assert keys(actual) == keys(expected)


def test_a_failure_told_to_a_queue_is_as_recorded(recorded, bind, keys):
    expected = only_body(recorded("kin-06-on-failure-sqs")["expected"]["sqs_payload"])

    hold(expected, built(2), bind, keys)


def test_a_failure_told_to_a_topic_of_notifications_is_as_recorded(recorded, bind, keys):
    expected = recorded("kin-07-on-failure-sns")["expected"]["failure_sns_message"]["Message"]

    hold(expected, built(2), bind, keys)


def test_a_failure_kept_as_an_object_is_as_recorded(recorded, bind):
    expected = recorded("kin-08-on-failure-s3")["expected"]["record_body"]

    actual = built(2, form=DocumentForm(response=False))

    assert list(actual)[-1] == "payload"
    # The recorder parsed the text, and sorted the keys.
    bind(expected, {**actual, "payload": json.loads(actual["payload"])})


def test_a_record_given_up_after_partial_responses_is_told_as_recorded(recorded, bind, keys):
    expected = only_body(recorded("kin-09-partial-batch-checkpoint")["expected"]["sqs_payload"])

    hold(expected, built(4, answer=REPORTED), bind, keys)


def test_every_odd_response_that_was_a_failure_is_told_as_recorded(recorded, bind, keys):
    cases = recorded("kin-10-batch-item-failure-odd-values")["cases"]
    assert cases
    for case in cases:
        is_raised = isinstance(case["function_returns"], str)
        hold(case["expected"]["on_failure_body"], built(3, answer=RAISED if is_raised else REPORTED), bind, keys)


@pytest.mark.parametrize(("case", "count"), [("expire-while-retrying", 8), ("expire-before-ingestion", 1)])
def test_records_that_grew_too_old_are_told_as_recorded(recorded, bind, keys, case, count):
    cases = {each["case"]: each for each in recorded("kin-12-record-age-exceeded")["cases"]}
    expected = only_body(cases[case]["expected"]["record_age_exceeded_payload"])

    hold(expected, built(count, condition="RecordAgeExceeded", answer=None), bind, keys)


@pytest.mark.parametrize("name", ["ddb-04-on-failure-sqs", "ddb-05-on-failure-sns"])
def test_a_change_feed_differs_in_the_name_of_its_block_and_the_form_of_its_times_alone(recorded, keys, name):
    case = recorded(name)["expected"]
    messages = case.get("destination_queue_messages")
    expected = only_body(messages) if messages else case["failure_sns_message"]["Message"]

    renamed = json.loads(json.dumps(expected).replace("DDBStreamBatchInfo", "KinesisBatchInfo"))

    assert keys(built(2)) == keys(renamed)
