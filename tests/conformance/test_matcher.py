"""The matcher must be able to say no, or the recorded cases prove nothing."""

import pytest


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        ({"a": "<uuid:1>", "b": "<uuid:1>"}, {"a": "x", "b": "y"}),
        ({"a": "arn:<partition>:sqs"}, {"a": "arn:aws:sns"}),
        ({"a": None}, {}),
        ({"a": None}, {"a": ""}),
        ({"a": "1"}, {"a": 1}),
        ({"a": "<uuid:1>"}, {"a": ""}),
        (["<uuid:1>"], []),
        ({}, {"a": 1}),
    ],
)
def test_a_document_that_differs_is_refused(bind, expected, actual):
    with pytest.raises(AssertionError):
        bind(expected, actual)


def test_a_placeholder_stands_for_one_value(bind):
    expected = {"id": "shard:<sequence-number:1>", "sequence": "<sequence-number:1>", "at": "sent-timestamp"}

    assert bind(expected, {"id": "shard:42", "sequence": "42", "at": "7"}) == {"<sequence-number:1>": "42"}
