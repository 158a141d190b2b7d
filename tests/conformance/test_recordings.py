"""What of the recordings of streams and of queues is compared, and that comparing those of streams can fail."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from conformance.recordings import queue_scope
from conformance.recordings.behaviour import plan_of
from conformance.recordings.case import QUEUES, Case, NotUnderstood, cases_of, read_cases
from conformance.recordings.comparison import Comparison
from conformance.recordings.inputs import inputs_of
from conformance.recordings.outcome import Identity, Invocation, Kept, Outcome
from conformance.recordings.placeholders import Bindings, hold_order
from conformance.recordings.queue_scope import QueueKind
from conformance.recordings.queue_traces import queue_traces
from conformance.recordings.scope import ERROR, IDENTITY, IMAGE_FILTER, Kind, inventory, is_run, parts_of
from conformance.recordings.traces import KINESIS, case, document, record, traces

NOT_RUN = {
    "ddb-03-table-deleted",
    "ddb-11-invalid-filters",
    "ddb-12-duplicate",
    "ddb-13-missing-stream",
    "kin-16-duplicate",
    "kin-17-missing-stream",
}
"""Of the first sample, these tell of Lambda's API alone."""
RUN = {
    "ddb-01-basic-event",
    "ddb-02-disable",
    "ddb-04-on-failure-sqs",
    "ddb-05-on-failure-sns",
    "ddb-06-on-failure-s3",
    "kin-01-basic-event",
    "kin-02-two-functions-one-stream",
    "kin-03-strict-order-two-batches",
    "kin-04-trim-horizon",
    "kin-05-disable",
    "kin-06-on-failure-sqs",
    "kin-07-on-failure-sns",
    "kin-08-on-failure-s3",
    "kin-09-partial-batch-checkpoint",
    "kin-10-batch-item-failure-odd-values",
    "kin-12-record-age-exceeded",
    "kin-14-empty-response-runtime",
}
QUEUES_NOT_RUN = {
    "sqs-01-defaults-and-batch-validation",
    "sqs-14-invalid-filters",
    "sqs-16-duplicate-mapping",
    "sqs-17-missing-queue",
    "sqs-19-function-dlq-message",
}
"""These tell of Lambda's API, and the last of an asynchronous invocation. What the first and the third say of a
mapping's settings is compared without a node, and so are the patterns that the second has refused (`test_filters`)."""
QUEUES_RUN = {
    "sqs-02-basic-event-with-window",
    "sqs-03-event-no-window-retry",
    "sqs-04-message-attributes",
    "sqs-05-redrive-to-dlq",
    "sqs-07-bif-enabled-but-function-raises",
    "sqs-09-bif-empty-object-succeeds",
    "sqs-10-fifo-enable-states",
    "sqs-11-batch-sizes-over-10",
    "sqs-15-update-function-version",
}
SENT = {"DestinationConfig": {"OnFailure": {"Destination": "arn:aws:sqs:<region>:111111111111:dead"}}}


def test_every_part_of_every_case_is_compared_or_left_with_a_reason(conformance):
    cases = [*read_cases(conformance / "recorded"), *traces()]

    lines = list(inventory(cases))

    print("\n".join(lines))  # noqa: T201 - the list is there to be read: pytest -rP
    parts = [(each.id, part) for each in cases for part in parts_of(each)]
    assert [(name, part.name) for name, part in parts if part.kind is Kind.UNKNOWN] == []
    assert [(name, part.name) for name, part in parts if part.kind is Kind.LEFT and not part.left] == []
    assert len(lines) == len(cases) + len(parts)


def test_only_what_tells_of_the_api_alone_or_of_images_is_not_run(conformance):
    cases = read_cases(conformance / "recorded")
    left = [each for each in cases if not is_run(each)]

    assert {part.left for each in left for part in parts_of(each)} <= {ERROR, IDENTITY, IMAGE_FILTER}
    present = {each.id.partition(":")[0] for each in cases}
    assert {each.id.partition(":")[0] for each in left} & (RUN | NOT_RUN) == NOT_RUN & present


def test_every_part_of_every_case_of_a_queue_is_compared_or_left_with_a_reason(conformance):
    cases = [*read_cases(conformance / "recorded", QUEUES), *queue_traces()]

    lines = list(queue_scope.inventory(cases))

    print("\n".join(lines))  # noqa: T201 - the list is there to be read: pytest -rP
    parts = [(each.id, part) for each in cases for part in queue_scope.parts_of(each)]
    assert [(name, part.name) for name, part in parts if part.kind is QueueKind.UNKNOWN] == []
    assert [(name, part.name) for name, part in parts if part.kind is QueueKind.LEFT and not part.left] == []
    assert len(lines) == len(cases) + len(parts)


