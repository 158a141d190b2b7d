"""Leases: a message is its node's for as long as the node lives, and no longer."""

from __future__ import annotations

import logging

import pytest
from harness import KINDS, QueueProject, orders

pytestmark = pytest.mark.e2e

LOG = logging.getLogger("tests.e2e")

PLUGINS = [
    "embedded",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
]
TIMEOUT_S = 1


def kinds_of(plugin):
    return [kind for kind in KINDS if kind.startswith(plugin)]


def send_one_to_each(queues, *, plan):
    for number, queue in enumerate(queues):
        queue.send(orders(1, start=number, keys=1, plans={number: plan}))


@pytest.mark.parametrize("plugin", PLUGINS)
def test_a_function_that_takes_ten_times_the_visibility_timeout_has_its_message_for_all_of_it(
    plugin, queues, nodes, tmp_path
):
    first, *others = made = [queues(kind) for kind in kinds_of(plugin)]
    project = QueueProject(tmp_path / "shop", first, beside=others, source={"VisibilityTimeout": TIMEOUT_S})
    send_one_to_each(made, plan=[f"sleep:{10 * TIMEOUT_S}"])

    node = nodes.start(project)
    for queue in made:
        project.wait_empty(queue)

    (warning,) = {line["event"].partition(".VisibilityTimeout: ")[2] for line in node.log(level="warning")} - {""}
    assert warning.startswith("is shorter than the Timeout of the function 'keeper'")
    runs = project.ledger.read()
    assert sorted(run.source for run in runs) == sorted({run.source for run in runs})
    assert len(runs) == len(made)
    assert [run.counts for run in runs] == [[1]] * len(made)
    assert {run.outcome for run in runs} == {"returned"}
    assert all(run.seen_s - run.began_s >= 10 * TIMEOUT_S for run in runs)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_a_killed_node_held_is_delivered_again_once_its_lease_is_over_and_counted(plugin, queues, nodes, tmp_path):
    first, *others = made = [queues(kind) for kind in kinds_of(plugin)]
    project = QueueProject(
        tmp_path / "shop", first, beside=others, source={"VisibilityTimeout": TIMEOUT_S}, BatchSize=1
    )
    send_one_to_each(made, plan=["hold", ""])
    node = nodes.start(project)
    runs = project.ledger.wait_for(lambda runs: len(runs) == len(made), what="all run")

    # The other one is ready and waits: what is measured is the lease, and not a start.
    other = nodes.start(project, name="other")
    other.wait_log("node started")
    node.kill()
    for queue in made:
        project.wait_empty(queue)

    killed = {run.source: run for run in runs}
    again = {run.source: run for run in project.ledger.read() if run.node == other.name}
    assert {source: run.counts for source, run in again.items()} == {source: [2] for source in killed}
    assert all(run.outcome == "" for run in killed.values())
    waits_s = [again[source].began_s - run.seen_s for source, run in killed.items()]
    LOG.info("%s: delivered again %s s after the kill, with a timeout of %d s", plugin, sorted(waits_s), TIMEOUT_S)


# What is said of the settings is no broker's matter.
@pytest.mark.parametrize("plugin", PLUGINS[:2])
def test_a_visibility_timeout_that_is_not_set_follows_the_function_and_one_that_is_too_short_is_warned_of(
    plugin, queues, nodes, tmp_path
):
    first, *others = [queues(kind) for kind in kinds_of(plugin)]
    function = {"Timeout": 60}
    quiet = QueueProject(tmp_path / "quiet", first, beside=others, function=function)
    warned = QueueProject(
        tmp_path / "warned", first, beside=others, function=function, source={"VisibilityTimeout": 30}
    )

    for project, warnings in ((quiet, 0), (warned, 1 + len(others))):
        project.queue.send(orders(1))
        node = nodes.start(project)
        project.wait_empty()
        said = [line for line in node.log(level="warning") if "VisibilityTimeout" in line["event"]]
        assert len(said) == warnings, said
        node.terminate()
        assert node.wait() == 0
