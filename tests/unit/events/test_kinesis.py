import json

import msgspec
import pytest

from penstock.api import Record
from penstock.core.events import stream_layout


def record_of(origin, record):
    [shown] = json.loads(stream_layout("kinesis", origin).encode([record]))["Records"]
    return shown


def test_an_event_has_the_recorded_fields_in_the_recorded_order(origin):
    position = 49590338271490256608559692538361571095921575989136588898
    record = Record(position=position, value=b"hello", key=b"1", timestamp_ms=1545084650987)

    event = stream_layout("kinesis", origin).encode([record])

    assert event == (
        b'{"Records":[{"kinesis":{"kinesisSchemaVersion":"1.0","partitionKey":"1",'
        b'"sequenceNumber":"49590338271490256608559692538361571095921575989136588898","data":"aGVsbG8=",'
        b'"approximateArrivalTimestamp":1545084650.987},"eventSource":"aws:kinesis","eventVersion":"1.0",'
        b'"eventID":"shardId-000000000003:49590338271490256608559692538361571095921575989136588898",'
        b'"eventName":"aws:kinesis:record","invokeIdentityArn":"arn:aws:iam::000000000000:role/billing",'
        b'"awsRegion":"us-east-1","eventSourceARN":"arn:aws:kinesis:us-east-1:000000000000:stream/orders"}]}'
    )


@pytest.mark.parametrize(
    ("key", "shown"),
    [(None, ""), (b"", ""), ("grün".encode(), "grün"), (b'"\n', '"\n'), (b"\xff\xfe", "//4=")],
)
def test_a_key_is_text_or_base64_where_it_is_none(origin, key, shown):
    record = Record(position=0, value=b"", key=key, timestamp_ms=0)

    assert record_of(origin, record)["kinesis"]["partitionKey"] == shown


def test_a_record_without_a_value_has_empty_data(origin):
    record = Record(position=0, value=None, key=b"k", timestamp_ms=0)

    assert record_of(origin, record)["kinesis"]["data"] == ""


@pytest.mark.parametrize(
    ("topic", "shard", "shown"),
    [
        ("orders", "orders-3", "shardId-000000000003"),
        ("", "7", "shardId-000000000007"),
        ("", "shardId-000000000042", "shardId-000000000042"),
        ("", "feed:eu", "feed:eu"),
    ],
)
def test_a_shard_with_a_number_is_called_as_kinesis_would(origin, topic, shard, shown):
    origin = type(origin)(source_arn="", region="", topic=topic, shard=shard, partition=3)
    record = Record(position=12, value=b"", key=b"", timestamp_ms=0)

    assert record_of(origin, record)["eventID"] == f"{shown}:12"


@pytest.mark.parametrize(
    ("timestamp_ms", "shown"),
    [(0, b"0.0"), (1545084650000, b"1545084650.0"), (1, b"0.001"), (1545084650100, b"1545084650.1")],
)
def test_the_arrival_is_in_seconds_with_the_milliseconds_behind_the_point(origin, timestamp_ms, shown):
    record = Record(position=0, value=b"", key=b"", timestamp_ms=timestamp_ms)

    event = stream_layout("kinesis", origin).encode([record])

    assert b'"approximateArrivalTimestamp":%b}' % shown in event
    assert msgspec.json.decode(event)
