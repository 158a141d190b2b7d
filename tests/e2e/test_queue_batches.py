"""Batches of queues at their bounds: windows beyond a lease, ten thousand messages, and more than an event can hold."""

from __future__ import annotations

import json

import pytest
from harness import DISTINCT_KINDS, FIFO_KINDS, KINDS, QueueProject, attributes, identities, orders

from brokers import Produced, until

pytestmark = pytest.mark.e2e

PLUGINS = [
    "embedded",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
]
WINDOW_S = 4
MOST = 10_000
EVENT_BYTES_MAX = 6 * 1024 * 1024


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_window_longer_than_a_lease_gathers_a_batch_and_loses_no_lease(plugin, queues, nodes, tmp_path):
    first, *others = made = [queues(kind) for kind in KINDS if kind.startswith(plugin)]
    project = QueueProject(
        tmp_path / "shop",
        first,
        beside=others,
        source={"VisibilityTimeout": 1},
        BatchSize=100,
        MaximumBatchingWindowInSeconds=WINDOW_S,
    )
    node = nodes.start(project)
    node.wait_log("node started")
    for number, queue in enumerate(made):
        queue.send(orders(2, start=2 * number, keys=1))
    until(lambda: [each["queue"]["waiting"] for each in node.status()["mappings"]] == [2] * len(made), what="both wait")
    for number, queue in enumerate(made, len(made)):
        queue.send(orders(1, start=len(made) + number, keys=1))
    for queue in made:
        project.wait_empty(queue)

    assert sorted(run.counts for run in project.ledger.read()) == [[1, 1, 1]] * len(made)
    assert node.log("leases expired") == []


@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_a_batch_has_as_many_messages_as_its_size_says_up_to_ten_thousand(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    project = QueueProject(
        tmp_path / "shop", queue, source=queue.room_for(2 * MOST), BatchSize=MOST, MaximumBatchingWindowInSeconds=300
    )
    sent = orders(MOST, keys=20)
    queue.send(sent)

    nodes.start(project, "--log-level", "info")
    project.wait_empty(timeout_seconds=120)

    # The window is not over: what ended the gathering is the batch's size, or that of its event.
    batches = [len(run.jobs) for run in project.ledger.read()]
    assert batches[0] > MOST // 2
    assert project.ledger.handled() == identities(sent)
    assert project.ledger.handed_out() == identities(sent)


@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_what_no_event_can_hold_is_a_dead_letter_that_was_never_run(kind, queues, nodes, tmp_path):
    queue, dead = queues(kind), queues("redis-list" if kind.startswith("redis") else "embedded-queue")
    project = QueueProject(tmp_path / "shop", queue, dead=dead, receive_count_max=1)
    sent = orders(3, keys=1)
    queue.send([sent[0], too_large(), *sent[1:]])

    nodes.start(project)
    project.wait_empty()

    (letter,) = project.letters()
    said = attributes(letter)
    assert len(letter["body"]) > EVENT_BYTES_MAX
    assert said["penstock.condition"] == "MaximumPayloadSizeExceeded"
    assert project.ledger.handled() == identities(sent)


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_what_no_event_can_hold_stays_where_there_is_no_place_for_dead_letters_and_holds_up_nothing(
    kind, queues, nodes, tmp_path
):
    queue = queues(kind)
    project = QueueProject(tmp_path / "shop", queue)
    sent = orders(3, keys=1)
    queue.send([sent[0], too_large(), *sent[1:]])

    node = nodes.start(project)
    project.ledger.wait_for_all(identities(sent))
    project.wait_figures(left=1, what="the large one is left")

    failure = node.wait_log("batch failed")
    assert failure["error_type"] == "MaximumPayloadSizeExceeded"
    assert project.ledger.handed_out() == identities(sent)


def too_large() -> Produced:
    body = {"key": "large", "number": 0, "padding": "x" * EVENT_BYTES_MAX}
    return Produced(json.dumps(body).encode(), key=b"large")
