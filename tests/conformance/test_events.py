"""Events as AWS was recorded to build them."""

import json
from hashlib import md5
from uuid import uuid4

from penstock.api import Attribute, Message, Record
from penstock.core.events import Origin, queue_layout, stream_layout

KINESIS = Origin(
    source_arn="arn:aws:kinesis:us-east-1:111111111111:stream/orders",
    region="us-east-1",
    role_arn="arn:aws:iam::111111111111:role/billing",
    shard="0",
)
SQS = Origin(source_arn="arn:aws:sqs:us-east-1:111111111111:invoices", region="us-east-1")


def sqs_event(body, attributes=None):
    message = Message(str(uuid4()), "AQEB/1", body.encode(), 1, 1545082649183, 1545082649185, attributes or {})
    return json.loads(queue_layout("sqs", SQS).encode([message]))


def test_a_kinesis_event_is_as_recorded(recorded, bind):
    expected = recorded("kin-01-basic-event")["expected"]["kinesis_records"]
    records = [Record(900 + i, b"hello", b"test_%d" % i, 1657720081000 + i) for i in range(10)]

    bound = bind(expected, json.loads(stream_layout("kinesis", KINESIS).encode(records)))

    assert [bound[f"<sequence-number:{i}>"] for i in range(1, 11)] == [str(900 + i) for i in range(10)]


def test_the_fields_of_a_kinesis_record_are_in_the_order_recorded(recorded, bind, keys):
    # Two other cases kept AWS's order of keys; the recorder sorted those of kin-01.
    expected = recorded("kin-03-strict-order-two-batches")["expected"]["sample_record"]
    record = Record(7, b'{"record_id": 0}', b"test_0", 1657720081000)

    [actual] = json.loads(stream_layout("kinesis", KINESIS).encode([record]))["Records"]

    bind(expected, actual)
    assert keys(actual) == keys(expected)


def test_an_sqs_event_is_as_recorded(recorded, bind, keys):
    case = recorded("sqs-02-basic-event-with-window")
    [expected] = case["expected"]["events"]
    [sent] = case["setup"]["send"]
    # The recorder parsed the body, which is text on the wire.
    expected["Records"][0]["body"] = sent["body"]

    actual = sqs_event(sent["body"])

    bound = bind(expected, actual)
    assert keys(actual) == keys(expected)
    assert bound["<md5-of-body:1>"] == md5(sent["body"].encode()).hexdigest()


def test_message_attributes_of_an_sqs_event_are_as_recorded(recorded, bind, keys):
    case = recorded("sqs-04-message-attributes")
    expected = case["expected"]["first_attempt"]["Messages"][0]["Body"]["event"]
    [sent] = case["setup"]["send"]
    body = json.dumps({"destination": "https://sqs/queue", "fail_attempts": 0})
    attributes = {
        name: Attribute(value["DataType"], value["StringValue"]) for name, value in sent["attributes"].items()
    }

    actual = sqs_event(body, attributes)

    bound = bind(expected, actual)
    assert bound["<md5-of-body:1>"] == md5(body.encode()).hexdigest()
    # The attributes themselves are a set: SQS gave them back in no order that could be foretold.
    for record in (actual["Records"][0], expected["Records"][0]):
        record["messageAttributes"] = dict(sorted(record["messageAttributes"].items()))
    assert keys(actual) == keys(expected)
