"""The filter of a mapping against the reference and the format matrix, on data of every kind."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st

from penstock.api import Message, Record
from penstock.core.events import QUEUE_FORMATS, Origin
from penstock.core.patterns import FilterCriteria
from property import pattern_reference
from property.pattern_strategies import KEYS, patterns, values

ORIGIN = Origin(source_arn="arn:aws:sqs:us-east-1:000000000000:jobs", region="us-east-1", topic="orders")
DATA_KEYS = {"sqs": "body", "kinesis": "data", "kafka": "value", "rmq": "data"}
keys = st.sampled_from(KEYS)
json_data = values(keys).filter(lambda value: isinstance(value, dict | list))
formats = st.sampled_from(sorted(DATA_KEYS))
no_json = st.one_of(
    st.sampled_from([b"", b"text", b"{", b"[1,", b'"a"', b"12", b"null", b'{"a": NaN}', b"{}x"]),
    st.text(alphabet='ab{}[]\\" ', max_size=6).map(str.encode),
).filter(lambda raw: not is_json_of_fields(raw))
binary = st.sampled_from([b"\xff", b"\xc3", b'{"a": "\xff"}', b"\x00\x00\x00\x00\x05\xfe"])


def refuse(name: str) -> None:
    raise ValueError(name)


def is_json_of_fields(raw: bytes) -> bool:
    try:
        return isinstance(json.loads(raw, parse_constant=refuse), dict | list)
    except ValueError:
        return False


def kept(event_format: str, pattern: dict, raw: bytes | None) -> bool:
    record_filter = FilterCriteria([{DATA_KEYS[event_format]: pattern}], event_format).record_filter(ORIGIN)
    if event_format in QUEUE_FORMATS:
        record: Message | Record = Message("id", "receipt", raw or b"", 1, 0, 0)
    else:
        record = Record(0, raw, b"key", 0)
    is_kept = record_filter.keeps(record)
    assert record_filter.keep([record, record]) == [record, record] * is_kept
    assert record_filter.explain(record).matches is is_kept
    return is_kept


@settings(max_examples=400, deadline=None)
@given(formats, patterns(keys), json_data, st.booleans())
def test_json_is_judged_as_the_reference_judges_it(event_format, pattern, value, is_ascii):
    expected = pattern_reference.matches({"data": pattern}, {"data": value})
    assert kept(event_format, pattern, json.dumps(value, ensure_ascii=is_ascii).encode()) is expected


@settings(max_examples=200, deadline=None)
@given(formats, patterns(keys), st.one_of(no_json, binary))
def test_what_is_no_json_passes_a_filter_on_fields_on_kafka_and_rabbitmq_alone(event_format, pattern, raw):
    assert kept(event_format, pattern, raw) is (event_format in {"kafka", "rmq"})


@settings(max_examples=50, deadline=None)
@given(patterns(keys))
def test_a_tombstone_passes_a_filter_on_fields_on_kafka_alone(pattern):
    assert kept("kafka", pattern, None)
    assert not kept("kinesis", pattern, None)
