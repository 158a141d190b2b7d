import json

import pytest

from penstock.api import Record
from penstock.core.events import stream_layout
from penstock.core.events.window import WindowFrame, splice, window_members

SIX = ["window", "state", "shardId", "eventSourceARN", "isFinalInvokeForWindow", "isWindowTerminatedEarly"]
# 2020-07-30T17:00:00Z, and two minutes later.
FRAME = WindowFrame(start_ms=1_596_128_400_000, end_ms=1_596_128_520_000, state=b'{"1":{"price":10}}')


def members(frame=FRAME, shard_id="shardId-000000000006", source_arn="arn:aws:kinesis:::stream/lambda-stream"):
    return window_members(frame, shard_id=shard_id, source_arn=source_arn)


def test_six_keys_stand_behind_the_records_in_the_recorded_order(origin):
    record = Record(position=7, value=b"hello", key=b"1", timestamp_ms=0)

    event = json.loads(splice(stream_layout("kinesis", origin).encode([record]), members()))

    assert list(event) == ["Records", *SIX]
    assert [shown["kinesis"]["sequenceNumber"] for shown in event["Records"]] == ["7"]


@pytest.mark.parametrize("name", ["kinesis", "kafka"])
def test_all_else_of_an_event_stays_as_it_is(origin, name):
    record = Record(position=7, value=b"hello}", key=b"1", timestamp_ms=0)
    plain = stream_layout(name, origin).encode([record])

    event = json.loads(splice(plain, members()))

    assert {key: value for key, value in event.items() if key not in SIX} == json.loads(plain)


@pytest.mark.parametrize("name", ["kinesis", "kafka"])
def test_a_final_event_may_have_no_records(origin, name):
    event = json.loads(splice(stream_layout(name, origin).encode([]), members()))

    assert list(event)[-6:] == SIX
    assert not event.get("Records")
    assert not any(event.get("records", {}).values())


def test_what_the_six_keys_say():
    assert json.loads(splice(b'{"Records":[]}', members())) == {
        "Records": [],
        "window": {"start": "2020-07-30T17:00:00Z", "end": "2020-07-30T17:02:00Z"},
        "state": {"1": {"price": 10}},
        "shardId": "shardId-000000000006",
        "eventSourceARN": "arn:aws:kinesis:::stream/lambda-stream",
        "isFinalInvokeForWindow": False,
        "isWindowTerminatedEarly": False,
    }


@pytest.mark.parametrize(("is_final", "is_early"), [(True, False), (True, True)])
def test_a_final_event_says_so_and_whether_it_came_early(is_final, is_early):
    frame = WindowFrame(start_ms=0, end_ms=1000, state=b"{}", is_final=is_final, is_terminated_early=is_early)

    event = json.loads(splice(b'{"Records":[]}', members(frame)))

    assert (event["isFinalInvokeForWindow"], event["isWindowTerminatedEarly"]) == (is_final, is_early)


def test_a_state_goes_into_the_event_byte_for_byte():
    state = b'{"sum": 1.10, "name": "gr\xc3\xbcn", "sum": 12345678901234567890}'

    assert b',"state":' + state + b',"shardId"' in members(WindowFrame(start_ms=0, end_ms=1000, state=state))


def test_names_with_quotes_do_not_break_the_event():
    event = json.loads(splice(b'{"Records":[]}', members(shard_id='a"b\\', source_arn="gr\u00fcn")))

    assert (event["shardId"], event["eventSourceARN"]) == ('a"b\\', "grün")
