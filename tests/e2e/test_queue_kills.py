"""Nodes that are killed with messages in hand: what was never run is no dead letter, however often that happens."""

from __future__ import annotations

import pytest
from harness import KINDS, Node, QueueProject, identities, orders

from brokers import until

pytestmark = pytest.mark.e2e

KILLS, RUNS_MAX, MESSAGES = 20, 5, 3


@pytest.mark.redis
@pytest.mark.rabbitmq
def test_no_number_of_kills_while_a_batch_waits_makes_a_dead_letter_of_what_never_ran(queues, nodes, tmp_path):
    first, *others = made = [queues(kind) for kind in KINDS]
    # Each batch waits for more than will ever come.
    project = QueueProject(
        tmp_path / "shop",
        first,
        beside=others,
        source={"VisibilityTimeout": 1},
        dead=queues("embedded-queue"),
        receive_count_max=RUNS_MAX,
        BatchSize=MESSAGES + 1,
        MaximumBatchingWindowInSeconds=300,
    )
    sent = [orders(MESSAGES, start=number * MESSAGES, keys=1) for number in range(len(made))]
    for queue, messages in zip(made, sent, strict=True):
        queue.send(messages)

    # Another node is up before one is killed, so that the kills cost no more time than the leases.
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
