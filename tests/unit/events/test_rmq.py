import base64
import json
from datetime import UTC, datetime
from decimal import Decimal

import pytest

from penstock.api import Message, Returned
from penstock.core.events import Origin, queue_layout
from penstock.core.queue_response import Reported, read_queue_response

ORIGIN = Origin(
    source_arn="arn:aws:mq:us-west-2:111122223333:broker:pizzaBroker:b-9bcfa592",
    region="us-west-2",
    queue="pizzaQueue",
    virtual_host="/",
)
DATA = b'{"timeout":0,"data":"CZrmf0Gw8Ov4bqLQxD4E"}'


def message(body=b"hello", properties=None, **changes):
    fields = {"message_id": "id-1", "receipt": "7", "receive_count": 1, "sent_ms": 1, "first_received_ms": 2}
    return Message(**{**fields, **changes, "body": body, "properties": properties})


def shown(message, origin=ORIGIN):
    [[element]] = json.loads(queue_layout("rmq", origin).encode([message]))["rmqMessagesByQueue"].values()
    return element


def properties_of(properties):
    return shown(message(properties=properties))["basicProperties"]


def headers_of(headers):
    return properties_of({"headers": headers})["headers"]


def test_an_event_is_that_of_the_documentation_in_its_order():
    # Only `messageId` is not null as there, where a partial response could not name the message.
    properties = {
        "content_type": "text/plain",
        "headers": {"header1": "value1", "numberInHeader": 10},
        "delivery_mode": 1,
        "priority": 34,
        "expiration": "60000",
        "timestamp": 2021,
        "user_id": "AIDACKCEVSQ6C2EXAMPLE",
    }

    event = queue_layout("rmq", ORIGIN).encode([message(DATA, properties)])

    assert event == (
        b'{"eventSource":"aws:rmq",'
        b'"eventSourceArn":"arn:aws:mq:us-west-2:111122223333:broker:pizzaBroker:b-9bcfa592",'
        b'"rmqMessagesByQueue":{"pizzaQueue::/":[{"basicProperties":{"contentType":"text/plain",'
        b'"contentEncoding":null,"headers":{"header1":{"bytes":[118,97,108,117,101,49]},"numberInHeader":10},'
        b'"deliveryMode":1,"priority":34,"correlationId":null,"replyTo":null,"expiration":"60000",'
        b'"messageId":"id-1","timestamp":"Jan 1, 1970, 12:33:41 AM","type":null,'
        b'"userId":"AIDACKCEVSQ6C2EXAMPLE","appId":null,"clusterId":null,"bodySize":43},"redelivered":false,'
        b'"data":"eyJ0aW1lb3V0IjowLCJkYXRhIjoiQ1pybWYwR3c4T3Y0YnFMUXhENEUifQ=="}]}}'
    )


def test_every_property_goes_to_the_name_that_java_has_for_it():
    names = ("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "type", "user_id")
    properties = {name: f"the {name}" for name in (*names, "app_id", "cluster_id")}

    found = properties_of({**properties, "delivery_mode": 2, "priority": 9})

    assert {name: text for name, text in found.items() if isinstance(text, str)} == {
        "contentType": "the content_type",
        "contentEncoding": "the content_encoding",
        "correlationId": "the correlation_id",
        "replyTo": "the reply_to",
        "expiration": "the expiration",
        "messageId": "id-1",
        "type": "the type",
        "userId": "the user_id",
        "appId": "the app_id",
        "clusterId": "the cluster_id",
    }
    assert (found["deliveryMode"], found["priority"], found["bodySize"]) == (2, 9, 5)


@pytest.mark.parametrize("properties", [None, {}])
def test_a_message_without_properties_has_nulls_and_its_own_name(properties):
    found = properties_of(properties)

    assert len(found) == 15
    assert {name: value for name, value in found.items() if value is not None} == {"messageId": "id-1", "bodySize": 5}


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("é", {"bytes": [-61, -87]}),
        ("", {"bytes": []}),
        (b"\x00\x7f\x80\xff", {"bytes": [0, 127, -128, -1]}),
        (True, True),
        (-(2**63), -(2**63)),
        (1.5, 1.5),
        (None, None),
        (datetime(2026, 1, 31, 7, 4, tzinfo=UTC), "Jan 31, 2026, 7:04:00 AM"),
        (datetime(2026, 1, 31, 7, 4), "Jan 31, 2026, 7:04:00 AM"),  # noqa: DTZ001 - as some clients decode it
        (["a", 1, [None]], [{"bytes": [97]}, 1, [None]]),
        ({"queue": "q", "count": 2}, {"queue": {"bytes": [113]}, "count": 2}),
        ({}, {}),
    ],
)
def test_texts_of_headers_are_bytes_and_the_rest_is_plain(value, expected):
    assert headers_of({"name": value}) == {"name": expected}


@pytest.mark.parametrize("text", ["12.50", "-1E-255", "0.01"])
def test_a_decimal_keeps_its_digits(text):
    event = queue_layout("rmq", ORIGIN).encode([message(properties={"headers": {"price": Decimal(text)}})])

    assert f'"price":{text}}}'.encode() in event


def test_headers_that_are_there_and_empty_are_not_null():
    assert headers_of({}) == {}


def test_the_body_is_always_base64():
    body = b"\x80\x02penstock"

    assert base64.b64decode(shown(message(body))["data"]) == body


@pytest.mark.parametrize(
    ("changes", "expected"),
    [({}, False), ({"redelivered": True}, True), ({"receive_count": 2}, True)],
)
def test_what_was_delivered_or_run_before_is_redelivered(changes, expected):
    assert shown(message(**changes))["redelivered"] is expected


def test_messages_stand_under_their_queue_and_virtual_host_in_their_order():
    origin = Origin(source_arn="arn", region="us-east-1", queue="jobs", virtual_host="team/a")

    event = json.loads(queue_layout("rmq", origin).encode([message(b"a"), message(b"b")]))

    [(name, elements)] = event["rmqMessagesByQueue"].items()
    assert (name, [element["data"] for element in elements]) == ("jobs::team/a", ["YQ==", "Yg=="])


def test_a_queue_that_is_not_named_is_called_as_its_arn_ends(queue_origin):
    event = json.loads(queue_layout("rmq", queue_origin).encode([message()]))

    assert (event["eventSourceArn"], list(event["rmqMessagesByQueue"])) == (queue_origin.source_arn, ["invoices::/"])


def test_the_name_in_the_event_is_the_one_that_a_partial_response_has():
    batch = [message(message_id="one"), message(message_id="two", properties={"message_id": "two"})]
    [elements] = json.loads(queue_layout("rmq", ORIGIN).encode(batch))["rmqMessagesByQueue"].values()
    failed = {"batchItemFailures": [{"itemIdentifier": elements[1]["basicProperties"]["messageId"]}]}

    outcome = read_queue_response(Returned(json.dumps(failed).encode(), 7), batch, reports_item_failures=True)

    assert isinstance(outcome, Reported)
    assert outcome.delays_ms == {1: None}
