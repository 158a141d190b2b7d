import base64
import json
from dataclasses import replace
from hashlib import md5

import pytest

from penstock.api import Attribute, Message
from penstock.core.events import queue_layout


def message(body=b"hello", **changes):
    fields = {
        "message_id": "b5c4d0f1-5c1e-4f5e-9f0e-0d7b5d6a9f11",
        "receipt": "AQEB",
        "body": body,
        "receive_count": 1,
        "sent_ms": 1545082649183,
        "first_received_ms": 1545082649185,
    }
    return Message(**{**fields, **changes})


def record_of(origin, message):
    [shown] = json.loads(queue_layout("sqs", origin).encode([message]))["Records"]
    return shown


def test_an_event_has_the_recorded_fields_in_the_recorded_order(queue_origin):
    event = queue_layout("sqs", queue_origin).encode([message()])

    assert event == (
        b'{"Records":[{"messageId":"b5c4d0f1-5c1e-4f5e-9f0e-0d7b5d6a9f11","receiptHandle":"AQEB","body":"hello",'
        b'"attributes":{"ApproximateReceiveCount":"1","SentTimestamp":"1545082649183","SenderId":"000000000000",'
        b'"ApproximateFirstReceiveTimestamp":"1545082649185"},"messageAttributes":{},"md5OfMessageAttributes":null,'
        b'"md5OfBody":"5d41402abc4b2a76b9719d911017c592","eventSource":"aws:sqs",'
        b'"eventSourceARN":"arn:aws:sqs:us-east-1:000000000000:invoices","awsRegion":"us-east-1"}]}'
    )


def test_the_checksum_of_no_attributes_is_left_out_where_the_mapping_has_neither_a_window_nor_a_filter(queue_origin):
    bare = replace(queue_origin, leaves_out_unset=True)

    assert "md5OfMessageAttributes" not in record_of(bare, message())
    assert "md5OfMessageAttributes" in record_of(bare, message(attributes={"n": Attribute("Number", "6")}))


def test_a_fifo_message_has_its_group_deduplication_id_and_sequence(queue_origin):
    shown = record_of(queue_origin, message(group="g", deduplication_id="d", sequence="18849496460467696128"))

    assert list(shown["attributes"].items()) == [
        ("ApproximateReceiveCount", "1"),
        ("SentTimestamp", "1545082649183"),
        ("SequenceNumber", "18849496460467696128"),
        ("MessageGroupId", "g"),
        ("SenderId", "000000000000"),
        ("MessageDeduplicationId", "d"),
        ("ApproximateFirstReceiveTimestamp", "1545082649185"),
    ]


def test_numbers_are_text_and_binary_attributes_are_base64(queue_origin):
    attributes = {"n": Attribute("Number.int", "6"), "b": Attribute("Binary", b"\x00\xff")}

    shown = record_of(queue_origin, message(attributes=attributes))["messageAttributes"]

    assert shown == {
        "n": {"stringValue": "6", "stringListValues": [], "binaryListValues": [], "dataType": "Number.int"},
        "b": {"binaryValue": "AP8=", "stringListValues": [], "binaryListValues": [], "dataType": "Binary"},
    }


@pytest.mark.parametrize(
    ("attributes", "digest"),
    [
        # AWS's own answer, from the recorded case of three attributes.
        (
            {
                "Title": Attribute("String", "The Whistler"),
                "Author": Attribute("String", "John Grisham"),
                "WeeksOn": Attribute("Number", "6"),
            },
            "d25a6aea97eb8f585bfa92d314504a92",
        ),
        # Computed by hand from SQS's description: lengths, name, type, the transport's number, value.
        (
            {"b": Attribute("Binary", b"\x01")},
            md5(b"\0\0\0\x01b\0\0\0\x06Binary\x02\0\0\0\x01\x01").hexdigest(),
        ),
    ],
)
def test_the_checksum_of_the_attributes_is_that_of_sqs(queue_origin, attributes, digest):
    assert record_of(queue_origin, message(attributes=attributes))["md5OfMessageAttributes"] == digest


def test_the_checksum_does_not_depend_on_the_order_of_the_attributes(queue_origin):
    one, other = ("b", Attribute("String", "1")), ("a", Attribute("String", "2"))

    digests = {
        record_of(queue_origin, message(attributes=dict(pairs)))["md5OfMessageAttributes"]
        for pairs in ([one, other], [other, one])
    }

    assert len(digests) == 1


def test_a_body_that_is_not_text_comes_as_base64_and_says_so(queue_origin):
    body = b"\x80\x02penstock"

    shown = record_of(queue_origin, message(body, attributes={"a": Attribute("String", "1")}))

    assert base64.b64decode(shown["body"]) == body
    assert shown["messageAttributes"]["penstock.encoding"]["stringValue"] == "base64"
    assert shown["messageAttributes"]["a"]["stringValue"] == "1"
    assert shown["md5OfBody"] == md5(shown["body"].encode()).hexdigest()


def test_a_body_of_text_is_passed_on_as_it_is(queue_origin):
    body = '{"grün": "\\u00fc\t"}\r\n\0'

    assert record_of(queue_origin, message(body.encode()))["body"] == body