def test_only_what_tells_of_the_api_alone_or_of_no_queue_is_not_run(conformance):
    cases = read_cases(conformance / "recorded", QUEUES)
    left = [each for each in cases if not queue_scope.is_run(each)]

    reasons = {part.left for each in left for part in queue_scope.parts_of(each)}
    assert reasons <= {queue_scope.ERROR, queue_scope.NO_SOURCE, queue_scope.REST_OF_RESPONSE}
    present = {each.id.partition(":")[0] for each in cases}
    not_run = {each.id.partition(":")[0] for each in left}
    assert not_run & (QUEUES_RUN | QUEUES_NOT_RUN) == QUEUES_NOT_RUN & present


def test_everything_that_is_run_is_understood(streamed_cases):
    for each in streamed_cases:
        assert inputs_of(each).count > 0
        assert plan_of(each).keys() <= {"sleep_s", "raises", "reports", "echoes", "returns"}


def test_a_file_of_several_cases_gives_each_what_all_share_and_its_own():
    shared = {"source": KINESIS, "create": {"BatchSize": 1}}
    several = [
        {"case": "first", "create_extra": {"MaximumRetryAttempts": 0}, "expected": {"invocations": 1}},
        {"case": "second", "function_returns": "", "expected": {"invocations": 2}},
    ]

    first, second = cases_of({"id": "x", "title": "", "setup": shared, "cases": several})

    assert first.setup["create"] == {"BatchSize": 1, "MaximumRetryAttempts": 0}
    assert second.setup == {**shared, "function_returns": ""}
    assert (first.id, second.expected) == ("x: first", {"invocations": 2})


@pytest.mark.parametrize(
    ("does", "plan"),
    [
        ({"function": "raises"}, {"raises": "Exception"}),
        ({"function": "records start time, sleeps 5 s"}, {"sleep_s": 1.0}),
        ({"function": "echo (prints the event)"}, {"echoes": True}),
        ({"function": "forwards event.Records to a queue"}, {}),
        (
            {"function": "returns batchItemFailures with the sequenceNumber of records whose data has bad true"},
            {"reports": "bad"},
        ),
        ({"function_returns": "<raises ZeroDivisionError>"}, {"raises": "ZeroDivisionError"}),
        ({"function_returns": ""}, {"returns": ""}),
        ({"function_returns": {"batchItemFailures": None}}, {"returns": {"batchItemFailures": None}}),
        ({}, {"raises": "Exception"}),
    ],
)
def test_what_a_function_does_is_read_from_the_recording(does, plan):
    assert plan_of(case("x", {}, {"failure": document(2)}, **does)) == plan


def test_what_is_not_understood_is_said_and_not_passed_over():
    with pytest.raises(NotUnderstood, match="'dances' means nothing here"):
        plan_of(case("x", {}, {}, function="dances"))
    with pytest.raises(NotUnderstood, match="which response"):
        plan_of(case("x", {}, {"failure": document(2, error=None)}))
    with pytest.raises(NotUnderstood, match="no mapping here has Wings"):
        inputs_of(case("x", {"Wings": 2}, {}))
    with pytest.raises(NotUnderstood, match="what is put, 'a few'"):
        inputs_of(case("x", {}, {}, put="a few"))
    (part,) = parts_of(case("x", {}, {"mood": "good"}))
    assert part.kind is Kind.UNKNOWN


def test_records_that_nobody_tried_are_older_than_their_limit_and_come_in_one_batch_with_those_that_came():
    too_old = document(1, condition="RecordAgeExceeded")
    events = [{"Records": [record(2), record(3)]}]

    inputs = inputs_of(case("x", {"MaximumRecordAgeInSeconds": 90}, {"failure": too_old, "events": events}))

    ((old, *fresh),) = inputs.before
    assert old.age_s > 90
    assert [(put.key, put.age_s) for put in fresh] == [("test_2", 0), ("test_3", 0)]


def test_the_record_to_be_reported_is_the_one_that_a_document_numbers_or_that_came_most_often():
    reports = "returns batchItemFailures with the sequenceNumber of records whose data has bad true"
    keys = ["a", "b", "c", "c", "c"]
    for sequence in ("<sequence-number:3>", "<start-sequence-number:1>"):
        expected = {"failure": document(2, error=None, sequence=sequence), "delivered_keys": keys}

        ((*healthy, last),) = inputs_of(case("x", {}, expected, function=reports)).before

        assert [put.key for put in (*healthy, last)] == ["a", "b", "c"]
        assert {put.data for put in healthy} == {b'{"bad": false}'}
        assert last.data == b'{"bad": true}'


