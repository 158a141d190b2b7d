"""Queues of RabbitMQ 4, which counts deliveries in another way than its predecessors: what counts here is runs."""

from __future__ import annotations

import pytest
from harness import Node, QueueProject, attributes, identities, orders

from brokers import until

pytestmark = [pytest.mark.e2e, pytest.mark.rabbitmq]

TYPES = ["classic", "quorum"]
RUNS_MAX, KILLS, MESSAGES = 5, 20, 100
POISON = ["raise"]


@pytest.fixture(scope="session")
def rabbitmq_generation():
    return "rabbitmq-4"


def test_a_poison_message_is_dead_after_exactly_its_runs_with_its_error(queues, nodes, tmp_path):
    first, *others = made = [queues(f"rabbitmq {name}") for name in TYPES]
    project = QueueProject(
        tmp_path / "shop",
        first,
        beside=others,
        source={"VisibilityTimeout": 0},
        dead=queues("embedded-queue"),
        receive_count_max=RUNS_MAX,
        BatchSize=1,
    )
    sent = [orders(4, start=4 * number, keys=1, plans={4 * number + 1: POISON}) for number in range(len(made))]
    for queue, messages in zip(made, sent, strict=True):
        queue.send(messages)

    nodes.start(project)
    found = project.wait_letters(len(made))
    for queue in made:
        project.wait_empty(queue)

    poison = {("key-0", 4 * number + 1) for number in range(len(made))}
    counts = project.ledger.receive_counts()
    assert [counts[order] for order in poison] == [list(range(1, RUNS_MAX + 1))] * len(made)
    everything = [order for messages in sent for order in identities(messages)]
    assert project.ledger.handled() == {order: 1 for order in everything if order not in poison}
    said = [attributes(letter) for letter in found]
    assert [each["penstock.receive-count"] for each in said] == [str(RUNS_MAX)] * len(made)
    assert {(each["penstock.error-type"], each["penstock.error-message"]) for each in said} == {
        ("PlannedError", f"the plan of key-0 number {number}") for _, number in poison
    }


def test_no_number_of_kills_while_messages_are_prefetched_makes_a_dead_letter_of_what_never_ran(
    queues, nodes, tmp_path
):
    first, *others = made = [queues(f"rabbitmq {name}") for name in TYPES]
    # Each batch waits for more than will ever come.
    project = QueueProject(
        tmp_path / "shop",
        first,
        beside=others,
        dead=queues("embedded-queue"),
        receive_count_max=RUNS_MAX,
        BatchSize=MESSAGES + 1,
        MaximumBatchingWindowInSeconds=300,
    )
    sent = [orders(MESSAGES, start=number * MESSAGES, keys=1) for number in range(len(made))]
    for queue, messages in zip(made, sent, strict=True):
        queue.send(messages)

    node, other = (nodes.start(project, "--log-level", "info", name=name) for name in ("a", "b"))
    for _ in range(KILLS):
        wait_in_hand([MESSAGES] * len(made), node, other)
        node.kill()
        node, other = other, nodes.restart(node)
    other.kill()
    node.kill()
    assert project.ledger.read() == []
    project.change_all(MaximumBatchingWindowInSeconds=0)
    nodes.restart(node)
    for queue in made:
        project.wait_empty(queue)

    everything = [order for messages in sent for order in identities(messages)]
    assert project.ledger.handled() == dict.fromkeys(everything, 1)
    assert project.letters() == []


def wait_in_hand(wanted: list[int], *nodes: Node) -> None:
    """Wait until so many messages wait in each mapping, with these nodes together."""

    def found() -> bool:
        waiting = [[each["queue"]["waiting"] for each in node.status()["mappings"]] for node in nodes]
        return [sum(each) for each in zip(*waiting, strict=False)] == wanted

    until(found, what="everything is in hand", timeout_seconds=60)
