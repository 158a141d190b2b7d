"""What becomes of messages that fail, on every kind of queue: they come back, counted and alone, and end somewhere."""

from __future__ import annotations

import pytest
from harness import DISTINCT_KINDS, EVERY_KIND, QueueProject, attributes, identities, letters, orders

pytestmark = pytest.mark.e2e

POISON = ["raise"]
RUNS_MAX = 5


@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_what_a_batch_of_one_group_reports_comes_next_and_counted_until_it_is_dead(kind, queues, nodes, tmp_path):
    queue, dead = queues(kind), queues("embedded FIFO" if "FIFO" in kind else "embedded-queue")
    source = {"VisibilityTimeout": 0}
    project = QueueProject(
        tmp_path / "shop", queue, source=source, dead=dead, receive_count_max=3, BatchSize=4,
        MaximumBatchingWindowInSeconds=1,
    )  # fmt: skip
    plans = {1: ["report", ""], 2: ["report", ""], 3: ["report"]}
    queue.send(orders(4, keys=1, plans=plans))

    nodes.start(project)
    (letter,) = project.wait_letters(1)
    project.wait_empty()

    assert [(run.numbers, run.counts) for run in project.ledger.read()] == [
        ([0, 1, 2, 3], [1, 1, 1, 1]),
        ([1, 2, 3], [2, 2, 2]),
        ([3], [3]),
    ]
    said = attributes(letter)
    assert '"number": 3' in letter["body"]
    assert said["penstock.condition"] == "MaximumReceiveCountExceeded"
    assert said["penstock.receive-count"] == "3"
    assert said["penstock.error-message"].startswith("the function reported ")
    assert said["penstock.mapping"] == project.mapping


@pytest.mark.parametrize("kind", EVERY_KIND)
def test_a_poison_message_is_dead_after_exactly_its_runs_and_the_others_are_done(kind, queues, nodes, tmp_path):
    queue, dead = queues(kind), queues("redis-list" if kind.startswith("redis") else "embedded-queue")
    project = QueueProject(
        tmp_path / "shop", queue, source={"VisibilityTimeout": 0}, dead=dead, receive_count_max=RUNS_MAX, BatchSize=1
    )
    sent = orders(6, keys=2, plans={2: POISON})
    queue.send(sent)

    nodes.start(project)
    (letter,) = project.wait_letters(1)
    project.wait_empty()

    poison = ("key-0", 1)
    assert project.ledger.receive_counts()[poison] == list(range(1, RUNS_MAX + 1))
    assert project.ledger.handled() == {order: 1 for order in identities(sent) if order != poison}
    said = attributes(letter)
    assert said["penstock.receive-count"] == str(RUNS_MAX)
    assert (said["penstock.error-type"], said["penstock.error-message"]) == (
        "PlannedError",
        "the plan of key-0 number 1",
    )
    if queue.is_fifo:
        assert project.ledger.out_of_order(given_up={poison}) == []


@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_what_is_reported_with_a_delay_of_its_own_comes_back_after_that_and_not_after_the_timeout(
    kind, queues, nodes, tmp_path
):
    queue = queues(kind)
    project = QueueProject(
        tmp_path / "shop", queue, source={"VisibilityTimeout": 300}, BatchSize=3, MaximumBatchingWindowInSeconds=1
    )
    # Three groups, so that none waits for another: at once, after a second, and never within the test.
    queue.send(orders(3, keys=3, plans={0: ["report:0", ""], 1: ["report:1", ""], 2: ["report:200", ""]}))

    nodes.start(project)
    project.ledger.wait_for_all([("key-0", 0), ("key-1", 0)])

    first, *later = project.ledger.read()
    ends_s = {order: run.began_s - first.seen_s for run in later for order in run.orders}
    assert first.numbers == [0, 0, 0]
    assert ends_s.keys() == {("key-0", 0), ("key-1", 0)}
    assert ends_s["key-1", 0] >= 1
    assert {job.receive_count for run in later for job in run.jobs} == {2}
    # It goes on being there, whoever holds it.
    figures = project.wait_figures(left=1, what="one is left")
    assert figures.held + figures.returned == 1


@pytest.mark.kafka
@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_dead_letters_go_to_a_kafka_topic_with_their_body_and_their_failure(  # noqa: PLR0917 - fixtures, by name
    kind, queues, kafka, topic, nodes, tmp_path
):
    queue, name = queues(kind), topic()
    dead = {"Type": "kafka", "BootstrapServers": kafka.address, "Topic": name}
    project = QueueProject(
        tmp_path / "shop", queue, source={"VisibilityTimeout": 0}, dead=dead, receive_count_max=2, BatchSize=1
    )
    queue.send(orders(2, keys=2, plans={0: POISON}))

    nodes.start(project)
    project.wait_empty()

    (letter,) = letters(kafka.address, name)
    assert letter.document == {"key": "key-0", "number": 0, "plan": POISON}
    assert letter.headers["penstock.condition"] == b"MaximumReceiveCountExceeded"
    assert letter.headers["penstock.receive-count"] == b"2"
    assert letter.headers["penstock.error-type"] == b"PlannedError"
    assert project.ledger.receive_counts() == {("key-0", 0): [1, 2], ("key-1", 0): [1]}


@pytest.mark.redis
@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("embedded-queue", "redis-list"),
        ("embedded FIFO", "redis-queue FIFO"),
        ("redis-queue FIFO", "embedded FIFO"),
        ("redis-list", "embedded-queue"),
        pytest.param("redis-queue", "rabbitmq quorum", marks=pytest.mark.rabbitmq),
        pytest.param("rabbitmq FIFO", "redis-queue FIFO", marks=pytest.mark.rabbitmq),
    ],
)
def test_dead_letters_go_to_a_queue_of_the_other_plugin_and_can_be_received_there(kind, other, queues, nodes, tmp_path):
    queue, dead = queues(kind), queues(other)
    project = QueueProject(
        tmp_path / "shop", queue, source={"VisibilityTimeout": 0}, dead=dead, receive_count_max=1, BatchSize=1
    )
    queue.send(orders(2, keys=2, plans={0: ["stick"], 1: ["stick"]}))
    nodes.start(project)
    project.wait_empty()
    project.wait_figures(dead, left=2, what="both are dead letters")

    # They are messages like any other: a mapping on that queue is handed them, with their groups where it has groups.
    undertaker = QueueProject(tmp_path / "undertaker", dead)
    undertaker.ledger.release()
    nodes.start(undertaker)
    undertaker.wait_empty()

    jobs = [job for run in undertaker.ledger.read() for job in run.jobs]
    assert sorted(job.order for job in jobs) == [("key-0", 0), ("key-1", 0)]
    assert [job.receive_count for job in jobs] == [1, 1]
    if dead.is_fifo:
        assert all(job.group == job.order[0] for job in jobs)
