"""The sizes that batches are cut by, against the events themselves."""

from datetime import UTC

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock.api import Attribute, Message, Record, SettingsError
from penstock.core.events import QUEUE_FORMATS, STREAM_FORMATS, Origin, queue_layout, raw_bytes, stream_layout
from penstock.core.events.layout import POSITION_DIGITS_MAX

# No lone surrogates: no encoder takes them. Control characters, quotes and what lies beyond the BMP come often.
TEXTS = st.text(
    st.one_of(
        st.characters(codec="utf-8"), st.characters(max_codepoint=0x7F), st.sampled_from('\0\x1f\x7f"\\/\u2028é😀')
    ),
    max_size=30,
)
NAMES = TEXTS.filter(bool)
BYTES = st.one_of(
    st.binary(max_size=60), TEXTS.map(str.encode), st.integers(0, 255).map(lambda byte: bytes([byte]) * 40)
)
TIMES_MS = st.integers(-1, 2**53)

RECORDS = st.builds(
    Record,
    position=st.one_of(st.integers(0, 2**63), st.integers(0, 10**POSITION_DIGITS_MAX - 1)),
    value=st.none() | BYTES,
    key=st.none() | BYTES,
    timestamp_ms=TIMES_MS,
    headers=st.lists(st.tuples(NAMES, st.none() | BYTES), max_size=4).map(tuple),
    timestamp_type=st.sampled_from(["CREATE_TIME", "LOG_APPEND_TIME"]),
)
ATTRIBUTES = st.builds(Attribute, data_type=NAMES, value=TEXTS | BYTES)
TEXT_PROPERTIES = (
    *("content_type", "content_encoding", "correlation_id", "reply_to", "expiration", "message_id", "type"),
    *("user_id", "app_id", "cluster_id"),
)
HEADER_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.decimals(allow_nan=False, allow_infinity=False, places=28)
    | st.datetimes(timezones=st.none() | st.just(UTC))
    | TEXTS
    | BYTES,
    lambda values: st.lists(values, max_size=3) | st.dictionaries(TEXTS, values, max_size=3),
    max_leaves=6,
)
PROPERTIES = st.fixed_dictionaries(
    {},
    optional={
        **dict.fromkeys(TEXT_PROPERTIES, st.none() | TEXTS),
        "headers": st.none() | st.dictionaries(TEXTS, HEADER_VALUES, max_size=4),
        "delivery_mode": st.integers(0, 255),
        "priority": st.integers(0, 255),
        "timestamp": st.integers(0, 2**64 - 1),
    },
)
MESSAGES = st.builds(
    Message,
    message_id=TEXTS,
    receipt=TEXTS,
    body=BYTES,
    receive_count=st.integers(1, 2**31),
    sent_ms=TIMES_MS,
    first_received_ms=TIMES_MS,
    attributes=st.dictionaries(NAMES, ATTRIBUTES, max_size=4),
    group=st.none() | TEXTS,
    deduplication_id=st.none() | TEXTS,
    sequence=st.none() | TEXTS,
    redelivered=st.booleans(),
    properties=st.none() | PROPERTIES,
)
ORIGINS = st.builds(
    Origin,
    source_arn=TEXTS,
    region=TEXTS,
    role_arn=TEXTS,
    shard=TEXTS,
    topic=TEXTS,
    partition=st.integers(0, 2**31),
    bootstrap_servers=TEXTS,
    queue=TEXTS,
    virtual_host=TEXTS,
)


def hold_to(layout, records):
    sizes = [layout.record_bytes(record) for record in records]

    encoded = len(layout.encode(records))

    assert encoded == layout.frame_bytes() + sum(sizes) - (1 if records else 0)
    assert sum(sizes) <= layout.records_bytes_most(len(records), sum(map(raw_bytes, records)))


@pytest.mark.parametrize("event_format", STREAM_FORMATS)
@given(origin=ORIGINS, records=st.lists(RECORDS, max_size=4))
def test_the_sizes_of_records_add_up_to_the_event_and_stay_below_the_bound(event_format, origin, records):
    hold_to(stream_layout(event_format, origin), records)


