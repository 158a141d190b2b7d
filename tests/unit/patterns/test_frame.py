"""The frame: the format matrix row by row, and what patterns can ask of a record beside its data."""

import base64
import json

import pytest

from penstock.api import Attribute, Message, Record
from penstock.core.events import QUEUE_FORMATS, Origin, queue_layout, stream_layout
from penstock.core.patterns import FilterCriteria, PatternRefused

ORIGIN = Origin(
    source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/orders",
    region="us-east-1",
    role_arn="arn:aws:iam::000000000000:role/billing",
    shard="3",
    topic="orders",
    partition=3,
    bootstrap_servers="b-1:9092,b-2:9092",
)
KINESIS = Origin(source_arn=ORIGIN.source_arn, region="us-east-1", role_arn=ORIGIN.role_arn, shard="3")

TEXT, JSON, BINARY = b"hello", b'{"a": 1, "b": "x"}', b"\xff\xfe\x00avro"


def record(value: bytes | None, key: bytes | None = b"k", **others) -> Record:
    return Record(position=7, value=value, key=key, timestamp_ms=1545084650987, **others)


def message(body: bytes, **others) -> Message:
    return Message("id-1", "AQEB", body, 2, 1545082649183, 1545082649185, **others)


def keeps(event_format: str, pattern: dict, data: bytes | None, **others) -> bool:
    record_filter = FilterCriteria([pattern], event_format).record_filter(
        KINESIS if event_format == "kinesis" else ORIGIN
    )
    given = message(data, **others) if event_format in QUEUE_FORMATS else record(data, **others)
    kept = record_filter.keep([given])
    assert kept == ([given] if record_filter.keeps(given) else [])
    assert record_filter.explain(given).matches is bool(kept)
    return bool(kept)


def test_sqs_row_by_row():
    plain, fields, others = {"body": ["hello"]}, {"body": {"a": [1]}}, {"messageId": ["id-1"]}
    assert keeps("sqs", plain, TEXT)
    assert not keeps("sqs", {"body": ["other"]}, TEXT)
    assert not keeps("sqs", fields, TEXT)
    assert keeps("sqs", others, TEXT)
    assert not keeps("sqs", {"body": ['{"a": 1, "b": "x"}']}, JSON)
    assert keeps("sqs", fields, JSON)
    assert not keeps("sqs", {"body": {"a": [2]}}, JSON)
    assert keeps("sqs", others, JSON)
    assert not keeps("sqs", {"messageId": ["id-2"]}, JSON)


def test_kinesis_row_by_row():
    fields, others = {"data": {"a": [1]}}, {"partitionKey": ["k"]}
    assert not keeps("kinesis", fields, TEXT)
    assert keeps("kinesis", others, TEXT)
    assert keeps("kinesis", fields, JSON)
    assert not keeps("kinesis", {"data": {"a": [2]}}, JSON)
    assert keeps("kinesis", others, JSON)
    assert not keeps("kinesis", fields, BINARY)
    assert not keeps("kinesis", others, BINARY)


def test_kafka_row_by_row():
    plain, fields, others = {"value": ["hello"]}, {"value": {"a": [1]}}, {"key": ["k"]}
    assert keeps("kafka", plain, TEXT)
    assert not keeps("kafka", {"value": ["other"]}, TEXT)
    assert keeps("kafka", fields, TEXT)
    assert keeps("kafka", others, TEXT)
    assert keeps("kafka", {"value": ["other"]}, JSON)
    assert keeps("kafka", fields, JSON)
    assert not keeps("kafka", {"value": {"a": [2]}}, JSON)
    assert keeps("kafka", others, JSON)
    assert keeps("kafka", fields, BINARY)
    assert keeps("kafka", plain, BINARY)
    assert keeps("kafka", others, BINARY)


def test_rmq_row_by_row():
    plain, fields, others = {"data": ["hello"]}, {"data": {"a": [1]}}, {"redelivered": [True]}
    assert keeps("rmq", plain, TEXT)
    assert not keeps("rmq", {"data": ["other"]}, TEXT)
    assert keeps("rmq", fields, TEXT)
    assert keeps("rmq", others, TEXT)
    assert keeps("rmq", {"data": ["other"]}, JSON)
    assert keeps("rmq", fields, JSON)
    assert not keeps("rmq", {"data": {"a": [2]}}, JSON)
    assert not keeps("rmq", {"redelivered": [False]}, JSON)
    assert keeps("rmq", fields, BINARY)
    assert keeps("rmq", plain, BINARY)
    assert keeps("rmq", others, BINARY)


