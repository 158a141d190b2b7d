"""What AMQP's messages become, and ours on the way there."""

from __future__ import annotations

import datetime as dt
import struct
from decimal import Decimal
from pathlib import Path

import pytest
from pika import BasicProperties

from penstock.api import Attribute, Outgoing, SourceContext
from penstock_rabbitmq.messages import Delivery, Reader, properties_of
from penstock_rabbitmq.pika_numbers import read_value
from penstock_rabbitmq.settings import Settings


def _reader(**settings):
    source = SourceContext(
        project="p", name="n", settings={"Url": "amqp://h", "Queue": "q", **settings}, data_dir=Path("/")
    )
    return Reader(Settings.of(source))


def _message(properties=None, *, redelivered=False, runs=0, routing_key="q", **settings):
    given = properties or BasicProperties()
    delivery = Delivery(7, redelivered, routing_key, given, b"body", 0.0, runs=runs)
    return _reader(**settings).message(delivery, receipt="1-7", now_ms=5_000)


def test_headers_are_attributes_of_the_types_that_amqp_has():
    headers = {
        "text": "t",
        "whole": 7,
        "part": 0.5,
        "exact": Decimal("1.20"),
        "blob": b"\x00",
        "truth": True,
        "when": dt.datetime(2026, 1, 31, tzinfo=dt.UTC),
        "table": {"a": 1},
        "list": [1],
        "nothing": None,
    }
    assert _message(BasicProperties(headers=headers)).attributes == {
        "text": Attribute("String", "t"),
        "whole": Attribute("Number", "7"),
        "part": Attribute("Number", "0.5"),
        "exact": Attribute("Number", "1.20"),
        "blob": Attribute("Binary", b"\x00"),
        "truth": Attribute("String", "true"),
        "when": Attribute("Number", "1769817600"),
    }


def test_all_properties_are_there_by_their_names_and_none_that_is_not_set():
    properties = BasicProperties(content_type="text/plain", headers={"a": [1, {"b": 2}]}, priority=3, timestamp=60)
    assert _message(properties).properties == {
        "content_type": "text/plain",
        "headers": {"a": [1, {"b": 2}]},
        "priority": 3,
        "timestamp": 60,
    }


@pytest.mark.parametrize(
    ("headers", "redelivered", "runs", "count"),
    [
        (None, False, 0, 1),
        (None, True, 0, 2),
        (None, True, 3, 5),
        ({"x-delivery-count": 4}, True, 0, 5),
        ({"x-delivery-count": 4}, True, 1, 6),
    ],
)
def test_the_count_is_the_brokers_and_the_runs_it_did_not_see(headers, redelivered, runs, count):
    message = _message(BasicProperties(headers=headers), redelivered=redelivered, runs=runs)
    assert message.receive_count == count
    assert message.attributes == {}
    assert message.redelivered is (redelivered or runs > 0)


@pytest.mark.parametrize(
    ("properties", "sent_ms"),
    [
        (BasicProperties(headers={"timestamp_in_ms": 1_234}, timestamp=9), 1_234),
        (BasicProperties(timestamp=9), 9_000),
        (BasicProperties(), 5_000),
    ],
)
def test_a_message_was_sent_when_its_producer_says_so(properties, sent_ms):
    assert _message(properties).sent_ms == sent_ms


def test_a_message_without_an_id_gets_one_of_its_own():
    assert _message().message_id != _message().message_id
    assert _message(BasicProperties(message_id="m")).message_id == "m"


@pytest.mark.parametrize(
    ("group_from", "group"),
    [(None, "g"), ("customer", "c7"), ("routing_key", "orders.c7"), ("properties.app_id", "app")],
)
def test_the_group_comes_from_where_the_source_says(group_from, group):
    properties = BasicProperties(app_id="app", headers={"MessageGroupId": "g", "customer": "c7"})
    message = _message(properties, routing_key="orders.c7", FifoQueue=True, GroupFrom=group_from)
    assert message.group == group


def test_what_is_sent_reads_as_it_was():
    attributes = {
        "text": Attribute("String", "t"),
        "id": Attribute("String.uuid", "u"),
        "whole": Attribute("Number", "-7"),
        "part": Attribute("Number", "12.50"),
        "padded": Attribute("Number", "007"),
        "huge": Attribute("Number", "9" * 30),
        "blob": Attribute("Binary", b"\xff"),
        "image": Attribute("Binary.png", b"\xff"),
    }
    outgoing = Outgoing(value=b"body", attributes=attributes, group="g", deduplication_id="d")
    properties = properties_of(outgoing, message_id="m", group_from="MessageGroupId", now_ms=1_500)
    assert properties.headers["whole"] == -7
    assert properties.delivery_mode == 2
    # Through AMQP's own bytes and back.
    decoded = BasicProperties()
    decoded.decode(b"".join(properties.encode()))
    message = _message(decoded, FifoQueue=True)
    assert (message.message_id, message.group, message.deduplication_id) == ("m", "g", "d")
    assert (message.sent_ms, message.attributes) == (1_500, attributes)


@pytest.mark.parametrize(
    ("encoded", "value"),
    [(b"d" + struct.pack(">d", 3.75), 3.75), (b"f" + struct.pack(">f", 0.5), 0.5), (b"l" + struct.pack(">q", -2), -2)],
)
def test_a_number_in_a_header_is_read_as_it_is(encoded, value):
    found, end = read_value(b"." + encoded, 1)
    assert (found, end, str(found)) == (value, len(encoded) + 1, str(value))
