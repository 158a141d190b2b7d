"""The traces of queues of the specification (§11, T9 to T12), and its table of responses (§4.2), as recordings are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from conformance.recordings.case import Case
from conformance.recordings.queue_behaviour import TIMES_OUT

STANDARD = "sqs standard, VisibilityTimeout=5, RedrivePolicy maxReceiveCount=2"
FIFO = "sqs fifo, VisibilityTimeout=5, RedrivePolicy maxReceiveCount=2"
REPORTS = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
FLAGGED = (
    "handler: marks a record failed while body.fail_attempts >= ApproximateReceiveCount; "
    "returns {batchItemFailures:[{itemIdentifier: messageId}]}"
)

SUCCESSES: Mapping[str, Any] = {
    "null": None,
    "an empty text": "",
    "an empty list": [],
    "no failures": {"batchItemFailures": []},
    "null failures": {"batchItemFailures": None},
}
FAILURES: Mapping[str, Any] = {
    "an empty identifier": {"batchItemFailures": [{"itemIdentifier": ""}]},
    "a null identifier": {"batchItemFailures": [{"itemIdentifier": None}]},
    "an identifier of no message": {"batchItemFailures": [{"itemIdentifier": "123"}]},
    "a text": "no report",
}


def queue_traces() -> list[Case]:
    """Give T9 to T12 and the table of responses."""
    return [*_traces(), *_table()]


def _traces() -> Iterator[Case]:
    for mode in ("group", "aws"):
        yield case(
            f"T9 a group reports the rest, mode {mode}",
            {"BatchSize": 10, "GroupFailureMode": mode, **REPORTS},
            [message(1), message(2, fails=1), message(3, fails=1), message(4, fails=2)],
            {"deliveries": [[[1, 1], [2, 1], [3, 1], [4, 1]], [[2, 2], [3, 2], [4, 2]]], "dead": [letter(4, fails=2)]},
            source=FIFO,
            function=FLAGGED,
        )
    # Of what is not reported behind a failure AWS deletes all; a group keeps its order here, unless asked not to (D23).
    for mode, again in (("group", [[2, 2], [3, 2], [4, 2]]), ("aws", [[2, 2]])):
        yield case(
            f"a group reports one, mode {mode}",
            {"BatchSize": 10, "GroupFailureMode": mode, **REPORTS},
            [message(1), message(2, fails=1), message(3), message(4)],
            {"deliveries": [[[1, 1], [2, 1], [3, 1], [4, 1]], again], "dead": []},
            source=FIFO,
            function=FLAGGED,
        )
    wrong = {"batchItemFailures": [{"foo": "notvalid"}]}
    yield case(
        "T10 a report with a wrong key",
        REPORTS,
        [message(1)],
        {"deliveries": [[[1, 1]], [[1, 2]]], "dead": [letter(1)]},
        function_returns=wrong,
    )
    done = {"deliveries": [[[1, 1]]], "dead": []}
    yield case("T11 an empty object", REPORTS, [message(1)], done, function_returns={})
    # Lambda's API refuses this pair; a file may have it.
    eleven = [message(number) for number in range(1, 12)]
    yield case(
        "T12 eleven and no window",
        {"BatchSize": 11, "MaximumBatchingWindowInSeconds": 0},
        eleven,
        {"deliveries": [[[number, 1] for number in range(1, 12)]], "dead": []},
    )


def _table() -> Iterator[Case]:
    two = [message(1), message(2)]
    done = {"receives": {"1": 1, "2": 1}, "dead": []}
    failed = {"receives": {"1": 2, "2": 2}, "dead": [letter(1), letter(2)]}
    for name, value in SUCCESSES.items():
        yield case(name, REPORTS, two, done, function_returns=value)
    for name, value in FAILURES.items():
        yield case(name, REPORTS, two, failed, function_returns=value)
    yield case(
        "some reported",
        REPORTS,
        [message(1), message(2, fails=1), message(3)],
        {"deliveries": [[[1, 1], [2, 1], [3, 1]], [[2, 2]]], "dead": []},
        function=FLAGGED,
    )
    yield case("an exception", REPORTS, two, failed, function="raises")
    yield case("a timeout", REPORTS, two, failed, function=TIMES_OUT)
    yield case("a report that nobody asked for", {}, [message(1, fails=9), message(2)], done, function=FLAGGED)


def case(
    name: str,
    create: Mapping[str, Any],
    send: list[dict[str, Any]],
    expected: Mapping[str, Any],
    *,
    source: str = STANDARD,
    **does: Any,
) -> Case:
    """Make one case in the shape of a recording."""
    return Case(
        id=name, title=name, setup={"source": source, "create": create, "send": send, **does}, expected=expected
    )


def message(number: int, *, fails: int = 0) -> dict[str, Any]:
    """Make the body with this number, that of a message that is reported so often."""
    return {"message": number, "fail_attempts": fails}


def letter(number: int, *, fails: int = 0) -> dict[str, Any]:
    """Make what is expected among the dead letters."""
    return {"Body": message(number, fails=fails)}