def test_headers_of_rabbitmq_are_texts_and_numbers_to_a_filter():
    properties = {
        "headers": {"kind": "é", "size": 7, "path": ["a", {"hop": "b"}], "raw": b"\xff"},
        "delivery_mode": 2,
        "timestamp": 2021,
    }

    def is_kept(pattern):
        return keeps("rmq", {"basicProperties": pattern}, TEXT, properties=properties)

    assert is_kept({"headers": {"kind": ["é"], "size": [{"numeric": [">", 6]}]}})
    assert not is_kept({"headers": {"kind": ["x"]}})
    assert is_kept({"headers": {"path": {"hop": ["b"]}, "raw": ["/w=="]}})
    assert is_kept({"deliveryMode": [2], "messageId": ["id-1"], "bodySize": [5], "type": [None]})
    assert is_kept({"timestamp": [{"prefix": "Jan 1, 1970"}]})


@pytest.mark.parametrize("data", [TEXT, BINARY, None, b""])
def test_on_kafka_what_else_is_asked_still_decides_where_the_filter_on_data_does_not_count(data):
    assert keeps("kafka", {"value": {"a": [1]}, "key": ["k"]}, data)
    assert not keeps("kafka", {"value": {"a": [1]}, "key": ["other"]}, data)


def test_a_tombstone_is_null_and_no_text():
    assert keeps("kafka", {"value": [None]}, None)
    assert keeps("kafka", {"value": [{"exists": True}]}, None)
    assert not keeps("kafka", {"value": [""]}, None)
    assert not keeps("kafka", {"value": [None]}, b"")
    assert keeps("kafka", {"value": [""]}, b"")


@pytest.mark.parametrize("data", [b"", None])
def test_a_record_without_data_does_not_match_a_filter_on_fields_where_misfits_count(data):
    assert not keeps("kinesis", {"data": {"a": [1]}}, data)
    assert keeps("kinesis", {"partitionKey": ["k"]}, data)


def test_exists_false_does_not_let_plain_text_through_where_misfits_count():
    absent = {"a": [{"exists": False}]}
    assert not keeps("sqs", {"body": absent}, TEXT)
    assert not keeps("kinesis", {"data": absent}, TEXT)
    assert keeps("sqs", {"body": absent}, b"{}")


def test_a_single_number_or_text_of_json_is_plain_text():
    assert keeps("sqs", {"body": ["42"]}, b"42")
    assert keeps("sqs", {"body": ['"hello"']}, b'"hello"')
    assert not keeps("sqs", {"body": {"a": [42]}}, b"42")


def test_an_array_is_json_and_any_of_its_objects_may_match():
    assert keeps("sqs", {"body": {"a": [2]}}, b'[{"a": 1}, {"a": 2}]')
    assert not keeps("sqs", {"body": ["x"]}, b'["x"]')


def test_a_body_that_is_not_utf8_is_the_base64_that_the_event_shows():
    shown = base64.b64encode(BINARY).decode()
    assert keeps("sqs", {"body": [shown]}, BINARY)
    assert not keeps("sqs", {"body": {"a": [1]}}, BINARY)
    assert keeps("sqs", {"messageAttributes": {"penstock.encoding": {"stringValue": ["base64"]}}}, BINARY)


@pytest.mark.parametrize("text", [b"{", b'{"a": 1', b"[1,]", b"{a: 1}", b'{"a": NaN}', b"{" * 5000])
def test_what_only_begins_like_json_is_plain_text(text):
    assert keeps("sqs", {"body": [{"prefix": text.decode()[:1]}]}, text)
    assert not keeps("sqs", {"body": {"a": [{"anything-but": 5}]}}, text)
    assert keeps("kafka", {"value": {"a": [5]}}, text)


@pytest.mark.parametrize(
    ("text", "pattern"),
    [
        (b'{"a": 1e400}', {"a": [{"numeric": [">", 5]}]}),
        (b'{"a": %s}' % (b"9" * 5000), {"a": [{"numeric": [">", 5]}]}),
        (b'{"a": "\\ud800", "b": 1}', {"b": [1]}),
        (b' \n {"a": 1}', {"a": [1]}),
        ('{"a": "é"}'.encode(), {"a": ["é"]}),
        (b'{"\\u0061": "\\u0062"}', {"a": ["b"]}),
        (b'{"a": 1, "a": 2}', {"a": [2]}),
    ],
)
def test_json_is_read_however_it_is_written(text, pattern):
    assert keeps("sqs", {"body": pattern}, text)
    assert keeps("kinesis", {"data": pattern}, text)
    assert not keeps("kafka", {"value": {"zz": ["zz"]}}, text)


