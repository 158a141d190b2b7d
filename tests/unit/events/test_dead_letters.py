from dataclasses import replace

import pytest

from penstock.api import Attribute, Message
from penstock.core.dead_letter import DeadLetter
from penstock.core.events.dead_letters import Letters

ATTRIBUTES = {
    "colour": Attribute("String", "red"),
    "blob": Attribute("Binary", b"\x01"),
    "penstock.condition": Attribute("String", "that of an earlier death"),
}
MESSAGE = Message(
    "m-1", "r-1", b"\x00\xff body", 5, 1_700_000_000_000, 1_700_000_001_000, ATTRIBUTES, group="g", deduplication_id="d"
)
LETTER = DeadLetter(
    message=MESSAGE,
    condition="MaximumReceiveCountExceeded",
    runs=5,
    error_type="ValueError",
    error_message="no good",
    first_received_ms=1_700_000_001_000,
    ended_ms=1_700_000_002_345,
)
CONTEXT = {
    "penstock.condition": "MaximumReceiveCountExceeded",
    "penstock.receive-count": "5",
    "penstock.error-type": "ValueError",
    "penstock.error-message": "no good",
    "penstock.mapping": "work.E",
    "penstock.function": "arn:f",
    "penstock.source": "arn:s",
    "penstock.message-id": "m-1",
    "penstock.sent-at": "2023-11-14T22:13:20.000Z",
    "penstock.first-received-at": "2023-11-14T22:13:21.000Z",
    "penstock.failed-at": "2023-11-14T22:13:22.345Z",
    "penstock.group": "g",
    "penstock.deduplication-id": "d",
}


def build(target, letter=LETTER):
    return Letters(target=target, mapping="work.E", function_arn="arn:f", source_arn="arn:s").build(letter).outgoing()


@pytest.mark.parametrize("target", ["queue", "fifo-queue", "stream"])
def test_the_body_is_what_it_was_byte_for_byte(target):
    assert build(target).value == MESSAGE.body


def test_a_queue_gets_the_attributes_and_the_context_besides():
    outgoing = build("queue")
    context = {name: each.value for name, each in outgoing.attributes.items() if name.startswith("penstock.")}
    assert context == CONTEXT
    assert outgoing.attributes["colour"] == Attribute("String", "red")
    assert outgoing.attributes["blob"] == Attribute("Binary", b"\x01")
    assert (outgoing.key, outgoing.headers, outgoing.group, outgoing.deduplication_id) == (None, (), None, None)


def test_a_fifo_queue_keeps_the_group_and_drops_a_letter_that_was_sent_twice():
    assert (build("fifo-queue").group, build("fifo-queue").deduplication_id) == ("g", "d")
    without = replace(LETTER, message=Message("m-1", "r", b"", 1, 0, 0, group="g"))
    assert build("fifo-queue", without).deduplication_id == "m-1"


def test_a_stream_gets_headers_and_the_group_as_key():
    outgoing = build("stream")
    assert outgoing.key == b"g"
    assert outgoing.attributes == {}
    headers = dict(outgoing.headers)
    assert len(headers) == len(outgoing.headers), "no name stands there twice"
    assert headers == {"colour": b"red", "blob": b"\x01", **{name: text.encode() for name, text in CONTEXT.items()}}


def test_what_is_not_known_is_left_out():
    filtered = DeadLetter(
        message=Message("m-1", "r", b"", 1, 0, 0), condition="Filtered", runs=0, error_type="", error_message="",
        first_received_ms=0, ended_ms=0,
    )  # fmt: skip
    names = set(build("queue", filtered).attributes)
    assert names.isdisjoint({"penstock.error-type", "penstock.error-message", "penstock.group"})
    assert build("queue", filtered).attributes["penstock.receive-count"].value == "0"
    assert build("stream", filtered).key is None


def test_a_long_error_is_cut():
    long = replace(LETTER, error_message="x" * 5_000)
    assert len(build("queue", long).attributes["penstock.error-message"].value) == 1_000
