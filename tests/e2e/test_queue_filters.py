"""What becomes of messages that no filter matches: deleted, left for others, or sent to the dead letters."""

from __future__ import annotations

import json

import pytest
from harness import KINDS, QueueProject, attributes, orders

from brokers import until

pytestmark = pytest.mark.e2e

PLUGINS = [
    "embedded",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
]
WANTED = {"FilterCriteria": {"Filters": [{"Pattern": json.dumps({"body": {"key": ["key-0"]}})}]}}
COUNT = 10


def shop(folder, queues, plugin, *, on_filtered, dead=None):
    first, *others = made = [
        queues(kind) for kind, found in KINDS.items()
        if kind.startswith(plugin) and not (on_filtered == "keep" and found.is_fifo)
    ]  # fmt: skip
    project = QueueProject(
        folder, first, beside=others, source={"VisibilityTimeout": 1}, dead=dead,
        receive_count_max=3 if dead else None, OnFiltered=on_filtered, **WANTED,
    )  # fmt: skip
    for number, queue in enumerate(made):
        # Every second one is of a key that nothing matches.
        queue.send(orders(COUNT, start=number * COUNT, keys=2))
    return project, made


def handled(project):
    return sorted(number for key, number in project.ledger.handled().elements() if key == "key-0")


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_no_filter_matches_is_deleted(plugin, queues, nodes, tmp_path):
    project, made = shop(tmp_path / "shop", queues, plugin, on_filtered="delete")

    nodes.start(project)
    for queue in made:
        project.wait_empty(queue)

    assert handled(project) == list(range(len(made) * COUNT // 2))
    assert {key for key, _ in project.ledger.handed_out()} == {"key-0"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_no_filter_matches_is_a_dead_letter_where_the_mapping_says_so(plugin, queues, nodes, tmp_path):
    dead = queues("redis-queue" if plugin == "redis" else "embedded-queue")
    project, made = shop(tmp_path / "shop", queues, plugin, on_filtered="dead-letter", dead=dead)

    nodes.start(project)
    for queue in made:
        project.wait_empty(queue)

    found = project.letters()
    assert len(found) == len(made) * COUNT // 2
    assert {attributes(letter)["penstock.condition"] for letter in found} == {"Filtered"}
    assert {json.loads(letter["body"])["key"] for letter in found} == {"key-1"}
    assert handled(project) == list(range(len(made) * COUNT // 2))
    assert {key for key, _ in project.ledger.handed_out()} == {"key-0"}


@pytest.mark.parametrize("plugin", PLUGINS)
def test_what_no_filter_matches_is_left_for_another_receiver_and_is_not_counted(plugin, queues, nodes, tmp_path):
    project, made = shop(tmp_path / "shop", queues, plugin, on_filtered="keep")

    node = nodes.start(project)
    # Received again and again, and never run.
    until(
        lambda: (
            [each for each in node.status()["mappings"] if each["counters"]["filtered"] > COUNT] != []
            and all(each["counters"]["filtered"] > COUNT for each in node.status()["mappings"])
        ),
        what="each was looked at more than twice",
        timeout_seconds=60,
    )
    node.terminate()
    assert node.wait() == 0

    for queue in made:
        project.wait_figures(queue, left=COUNT // 2, what="the others are left")
    assert {key for key, _ in project.ledger.handed_out()} == {"key-0"}
    # Another one has no filter, and it is their first receive.
    other = QueueProject(tmp_path / "other", made[0], beside=made[1:])
    nodes.start(other)
    for queue in made:
        other.wait_empty(queue)
    # (RabbitMQ counts what was given back, and the other one knows no more than that.)
    if plugin != "rabbitmq":
        assert set(map(tuple, other.ledger.receive_counts().values())) == {(1,)}
    assert len(other.ledger.handled()) == len(made) * COUNT // 2