@pytest.mark.parametrize("event_format", QUEUE_FORMATS)
@given(origin=ORIGINS, messages=st.lists(MESSAGES, max_size=4))
def test_the_sizes_of_messages_add_up_to_the_event_and_stay_below_the_bound(event_format, origin, messages):
    hold_to(queue_layout(event_format, origin), messages)


@pytest.mark.parametrize(
    "record",
    [
        Record(position=0, value=None, key=None, timestamp_ms=0),
        Record(position=10**POSITION_DIGITS_MAX - 1, value=b"", key=b"", timestamp_ms=-(2**63)),
        Record(position=0, value=b"", key=b"\0" * 1000, timestamp_ms=0),
        Record(position=0, value=b"", key=b"\xff" * 1000, timestamp_ms=0),
        Record(position=0, value=b"", key=b"", timestamp_ms=0, headers=(("\0", None),) * 1000),
        Record(position=0, value=b"", key=b"", timestamp_ms=0, headers=(("a", b"\x80" * 1000),)),
    ],
)
@pytest.mark.parametrize("event_format", STREAM_FORMATS)
def test_the_worst_records_stay_below_the_bound(origin, event_format, record):
    hold_to(stream_layout(event_format, origin), [record])


@pytest.mark.parametrize(
    "changes",
    [
        {"body": b"\0" * 1000},
        {"body": b"\xff" * 1000},
        {"body": b"\xff", "attributes": {chr(i): Attribute("\0", "") for i in range(32)}},
        {"attributes": {"a": Attribute("Binary", b"\xff" * 1000)}, "group": "\0" * 100, "sequence": "\0" * 100},
        {"properties": {"headers": {"a": b"\x80" * 1000}}},
        {"properties": {"headers": {chr(i): "" for i in range(32)}}},
        {"properties": {"headers": {"": [{"": {}}] * 100, "\0": [None] * 100}, "type": "\0" * 100}},
    ],
)
@pytest.mark.parametrize("event_format", QUEUE_FORMATS)
def test_the_worst_messages_stay_below_the_bound(queue_origin, event_format, changes):
    plain = {"message_id": "", "receipt": "", "body": b"", "receive_count": 1, "sent_ms": 0, "first_received_ms": 0}

    hold_to(queue_layout(event_format, queue_origin), [Message(**{**plain, **changes})])


def test_a_record_of_a_hundred_bytes_is_far_from_the_limit_without_being_looked_at(origin):
    # A batch of a thousand must pass by the bound alone, or every record is measured one by one.
    for event_format in STREAM_FORMATS:
        assert stream_layout(event_format, origin).records_bytes_most(1000, 1000 * 120) < 3_000_000


@given(records=st.lists(RECORDS, max_size=4))
def test_a_kafka_event_leads_back_to_its_records(origin, decode, records):
    shown = decode(stream_layout("kafka", origin).encode(records))

    assert [
        Record(
            record["offset"],
            record["value"],
            record["key"],
            record["timestamp"],
            tuple(record["headers"]),
            record["timestampType"],
        )
        for record in shown
    ] == [
        Record(
            record.position,
            record.value,
            record.key,
            record.timestamp_ms,
            tuple((name, value or b"") for name, value in record.headers),
            record.timestamp_type,
        )
        for record in records
    ]


@given(messages=st.lists(MESSAGES, max_size=4))
def test_bodies_and_identities_come_back_from_an_sqs_event(queue_origin, decode, messages):
    shown = decode(queue_layout("sqs", queue_origin).encode(messages))

    assert [(record["messageId"], record["receiptHandle"]) for record in shown] == [
        (message.message_id, message.receipt) for message in messages
    ]
    for record, message in zip(shown, messages, strict=True):
        if "penstock.encoding" not in record["messageAttributes"]:
            assert record["body"].encode() == message.body


@pytest.mark.parametrize(
    ("make", "event_format"), [(stream_layout, "sqs"), (queue_layout, "kinesis"), (stream_layout, "avro")]
)
def test_a_format_that_is_not_there_is_refused_with_those_that_are(origin, make, event_format):
    with pytest.raises(SettingsError, match=rf"EventFormat: is '{event_format}'; (streams|queues) have "):
        make(event_format, origin)
