from __future__ import annotations

import json
from typing import Any

import pytest

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.core.outcome import Failed, Succeeded, Throttled
from penstock.core.queue_response import RETRY_AFTER_S_MAX, QueueOutcome, Reported, read_queue_response
from unit.core.driving import message

BATCH = [message(name) for name in "abc"]


def read(response: Any, *, reports: bool = True) -> QueueOutcome:
    payload = response if isinstance(response, bytes) else json.dumps(response).encode()
    return read_queue_response(Returned(payload, 7), BATCH, reports_item_failures=reports)


def failing(*items: Any) -> dict[str, Any]:
    return {"batchItemFailures": list(items)}


def item(name: Any, **more: Any) -> dict[str, Any]:
    return {"itemIdentifier": name, **more}


@pytest.mark.parametrize(
    "response", [b"", None, "", [], {}, {"batchItemFailures": None}, failing(), {"message": "hello"}]
)
def test_what_reports_nothing_is_a_success(response: Any):
    assert isinstance(read(response), Succeeded)


def test_reported_messages_are_named_by_their_places_and_the_others_are_done():
    found = read(failing(item("c"), item("a")))

    assert isinstance(found, Reported)
    assert list(found.delays_ms.items()) == [(0, None), (2, None)]
    assert found.duration_ms == 7


@pytest.mark.parametrize(
    ("bad", "shown"),
    [
        (item(""), '{"itemIdentifier":""}'),
        (item(None), '{"itemIdentifier":null}'),
        (item(7), '{"itemIdentifier":7}'),
        (item("x"), '{"itemIdentifier":"x"}'),
        ({"foo": "notvalid"}, '{"foo":"notvalid"}'),
        ({}, "{}"),
        ("a", '"a"'),
        (None, "null"),
    ],
)
@pytest.mark.parametrize("beside", [(), ("a",)])
def test_an_item_that_is_not_in_the_batch_fails_all_of_it_and_is_named(bad: Any, shown: str, beside: tuple[str, ...]):
    found = read(failing(*map(item, beside), bad))

    assert isinstance(found, Failed)
    assert found.error_type == "Response.BatchItemFailures"
    assert found.error_message == f"batchItemFailures names what is not in the batch: {shown}"


@pytest.mark.parametrize("response", [b"{", b"\xff", b"[" * 5_000, "text", 5, True, ["a"], {"batchItemFailures": "a"}])
def test_what_can_not_be_read_fails_the_batch(response: Any):
    assert isinstance(read(response), Failed)


@pytest.mark.parametrize(("seconds", "delay_ms"), [(0, 0), (5, 5_000), (0.25, 250), (43_200, 43_200_000), (None, None)])
def test_a_message_may_say_when_it_comes_back(seconds: Any, delay_ms: int | None):
    found = read(failing(item("b", retryAfterSeconds=seconds)))

    assert isinstance(found, Reported)
    assert found.delays_ms == {1: delay_ms}


@pytest.mark.parametrize("seconds", [-1, -0.001, 43_200.1, 1e300, "5", True, [5], {}])
def test_a_delay_that_is_none_fails_the_batch_and_is_named(seconds: Any):
    found = read(failing(item("a"), item("b", retryAfterSeconds=seconds)))

    assert isinstance(found, Failed)
    assert found.error_message.startswith(
        f"retryAfterSeconds is not a number of seconds from 0 to {RETRY_AFTER_S_MAX} in "
    )
    assert '"itemIdentifier":"b"' in found.error_message


def test_of_a_message_that_is_named_twice_the_longer_wait_counts():
    found = read(failing(item("a", retryAfterSeconds=9), item("a"), item("a", retryAfterSeconds=3)))

    assert isinstance(found, Reported)
    assert found.delays_ms == {0: 9_000}


def test_messages_that_share_an_id_share_their_fate():
    found = read_queue_response(
        Returned(json.dumps(failing(item("a"))).encode(), 7),
        [message("a"), message("b"), message("a", receive_count=2)],
        reports_item_failures=True,
    )

    assert isinstance(found, Reported)
    assert list(found.delays_ms) == [0, 2]


@pytest.mark.parametrize("response", [b"{", failing(item("x")), failing(item("a"))])
def test_where_nothing_is_reported_by_agreement_a_response_means_nothing(response: Any):
    assert isinstance(read(response, reports=False), Succeeded)


def test_an_exception_fails_the_batch_and_what_never_ran_is_no_failure():
    thrown = read_queue_response(FunctionFailed("E", "m", b"{}", 1), BATCH, reports_item_failures=True)
    throttled = read_queue_response(NotRun("later"), BATCH, reports_item_failures=True)

    assert isinstance(thrown, Failed)
    assert isinstance(throttled, Throttled)
