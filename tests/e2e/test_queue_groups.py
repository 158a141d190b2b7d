"""Message groups on FIFO queues: a group that fails holds back its own messages and nobody else's."""

from __future__ import annotations

import pytest
from harness import FIFO_KINDS, QueueProject, identities, orders

from brokers import until

pytestmark = pytest.mark.e2e

GROUPS, MESSAGES = 100, 1_000


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_of_a_hundred_groups_one_that_fails_for_ever_holds_up_no_other(kind, queues, nodes, tmp_path):
    queue, blocked = queues(kind), "key-7"
    # Nothing ever ends its retries: there is no RedrivePolicy.
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 1}, BatchSize=10)
    sent = orders(MESSAGES, keys=GROUPS, plans={7: ["report"]})
    queue.send(sent)

    node = nodes.start(project)
    others = [order for order in identities(sent) if order[0] != blocked]
    project.ledger.wait_for_all(others, timeout_seconds=120)

    behind = MESSAGES // GROUPS
    status = until(
        lambda: found if (found := node.mapping()["queue"])["held"] == behind else None,
        what="what is held back is in the status",
    )
    assert status is not None
    assert (status["blocked_groups"], status["full"], status["waiting"]) == ([blocked], False, 0)
    assert status["blocked_since"] is not None
    project.wait_figures(left=behind, what="the others are deleted")
    # Those behind the failing one run with it, and come again with it.
    handled = project.ledger.handled()
    assert {order: count for order, count in handled.items() if order[0] != blocked} == dict.fromkeys(others, 1)
    assert (blocked, 0) not in handled
    assert project.ledger.out_of_order() == []
    counts = project.ledger.receive_counts()
    assert all(counts[order] == [1] for order in others)
    assert counts[blocked, 0] == list(range(1, len(counts[blocked, 0]) + 1))


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_what_a_failing_group_holds_back_goes_on_in_order_when_it_succeeds(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 0}, BatchSize=3)
    sent = orders(60, keys=4, plans={1: ["report", "report", ""], 22: ["raise", ""], 47: ["report:0.2", ""]})
    queue.send(sent)

    nodes.start(project)
    project.wait_empty()

    assert project.ledger.missing(identities(sent)) == []
    assert project.ledger.out_of_order() == []
    assert project.ledger.receive_counts()["key-1", 0] == [1, 2, 3]


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_no_more_is_held_back_than_is_allowed_and_the_status_says_so(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    redrive = {"RedrivePolicy": {"maxReceiveCount": 1000, "deadLetterTargetArn": "dead"}}
    source = {"VisibilityTimeout": 1, **redrive, **queue.room_for(12_000)}
    project = QueueProject(tmp_path / "shop", queue, source=source, BatchSize=1000)
    project.extend(Sources={"dead": {"Type": "sqlite-stream"}})
    # Everything of one group, and its first message fails until it is allowed to go on.
    queue.send(orders(11_000, keys=1, plans={0: ["stick"]}))

    node = nodes.start(project)
    status = until(
        lambda: found if (found := node.mapping())["queue"]["full"] else None,
        what="no more is received",
        timeout_seconds=60,
    )
    assert status is not None
    queue_status = status["queue"]
    assert queue_status["held"] + sum(batch["records"] for batch in queue_status["in_flight"]) <= 10_000
    assert queue_status["blocked_groups"] == ["key-0"]
    if not queue.sends_ahead:
        assert queue.figures().waiting >= 1_000
    project.ledger.release()
    project.wait_empty()

    assert project.ledger.out_of_order() == []
    assert sum(project.ledger.handled().values()) == 11_000
