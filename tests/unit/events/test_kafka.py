import json

from penstock.api import Record
from penstock.core.events import stream_layout


def event_of(origin, *records):
    return json.loads(stream_layout("kafka", origin).encode(records))


def test_an_event_has_the_documented_fields_in_the_documented_order(origin):
    record = Record(
        position=15,
        value=b"hello",
        key=b"k",
        timestamp_ms=1545084650987,
        headers=(("headerKey", b"headerValue"),),
    )

    event = stream_layout("kafka", origin).encode([record])

    assert event == (
        b'{"eventSource":"SelfManagedKafka","bootstrapServers":"b-1:9092,b-2:9092","records":{"orders-3":['
        b'{"topic":"orders","partition":3,"offset":15,"timestamp":1545084650987,"timestampType":"CREATE_TIME",'
        b'"key":"aw==","value":"aGVsbG8=",'
        b'"headers":[{"headerKey":[104,101,97,100,101,114,86,97,108,117,101]}]}]}}'
    )


def test_bytes_of_a_header_are_signed(origin):
    record = Record(position=0, value=b"", key=None, timestamp_ms=0, headers=(("h", bytes([0, 127, 128, 255])),))

    event = event_of(origin, record)

    assert event["records"]["orders-3"][0]["headers"] == [{"h": [0, 127, -128, -1]}]


def test_headers_keep_their_order_and_may_repeat_and_one_without_a_value_is_empty(origin):
    headers = (("b", b"1"), ("a", None), ("b", b""))

    event = event_of(origin, Record(position=0, value=b"", key=None, timestamp_ms=0, headers=headers))

    assert event["records"]["orders-3"][0]["headers"] == [{"b": [49]}, {"a": []}, {"b": []}]


def test_a_tombstone_without_a_key_has_both_as_null(origin):
    event = event_of(origin, Record(position=0, value=None, key=None, timestamp_ms=0))

    record = event["records"]["orders-3"][0]
    assert record["key"] is None
    assert record["value"] is None


def test_an_empty_key_is_not_a_missing_one(origin):
    event = event_of(origin, Record(position=0, value=b"", key=b"", timestamp_ms=0))

    record = event["records"]["orders-3"][0]
    assert (record["key"], record["value"]) == ("", "")


def test_a_position_beyond_64_bits_is_written_in_full(origin):
    event = event_of(origin, Record(position=10**40, value=b"", key=b"", timestamp_ms=0))

    assert event["records"]["orders-3"][0]["offset"] == 10**40


def test_the_broker_s_own_time_is_named(origin):
    record = Record(position=0, value=b"", key=b"", timestamp_ms=7, timestamp_type="LOG_APPEND_TIME")

    assert event_of(origin, record)["records"]["orders-3"][0]["timestampType"] == "LOG_APPEND_TIME"
