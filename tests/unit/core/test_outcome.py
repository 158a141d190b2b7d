from __future__ import annotations

import pytest

from penstock.api import FunctionFailed, NotRun, Returned
from penstock.core import outcome
from penstock.core.outcome import Failed, Succeeded, Throttled


@pytest.mark.parametrize("payload", [b"null", b"{}", b'{"batchItemFailures":[{"itemIdentifier":"1"}]}', b'"no"', b"7"])
def test_whatever_a_function_returns_is_success(payload: bytes):
    assert outcome.read(Returned(payload, 12)) == Succeeded(12)


def test_a_function_that_failed_spent_an_attempt():
    failed = FunctionFailed("Sandbox.Timedout", "Task timed out after 1.00 seconds", b"{}", 1000)

    assert outcome.read(failed) == Failed("Sandbox.Timedout", "Task timed out after 1.00 seconds", 1000)


def test_a_function_that_was_not_run_spent_none():
    assert outcome.read(NotRun("no process could be started", 50)) == Throttled("no process could be started", 50)