def test_a_placeholder_is_one_value_everywhere_and_a_time_is_a_form():
    bindings = Bindings()
    bindings.hold(
        {"a": "x:<uuid:1>", "t": "<timestamp:2022-01-01T00:00:00.000Z>"}, {"a": "x:7", "t": "2026-11-30T23:59:59.123Z"}
    )
    bindings.hold({"t": "<timestamp:2022-01-01T00:00:00.000Z>"}, {"t": "2027-01-01T00:00:00.000Z"})

    with pytest.raises(AssertionError, match="is '7' elsewhere, not '8'"):
        bindings.hold("<uuid:1>", "8")
    with pytest.raises(AssertionError, match="is not written as"):
        bindings.hold("<timestamp:2022-01-01T00:00:00Z>", "2027-01-01T00:00:00.000Z")
    with pytest.raises(AssertionError, match="keys"):
        bindings.hold({"a": 1}, {"a": 1, "b": None})


def test_the_order_of_keys_counts_where_the_recorder_kept_it():
    hold_order({"a": 1, "b": {"d": 1, "c": 2}}, {"b": {"d": 1, "c": 2}, "a": 1})

    with pytest.raises(AssertionError, match=r"\$\.b: the order"):
        hold_order({"a": 1, "b": {"d": 1, "c": 2}}, {"a": 1, "b": {"c": 2, "d": 1}})


RAISED = case("raised", {"BatchSize": 1, **SENT}, {"failure": document(2), "invocations": 2}, function="raises")


def outcome_of(invocations: int = 2) -> Outcome:
    """Make what comes of the case above when everything is right."""
    names = {"<partition>": "aws", "<region>": "eu-1", "<resource:1>": "f", "<resource:2>": "s", "<resource:3>": "f"}
    names |= {
        "<sequence-number:1>": "0",
        "<approximate-arrival-timestamp>": "1.5",
        "<uuid:2>": f"request-{invocations}",
    }
    names["<timestamp:2022-07-13T13:48:01.000Z>"] = "2026-01-01T00:00:00.000Z"
    event = {"Records": [filled(record(1), names)]}
    return Outcome(
        identities=[Identity("u", "arn:f", "arn:s")],
        put=1,
        last_results=["OK"],
        invocations=[[Invocation(f"request-{number}", float(number), event) for number in range(1, invocations + 1)]],
        documents=[Kept(filled(document(2), names))],
    )


def filled(value: Any, names: dict[str, str]) -> Any:
    match value:
        case dict():
            return {key: filled(each, names) for key, each in value.items()}
        case list():
            return [filled(each, names) for each in value]
        case str():
            for name, text in names.items():
                value = value.replace(name, text)
    return value


def without_documents(outcome: Outcome) -> None:
    outcome.documents = []


def twice_told(outcome: Outcome) -> None:
    outcome.documents *= 2


def changed(*path: str, to: Any) -> Callable[[Outcome], None]:
    def change(outcome: Outcome) -> None:
        place = outcome.documents[0].document
        for key in path[:-1]:
            place = place[key]
        place[path[-1]] = to

    return change


def one_try_more(outcome: Outcome) -> None:
    outcome.invocations = outcome_of(3).invocations


def nothing_came(outcome: Outcome) -> None:
    outcome.invocations = [[]]


def test_what_is_as_recorded_passes():
    Comparison(RAISED, outcome_of()).hold()


@pytest.mark.parametrize(
    "spoil",
    [
        without_documents,
        twice_told,
        one_try_more,
        nothing_came,
        changed("requestContext", "condition", to="RecordAgeExceeded"),
        changed("requestContext", "approximateInvokeCount", to=3),
        changed("requestContext", "requestId", to="request-1"),
        changed("responseContext", "functionError", to=None),
        changed("responseContext", to=None),
        changed("KinesisBatchInfo", "batchSize", to=2),
        changed("KinesisBatchInfo", "endSequenceNumber", to="1"),
        changed("KinesisBatchInfo", "shardId", to="0"),
        changed("timestamp", to="2026-01-01T00:00:00Z"),
        changed("version", to=1.0),
    ],
)
def test_what_is_not_as_recorded_does_not_pass(spoil):
    outcome = deepcopy(outcome_of())
    spoil(outcome)

    with pytest.raises(AssertionError):
        Comparison(RAISED, outcome).hold()


def test_a_case_that_has_no_function_of_that_letter_does_not_pass():
    two = Case(id="two", title="", setup={"source": KINESIS, "function": "raises"}, expected={"invocations-b": 1})

    with pytest.raises(IndexError):
        Comparison(two, outcome_of()).hold()
