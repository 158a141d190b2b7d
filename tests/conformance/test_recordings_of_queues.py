"""How the recordings of queues are read, that comparing them can fail, and what of them needs no node."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from hashlib import md5
from typing import Any

import pytest

from conformance.recordings import queue_scope
from conformance.recordings.case import QUEUES, Case, NotUnderstood, read_cases
from conformance.recordings.outcome import Identity, Invocation
from conformance.recordings.project import CasesProject
from conformance.recordings.queue_behaviour import plan_of
from conformance.recordings.queue_comparison import CONDITION, QueueComparison
from conformance.recordings.queue_inputs import waves_of
from conformance.recordings.queue_part import part_of
from conformance.recordings.queue_run import QueueOutcome
from conformance.recordings.queue_scope import QueueKind
from conformance.recordings.queue_setup import QueueSetup, mapping_of, quickened, setup_of
from conformance.recordings.queue_traces import FIFO, FLAGGED, STANDARD, case, letter, message
from conformance.recordings.queues import EmbeddedQueues
from penstock.api import Attribute, Message


def test_a_mapping_that_says_nothing_has_the_settings_that_were_recorded(conformance, tmp_path):
    cases = [each for each in read_cases(conformance / "recorded", QUEUES) if queue_scope.has_settings(each)]
    project = CasesProject(tmp_path / "project")
    parts = [part_of(each, number, tmp_path / "project") for number, each in enumerate(cases)]
    for part in parts:
        project.add(part, part.sources(EmbeddedQueues(tmp_path)))

    mappings = {mapping.name: mapping for mapping in project.write().mappings}

    for part in parts:
        made = mappings[part.mapping]
        responses = [each.value for each in queue_scope.of_kind(part.case, QueueKind.MAPPING)]
        for response in responses:
            # The recorder hid some windows.
            window_s = response["MaximumBatchingWindowInSeconds"]
            wanted_s = quickened(response)["MaximumBatchingWindowInSeconds"] if isinstance(window_s, int) else None
            assert made.queue.batch_size == response["BatchSize"], part.name
            assert wanted_s in {None, made.queue.batching_window_ms / 1000}, part.name
            assert made.queue.reports_item_failures == bool(response["FunctionResponseTypes"]), part.name
        assert made.enabled == (responses[0]["State"] != "Disabled"), part.name


@pytest.mark.parametrize(
    ("does", "plan"),
    [
        ({"function": "echo (prints the event)"}, {"echoes": True}),
        ({"function": "sleeps 5 s"}, {"sleep_s": 1.0}),
        ({"function": FLAGGED}, {"reports_while": True}),
        ({"function": f"{FLAGGED}; sends {{event,result}} to a destination queue"}, {"reports_while": True}),
        ({"function": f"{FLAGGED}; OVERWRITE_RESULT={{}}"}, {"reports_while": True, "returns": {}}),
        ({"function": f"{FLAGGED}; OVERWRITE_RESULT=(not json"}, {"reports_while": True, "returns": "(not json"}),
        ({"function_returns": None}, {"returns": None}),
    ],
)
def test_what_a_function_does_is_read_from_the_recording(does, plan):
    assert plan_of(case("x", {}, [], {}, **does)) == plan


def test_what_is_not_understood_is_said_and_not_passed_over():
    with pytest.raises(NotUnderstood, match="'dances', means nothing here"):
        plan_of(case("x", {}, [], {}, function="prints it; dances"))
    with pytest.raises(NotUnderstood, match="no mapping here has Wings"):
        mapping_of(case("x", {"Wings": 2}, [], {}))
    with pytest.raises(NotUnderstood, match="no queue here is as 'sqs sideways' says"):
        setup_of(case("x", {}, [], {}, source="sqs sideways"))
    with pytest.raises(NotUnderstood, match="what is sent, 'a few'"):
        waves_of(Case(id="x", title="", setup={"source": STANDARD, "send": "a few"}, expected={}))
    (part,) = queue_scope.parts_of(case("x", {}, [], {"mood": "good"}))
    assert part.kind is QueueKind.UNKNOWN


def test_what_comes_after_an_update_is_a_wave_of_its_own_and_what_is_told_is_counted():
    def sent(send: Any, source: str = STANDARD) -> list[list[tuple[bytes | None, str | None]]]:
        waves = waves_of(Case(id="x", title="", setup={"source": source, "send": send}, expected={}))
        return [[(each.value, each.group) for each in wave] for wave in waves]

    assert sent(["a", "after update: b"]) == [[(b"a", None)], [(b"b", None)]]
    assert sent("2 messages, one group", FIFO) == [[(b"message 0", "group"), (b"message 1", "group")]]
    assert sent('2 + 1 messages "<i>-<b>"') == [[(b"0-0", None), (b"1-0", None), (b"0-1", None)]]


# What follows is one case with all that came of it, and what is wrong with it then.

BODY = json.dumps(message(4, fails=2))
RECORDED = {
    "messageId": "<uuid:1>",
    "receiptHandle": "<receipt-handle:1>",
    "body": BODY,
    "attributes": {
        "ApproximateReceiveCount": "1",
        "SentTimestamp": "sent-timestamp",
        "SenderId": "sender-id",
        "ApproximateFirstReceiveTimestamp": "<approximate-first-receive-timestamp>",
    },
    "messageAttributes": {},
    "md5OfMessageAttributes": None,
    "md5OfBody": "<md5-of-body:1>",
    "eventSource": "aws:sqs",
    "eventSourceARN": "arn:<partition>:sqs:<region>:111111111111:<resource:1>",
    "awsRegion": "<region>",
}
FAILED = case(
    "failed",
    {},
    [message(4, fails=2)],
    {"deliveries": [[[4, 1]], [[4, 2]]], "receives": {"4": 2}, "sample": RECORDED, "dead": [letter(4, fails=2)]},
    function=FLAGGED,
)


def record(count: int) -> dict[str, Any]:
    return {
        **RECORDED,
        "messageId": "m",
        "receiptHandle": f"r-{count}",
        "attributes": {
            "ApproximateReceiveCount": str(count),
            "SentTimestamp": "1",
            "SenderId": "111111111111",
            "ApproximateFirstReceiveTimestamp": "2",
        },
        "md5OfBody": md5(BODY.encode(), usedforsecurity=False).hexdigest(),
        "eventSourceARN": "arn:aws:sqs:us-east-1:111111111111:s",
        "awsRegion": "us-east-1",
    }


def outcome() -> QueueOutcome:
    """Make what comes of the case above when everything is right."""
    told = {
        "message-id": "m",
        "receive-count": "2",
        "condition": CONDITION,
        "error-message": "the function reported it",
    }
    attributes = {f"penstock.{name}": Attribute("String", value) for name, value in told.items()}
    return QueueOutcome(
        setup=QueueSetup(is_fifo=False, visibility_s=1, receive_count_max=2),
        sent=[BODY],
        identity=Identity("u", "arn:f", "arn:s"),
        states=["Enabled"],
        invocations=[Invocation("a", 1.0, {"Records": [record(1)]}), Invocation("b", 2.0, {"Records": [record(2)]})],
        dead=[Message("d", "", BODY.encode(), 0, 1, 0, attributes)],
    )


def later(number: int, **changes: Any) -> Callable[[QueueOutcome], None]:
    def change(outcome: QueueOutcome) -> None:
        outcome.invocations[number].records[0].update(changes)

    return change


def dead(name: str, value: str) -> Callable[[QueueOutcome], None]:
    def change(outcome: QueueOutcome) -> None:
        outcome.dead[0].attributes[f"penstock.{name}"] = Attribute("String", value)

    return change


def counts(number: int, count: int) -> Callable[[QueueOutcome], None]:
    def change(outcome: QueueOutcome) -> None:
        outcome.invocations[number].records[0]["attributes"]["ApproximateReceiveCount"] = str(count)

    return change


def too_soon(outcome: QueueOutcome) -> None:
    outcome.invocations[1] = Invocation("b", 1.5, {"Records": [record(2)]})


def once_more(outcome: QueueOutcome) -> None:
    outcome.invocations.append(Invocation("c", 3.0, {"Records": [record(3)]}))


def once_less(outcome: QueueOutcome) -> None:
    outcome.invocations.pop()


def nothing_dead(outcome: QueueOutcome) -> None:
    outcome.dead = []


def twice_dead(outcome: QueueOutcome) -> None:
    outcome.dead *= 2


def another_dead(outcome: QueueOutcome) -> None:
    outcome.dead = [Message("d", "", b"another", 0, 1, 0, outcome.dead[0].attributes)]


def left_behind(outcome: QueueOutcome) -> None:
    outcome.left = outcome.dead


def test_what_is_as_recorded_passes():
    QueueComparison(FAILED, outcome(), gives_back=True).hold()


@pytest.mark.parametrize(
    "spoil",
    [
        too_soon,
        once_more,
        once_less,
        nothing_dead,
        twice_dead,
        another_dead,
        left_behind,
        counts(0, 2),
        counts(1, 3),
        dead("receive-count", "3"),
        dead("condition", "Filtered"),
        dead("error-message", ""),
        dead("message-id", "another"),
        later(0, awsRegion=""),
        later(0, eventSource="aws:kinesis"),
        later(0, md5OfMessageAttributes="d41d8cd98f00b204e9800998ecf8427e"),
        later(0, md5OfBody="d41d8cd98f00b204e9800998ecf8427e"),
        later(0, messageAttributes={"one": {}}),
        later(0, another=1),
        later(1, receiptHandle="r-1"),
        later(1, messageId="another"),
        later(1, body="another"),
    ],
)
def test_what_is_not_as_recorded_does_not_pass(spoil):
    spoilt = deepcopy(outcome())
    spoil(spoilt)

    with pytest.raises(AssertionError):
        QueueComparison(FAILED, spoilt, gives_back=True).hold()


def test_a_group_that_comes_out_of_its_order_or_before_its_turn_does_not_pass():
    slow = case(
        "slow", {}, [message(1), message(2)], {"receives": {"1": 1, "2": 1}}, source=FIFO, function="sleeps 5 s"
    )
    bodies = [json.dumps(message(number)) for number in (1, 2)]

    def came(order: list[int], gap_s: float) -> QueueOutcome:
        records = [record(1) | {"messageId": str(number), "body": bodies[number]} for number in order]
        invocations = [Invocation(str(place), place * gap_s, {"Records": [each]}) for place, each in enumerate(records)]
        made = outcome()
        made.setup = QueueSetup(is_fifo=True, visibility_s=1, receive_count_max=2)
        made.sent, made.invocations, made.dead = bodies, invocations, []
        return made

    QueueComparison(slow, came([0, 1], 1.1), gives_back=True).hold()
    for order, gap_s in (([1, 0], 1.1), ([0, 1], 0.9)):
        with pytest.raises(AssertionError):
            QueueComparison(slow, came(order, gap_s), gives_back=True).hold()
