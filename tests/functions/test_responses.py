"""What comes back from a handler: its response, or the document that says why there is none."""

import json

import pytest

from penstock.api import PAYLOAD_BYTES_MAX, FunctionFailed


def test_a_handler_gets_its_event_and_returns_its_response(bench):
    spec = bench.function("def handler(event, context): return {'got': event}")

    assert bench.returned(spec, {"Records": [1, "zwei", None]}) == {"got": {"Records": [1, "zwei", None]}}


def test_a_handler_that_returns_nothing_returns_null(bench):
    spec = bench.function("def handler(event, context): pass")

    assert bench.returned(spec) is None


def test_an_exception_becomes_lambdas_error_document(bench):
    spec = bench.function(
        """
        def handler(event, context):
            return helper(event)

        def helper(event):
            raise ValueError("record 7 is bad")
        """
    )

    failed = bench.failed(spec)
    document = json.loads(failed.payload)

    assert (failed.error_type, failed.error_message) == ("ValueError", "record 7 is bad")
    assert list(document) == ["errorMessage", "errorType", "requestId", "stackTrace"]
    assert document["stackTrace"] == [
        f'  File "{spec.code}/app.py", line 3, in handler\n    return helper(event)\n',
        f'  File "{spec.code}/app.py", line 6, in helper\n    raise ValueError("record 7 is bad")\n',
    ]


def test_an_error_document_names_its_invocation(bench):
    spec = bench.function("def handler(event, context): raise KeyError(context.aws_request_id)")

    document = json.loads(bench.failed(spec).payload)

    assert document["errorMessage"] == f"'{document['requestId']}'"


def test_after_an_exception_the_same_environment_goes_on(bench):
    spec = bench.function(
        """
        import os
        def handler(event, context):
            if event == "boom":
                raise RuntimeError
            return os.getpid()
        """
    )

    before, failed, after = bench.invoke(spec, 1, "boom", 2)

    assert isinstance(failed, FunctionFailed)
    assert bench.value(before) == bench.value(after)


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ("{1, 2}", "Unable to marshal response: Object of type set is not JSON serializable"),
        ("float('nan')", "Unable to marshal response: Out of range float values are not JSON compliant"),
        ("b'not json'", "Unable to marshal response: Expecting value: line 1 column 1 (char 0)"),
    ],
)
def test_a_response_that_is_not_json_is_a_marshal_error(bench, returned, message):
    failed = bench.failed(bench.function(f"def handler(event, context): return {returned}"))

    assert failed.error_type == "Runtime.MarshalError"
    assert failed.error_message.startswith(message)


@pytest.mark.parametrize(
    ("returned", "payload"),
    [
        ("b'{\"as\": 1}'", b'{"as": 1}'),
        ("{1: (2, 3), None: True}", b'{"1": [2, 3], "null": true}'),
        ("'\\u00fc'", '"ü"'.encode()),
        ("'\\ud800'", b'"\\ud800"'),
        ("[__import__('decimal').Decimal('7'), __import__('decimal').Decimal('0.5')]", b"[7, 0.5]"),
    ],
)
def test_a_response_is_written_as_awss_runtime_writes_it(bench, returned, payload):
    (result,) = bench.invoke(bench.function(f"def handler(event, context): return {returned}"))

    assert result.payload == payload


@pytest.mark.parametrize("excess", [0, 1])
def test_a_response_may_have_six_megabytes_and_no_byte_more(bench, excess):
    spec = bench.function("def handler(event, context): return 'x' * event")

    (result,) = bench.invoke(spec, PAYLOAD_BYTES_MAX - 2 + excess)

    if excess:
        assert json.loads(result.payload) == {
            "errorType": "Function.ResponseSizeTooLarge",
            "errorMessage": "Response payload size exceeded maximum allowed payload size (6291556 bytes).",
        }
    else:
        assert len(result.payload) == PAYLOAD_BYTES_MAX


def test_an_event_of_the_largest_size_arrives_whole(bench):
    spec = bench.function(
        """
        import hashlib
        def handler(event, context):
            return [len(event), hashlib.md5(event.encode()).hexdigest()]
        """
    )
    text = "".join(f"{number:07d}" for number in range(898_793))

    import hashlib  # noqa: PLC0415 - only here

    assert bench.returned(spec, text) == [len(text), hashlib.md5(text.encode()).hexdigest()]


def test_a_payload_that_is_not_json_is_an_unmarshal_error(bench):
    spec = bench.function("def handler(event, context): return event")

    failed = bench.failed(spec, b"{'single': 1}")

    assert failed.error_type == "Runtime.UnmarshalError"
    assert failed.error_message.startswith("Unable to unmarshal input: Expecting property name")


@pytest.mark.parametrize(
    "text",
    [
        "12345678901234567890123",
        '{"a": [-99999999999999999999, 18446744073709551616]}',
        "-0",
        "-0.0",
        "1e5",
        "0.1",
        "18446744073709551615",
        '"\\ud800"',
        "\ufeff[1]",
        "[NaN]",
        '{"a": 1, "b": 2, "a": 3}',
    ],
)
def test_an_event_is_read_as_the_standard_library_reads_it(bench, text):
    spec = bench.function(
        """
        import sys
        def handler(event, context): return [repr(event), "orjson" in sys.modules]
        """
    )

    assert bench.returned(spec, text.encode()) == [repr(json.loads(text.encode())), True]


def test_a_message_of_a_hundred_megabytes_is_cut(bench):
    spec = bench.function("def handler(event, context): raise ValueError('x' * 100_000_000)")

    failed = bench.failed(spec)

    assert len(failed.payload) < 200_000
    assert failed.error_message.endswith("characters cut)")


def test_endless_recursion_is_an_exception_like_any_other(bench):
    spec = bench.function("def handler(event, context): return handler(event, context)")

    failed = bench.failed(spec)

    assert failed.error_type == "RecursionError"
    assert len(json.loads(failed.payload)["stackTrace"]) <= 201


def test_the_duration_is_the_handlers(bench):
    spec = bench.function("import time\ndef handler(event, context): time.sleep(0.2)")

    (result,) = bench.invoke(spec)

    assert 200 <= result.duration_ms < 5000