@pytest.mark.parametrize("pattern", [{"data": ["x"]}, {"$or": [{"data": [{"prefix": "x"}]}, {"partitionKey": ["k"]}]}])
def test_plain_text_can_not_be_asked_of_kinesis_data(pattern):
    with pytest.raises(PatternRefused) as caught:
        FilterCriteria([{"data": {"a": [1]}}, pattern], "kinesis")
    assert (caught.value.index, caught.value.reason) == (1, '"data" must be an object')
    assert caught.value.path.endswith("data")
    assert "can not be filtered by plain text" in str(caught.value)


def test_dynamodb_data_can_not_be_plain_text_either():
    with pytest.raises(PatternRefused, match='"dynamodb" must be an object'):
        FilterCriteria([{"dynamodb": ["x"]}], "dynamodb")


def test_a_format_that_is_not_there_is_refused():
    with pytest.raises(PatternRefused, match=r"found mqtt; allowed: sqs, kinesis, dynamodb, kafka, rmq"):
        FilterCriteria([], "mqtt")
    with pytest.raises(PatternRefused, match="can not be filtered yet"):
        FilterCriteria([], "dynamodb").record_filter(ORIGIN)


def test_no_filters_keep_everything():
    record_filter = FilterCriteria([], "kafka").record_filter(ORIGIN)
    records = [record(None), record(BINARY), record(JSON)]
    assert record_filter.keep(records) == records
    assert record_filter.explain(records[0]).matches


def test_any_of_several_filters_is_enough_and_each_is_judged_by_its_own_form():
    record_filter = FilterCriteria([{"body": ["hello"]}, {"body": {"a": [1]}}], "sqs").record_filter(ORIGIN)
    bodies = [TEXT, JSON, b"other", b'{"a": 2}', b"[]", b"1"]
    assert [each.body for each in record_filter.keep([message(body) for body in bodies])] == [TEXT, JSON]


def test_data_and_what_else_a_record_carries_are_asked_together_and_in_or():
    pattern = {"value": {"a": [1]}, "$or": [{"key": [{"prefix": "eu-"}]}, {"partition": [9]}]}
    assert keeps("kafka", pattern, JSON, key=b"eu-7")
    assert not keeps("kafka", pattern, JSON, key=b"us-7")
    assert not keeps("kafka", pattern, b'{"a": 2}', key=b"eu-7")


def test_headers_are_asked_by_name_several_at_once_and_repeated():
    headers = (("trace", b"abc"), ("n", b"1"), ("n", b"2"), ("none", None), ("raw", b"\xff"), ("a.b", b"dot"))

    def holds(wanted: dict) -> bool:
        return keeps("kafka", {"headers": wanted}, None, headers=headers)

    assert holds({"trace": ["abc"], "n": ["2"]})
    assert not holds({"trace": ["abc"], "n": ["3"]})
    assert holds({"none": [None], "missing": [{"exists": False}]})
    assert holds({"raw": ["/w=="]})
    assert holds({"a.b": ["dot"]})


def test_a_kafka_key_is_its_text_and_null_without_one():
    assert keeps("kafka", {"key": ["7"]}, JSON, key=b"7")
    assert keeps("kafka", {"key": [None]}, JSON, key=None)
    assert keeps("kafka", {"key": ["/w=="]}, JSON, key=b"\xff")


def test_fields_of_kinesis_stand_at_the_top_and_where_the_event_has_them():
    assert keeps("kinesis", {"partitionKey": ["k"], "sequenceNumber": ["7"]}, TEXT)
    assert keeps("kinesis", {"kinesis": {"partitionKey": ["k"], "data": ["aGVsbG8="]}}, TEXT)
    assert keeps("kinesis", {"eventID": [{"suffix": ":7"}], "approximateArrivalTimestamp": [1545084650.987]}, TEXT)


def test_message_attributes_are_as_delivered():
    attributes = {"type": Attribute("String", "order"), "b": Attribute("Binary", b"\xff")}

    def holds(wanted: dict) -> bool:
        return keeps("sqs", wanted, b"x", attributes=attributes, group="g1", sequence="5")

    assert holds({"messageAttributes": {"type": {"stringValue": ["order"], "dataType": ["String"]}}})
    assert holds({"messageAttributes": {"b": {"binaryValue": ["/w=="]}}})
    assert holds({"attributes": {"MessageGroupId": ["g1"], "ApproximateReceiveCount": ["2"]}})
    assert not holds({"attributes": {"MessageGroupId": [{"exists": False}]}})
    assert holds({"attributes": {"MessageDeduplicationId": [{"exists": False}]}})


