"""Two nodes on one FIFO queue: whatever happens to one of them, the order of each group holds."""

from __future__ import annotations

from itertools import cycle, pairwise

import pytest
from harness import FIFO_KINDS, KINDS, LAPSING_FIFO_KINDS, Node, Nodes, Queue, QueueProject, Run, identities, orders

from brokers import until

pytestmark = pytest.mark.e2e

TIMES, GROUPS, MESSAGES, ENVIRONMENTS = 10, 5, 60, 2
"""How often something happens to a node of each kind, and what is sent meanwhile each time."""


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_the_order_of_each_group_survives_what_happens_to_the_node_that_has_it(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    project = QueueProject(
        tmp_path / "shop",
        queue,
        function={"ReservedConcurrentExecutions": ENVIRONMENTS},
        source={"VisibilityTimeout": 1},
        BatchSize=5,
        work_seconds=0.02,
    )
    pair = {node.name: node for node in (nodes.start(project, name=name) for name in ("a", "b"))}
    expected = identities([])
    # A connection that stands still is open until heartbeats were missed, for half a minute and more.
    ends = (kill, freeze, drain) if KINDS[kind].lapses else (kill, drain)
    for number, happens in zip(range(TIMES), cycle(ends), strict=False):
        sent = orders(MESSAGES, start=number * MESSAGES, keys=GROUPS)
        expected += identities(sent)
        began = len(project.ledger.read())
        queue.send(sent)
        runs = project.ledger.wait_for(lambda runs, began=began: at_work(runs[began:]) != "", what="a node is at work")
        owner = pair.pop(at_work(runs[began:]))
        # The other one does all that is left, with nothing heard of this one.
        after = happens(owner, queue)
        project.ledger.wait_for_all(expected)
        again = after(nodes)
        pair[again.name] = again
    project.wait_empty()

    assert project.ledger.out_of_order() == []
    assert project.ledger.missing(expected) == []
    assert {run.node for run in project.ledger.read()} > {"shop-a-1", "shop-b-1"}
    if not kind.startswith("embedded"):
        assert two_at_once(project.ledger.read()) == []


@pytest.mark.parametrize("kind", FIFO_KINDS)
def test_a_group_that_waits_for_its_retry_is_in_order_with_the_next_node_too(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 5}, BatchSize=10)
    queue.send(orders(4, keys=1, plans={0: ["report", ""]}))
    first = nodes.start(project)
    project.ledger.wait_for(lambda runs: bool(runs) and runs[-1].outcome == "reported", what="the first one failed")
    until(lambda: first.mapping()["queue"]["held"], what="the others wait behind it")

    # It gives back what it holds; the failed one is not due yet.
    first.terminate()
    assert first.wait() == 0
    nodes.restart(first)
    project.wait_empty()

    assert project.ledger.out_of_order() == []
    *_, last = project.ledger.read()
    assert project.ledger.receive_counts()["key-0", 0] == [1, 2]
    assert last.numbers[-1] == 3


@pytest.mark.parametrize("kind", LAPSING_FIFO_KINDS)
def test_a_node_that_stood_still_while_an_environment_started_does_not_run_what_is_anothers_by_now(
    kind, queues, nodes, tmp_path
):
    queue = queues(kind)
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 1}, is_gated=True)
    first = nodes.start(project, name="first")
    queue.send(orders(1, keys=1))
    until(lambda: first.mapping()["queue"]["in_flight"], what="an environment starts for it")
    freeze(first, queue)
    project.open_gate()
    nodes.start(project, name="other")
    project.ledger.wait_for_all([("key-0", 0)])
    first.thaw()
    until(lambda: first.mapping()["queue"]["in_flight"] == [], what="the first one lets go of it")
    project.wait_empty()

    assert project.ledger.handed_out() == {("key-0", 0): 1}


def at_work(runs: list[Run]) -> str:
    """Name the node that runs something in all of its environments by now; empty where neither does."""
    pids: dict[str, set[int]] = {}
    for run in runs:
        pids.setdefault(run.node, set()).add(run.pid)
    return max((name for name in pids if len(pids[name]) == ENVIRONMENTS), default="")


def kill(node: Node, _: Queue):
    node.kill()
    return lambda nodes: nodes.restart(node)


def drain(node: Node, _: Queue):
    node.terminate()
    assert node.wait() == 0
    return lambda nodes: nodes.restart(node)


def freeze(node: Node, queue: Queue):
    """Stop a node, but not in the moment of a write to a file, with which it keeps all others out (as documented)."""
    node.freeze()
    while queue.is_stuck():
        node.thaw()
        node.freeze()

    def thaw(_: Nodes) -> Node:
        node.thaw()
        return node

    return thaw


def two_at_once(runs: list[Run]) -> list[str]:
    """List runs of different nodes at the same time."""
    return [
        f"{after} began while this one ran: {before}"
        for before, after in pairwise(runs)
        if before.node != after.node and after.began_s < before.seen_s
    ]
