"""Several nodes on one topic: partitions move, and one node at a time runs each."""

from __future__ import annotations

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from harness import KafkaProject, Node, Order, identities, offsets, orders, wait_settled

from brokers import Produced, committed_offsets, produce, until
from brokers.clients import admin

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

LOG = logging.getLogger("tests.e2e")

SESSION_S = 6
"""The shortest session that a broker allows by default."""

PER_TURN = 24


class Flow:
    """Puts records on a topic, again and again, until it is told to stop."""

    def __init__(self, address: str, topic: str) -> None:
        self.sent: list[Produced] = []
        self._address, self._topic = address, topic
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    @property
    def expected(self) -> Counter[Order]:
        return identities(self.sent)

    def _run(self) -> None:
        while not self._stop.wait(0.1):
            records = orders(PER_TURN, start=len(self.sent))
            produce(self._address, self._topic, records)
            self.sent += records

    @contextmanager
    def __call__(self) -> Iterator[None]:
        self._thread.start()
        try:
            yield
        finally:
            self._stop.set()
            self._thread.join()


def test_partitions_move_between_nodes_and_no_two_run_one_at_a_time(kafka, topic, nodes, tmp_path):
    name = topic(partitions=4)
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=20, work_seconds=0.1, SessionTimeoutSeconds=SESSION_S
    )
    ledger = project.ledger
    flow = Flow(kafka.address, name)
    with flow():
        left = nodes.start(project, name="left")
        left.wait_shards(4)
        ledger.wait_for(lambda found: len(found) >= 10, what="ten invocations")

        # One is added.
        right = nodes.start(project, name="right")
        _wait_shared(left, right)
        _wait_working(ledger, left, right)

        # One is killed, and the other has everything once the session is over.
        right.kill()
        left.wait_shards(4, timeout_seconds=SESSION_S + 15)
        _wait_working(ledger, left)

        # It comes again, is killed again and restarted at once.
        right = nodes.restart(right)
        _wait_shared(left, right)
        _wait_working(ledger, left, right)
        before = right.shards()
        right.kill()
        right = nodes.restart(right)
        right.wait_shards(2)
        assert right.shards() == before
        _wait_working(ledger, left, right)
    back_s = _seconds_until_reading(right)
    LOG.info("a killed node that was restarted at once read its partitions after %.2f s", back_s)

    ledger.wait_for_all(flow.expected)
    wait_settled(kafka.address, project)
    for node in (left, right):
        node.terminate()
    assert [node.wait() for node in (left, right)] == [0, 0]

    assert ledger.missing(flow.expected) == []
    assert ledger.handed_out().keys() == flow.expected.keys()
    assert ledger.overlapping() == []
    assert ledger.out_of_order() == []
    assert ledger.out_of_order_by_key() == []
    # Two kills: what was with the function and what had finished before its commit was answered, in two shards each.
    assert ledger.repeats() <= 2 * 2 * 3 * 20
    # About a second is wanted; without its static id it would wait for the session to end.
    assert back_s < 4


@pytest.mark.parametrize("frozen", ["the node alone", "its function too"])
def test_a_node_frozen_past_its_session_and_woken_changes_nothing(kafka, topic, nodes, tmp_path, frozen):
    name = topic()
    records = orders(60, plans={14: ["hold", "return"]})
    produce(kafka.address, name, records[:40])
    project = KafkaProject(
        tmp_path / "shop", kafka.address, name, BatchSize=10, SessionTimeoutSeconds=SESSION_S, function={"Timeout": 120}
    )
    ledger = project.ledger
    stopped = nodes.start(project, name="stopped")
    ledger.wait_for(lambda found: len(found) == 2, what="the second batch is with the function")
    owner = nodes.start(project, name="owner")
    until(lambda: _members(kafka.address, project.group) == 2, what="the other node has joined")

    is_function_frozen = frozen == "its function too"
    stopped.freeze(everything=is_function_frozen)
    owner.wait_log("reading", shard=f"{name}-0", timeout_seconds=SESSION_S + 20)
    ledger.wait_for_all(identities(records[:40]))
    wait_settled(kafka.address, project)
    settled = committed_offsets(kafka.address, project.group, name)
    assert settled[0][0] == 40
    handed_out = ledger.handed_out()

    # The result that the sleeper never heard of is there before it wakes, or comes as it wakes.
    ledger.release()
    if not is_function_frozen:
        ledger.wait_for(lambda found: found[1].has_returned, what="the held invocation returned")
    stopped.thaw()
    until(lambda: not stopped.shards(), what="the woken node knows that the shard is not its own")

    assert committed_offsets(kafka.address, project.group, name) == settled
    produce(kafka.address, name, records[40:])
    ledger.wait_for_all(identities(records))
    wait_settled(kafka.address, project)
    assert offsets(kafka.address, project) == {0: 60}
    # It has more records in its buffers, and none of them reached its function: what it had begun before it was frozen
    # is all that may run beside the new owner.
    assert ledger.handed_out() - handed_out == identities(records[40:])
    begun = {node.name: [each.first for each in ledger.read() if each.node == node.name] for node in (stopped, owner)}
    assert begun == {stopped.name: [0, 10], owner.name: [10, 20, 30, *begun[owner.name][3:]]}
    assert stopped.log("batch failed") == owner.log("batch failed") == []


def test_a_node_for_which_no_partition_is_left_is_ready_and_ends_when_it_is_idle(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(10)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    nodes.start(project, name="reader")
    wait_settled(kafka.address, project)

    spare = nodes.start(project, "--until-idle=1", name="spare")

    until(lambda: spare.mapping()["state"] == "Enabled", what="it is enabled, with nothing to read")
    assert spare.wait(timeout_seconds=20) == 0
    assert spare.log("reading") == []
    assert project.ledger.handed_out() == identities(records)


def _members(address: str, group: str) -> int:
    # Held until it has answered.
    client = admin(address)
    return len(client.describe_consumer_groups([group])[group].result(timeout=10).members)


def _wait_shared(left: Node, right: Node) -> None:
    until(
        lambda: len(left.shards()) == len(right.shards()) == 2 and not left.shards() & right.shards(),
        what="the two nodes share the partitions",
    )


def _wait_working(ledger, *nodes: Node) -> None:
    """Wait until each node has handled something from here on."""
    seen = len(ledger.read())
    wanted = {node.name for node in nodes}
    ledger.wait_for(
        lambda found: wanted <= {each.node for each in found[seen:] if each.has_returned}, what=f"{wanted} work"
    )


def _seconds_until_reading(node: Node) -> float:
    """Tell from the log how long after its start a node had the last of its partitions."""
    started = node.log("node started")[0]["timestamp"]
    reading = node.log("reading")[-1]["timestamp"]
    return (datetime.fromisoformat(reading) - datetime.fromisoformat(started)).total_seconds()