def all_of(event_format: str) -> FilterCriteria:
    names = FilterCriteria([], event_format).frame.names
    return FilterCriteria([{name: [{"exists": True}] for name in names}], event_format)


@pytest.mark.parametrize("body", [b"hello", BINARY, b""])
@pytest.mark.parametrize("attributes", [{}, {"a": Attribute("Number", "1"), "b": Attribute("Binary", b"\x00")}])
def test_what_is_asked_of_a_message_is_what_the_function_would_see(body, attributes):
    given = message(body, attributes=attributes, group="g", deduplication_id="d")
    [shown] = json.loads(queue_layout("sqs", ORIGIN).encode([given]))["Records"]
    criteria = all_of("sqs")
    built = criteria.record_filter(ORIGIN)._metadata(given)
    assert built == {name: shown[name] for name in criteria.frame.names}


def test_what_is_asked_of_a_record_is_what_the_function_would_see():
    given = record(JSON)
    for event_format, origin in (("kinesis", KINESIS), ("kafka", ORIGIN)):
        event = json.loads(stream_layout(event_format, origin).encode([given]))
        shown = event["Records"][0] if event_format == "kinesis" else event["records"]["orders-3"][0]
        criteria = all_of(event_format)
        names = criteria.frame.names
        built = criteria.record_filter(origin)._metadata(given)
        assert built.keys() == names
        shown = {**event, **shown, **shown.get("kinesis", {})} | {"key": "k", "headers": {}}
        assert built == {name: shown[name] for name in names}


def test_only_what_is_named_is_built():
    criteria = FilterCriteria([{"value": {"a": [1]}}], "kafka")
    assert criteria.metadata_names == ()
    assert criteria.record_filter(ORIGIN)._metadata is None
    assert FilterCriteria([{"key": ["a"], "value": {"b": [1]}}], "kafka").metadata_names == ("key",)


def test_a_name_that_no_record_has_is_warned_of_and_absent():
    criteria = FilterCriteria([{"vlaue": {"a": [1]}}], "kafka")
    assert [str(warning) for warning in criteria.warnings] == [
        (
            "Filters[0].Pattern: vlaue.a: no kafka record has 'vlaue'; there are bootstrapServers, eventSource, "
            "headers, key, offset, partition, timestamp, timestampType, topic, value"
        )
    ]
    assert not keeps("kafka", {"vlaue": {"a": [1]}}, JSON)


@pytest.mark.parametrize(("event_format", "data_key"), [("sqs", "body"), ("kinesis", "data"), ("kafka", "value")])
def test_a_record_that_lacks_what_is_wanted_is_decided_as_if_it_was_read(event_format, data_key):
    pattern = {data_key: {"wanted": [{"prefix": "x"}]}}
    assert not keeps(event_format, pattern, b'{"other": "x"}')
    assert keeps(event_format, pattern, b'{"wanted": "xy"}')
    assert keeps(event_format, pattern, b'{"\\u0077anted": "xy"}')
    assert keeps(event_format, pattern, b"no JSON") is (event_format == "kafka")


def test_an_explanation_names_the_field_and_what_it_held():
    criteria = FilterCriteria([{"body": {"order": {"total": [{"numeric": [">", 100]}]}}}, {"body": ["x"]}], "sqs")
    record_filter = criteria.record_filter(ORIGIN)
    assert str(record_filter.explain(message(b'{"order": {"total": 7}}'))).splitlines() == [
        'Filters[0].Pattern: body.order.total: wanted [{"numeric": [">", 100]}]; found 7',
        "Filters[1].Pattern: body: wanted plain text; found JSON",
    ]
    assert str(record_filter.explain(message(b"hello"))).splitlines() == [
        "Filters[0].Pattern: body: wanted a JSON object; found plain text",
        'Filters[1].Pattern: body: wanted ["x"]; found "hello"',
    ]
    assert str(record_filter.explain(message(b"x"))) == "Filters[1].Pattern: matches"
    kinesis = FilterCriteria([{"data": {"a": [1]}}], "kinesis").record_filter(KINESIS)
    assert str(kinesis.explain(record(BINARY))) == "Filters[0].Pattern: data: wanted UTF-8; found not UTF-8"
