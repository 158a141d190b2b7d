"""How many invocations there are at once, and that nothing is received for which there is no room."""

from __future__ import annotations

import pytest
from harness import DISTINCT_KINDS, KINDS, QueueProject, identities, orders

from brokers import until

pytestmark = pytest.mark.e2e

PLUGINS = [
    "embedded",
    pytest.param("redis", marks=pytest.mark.redis),
    pytest.param("rabbitmq", marks=pytest.mark.rabbitmq),
]
MOST, BATCH, MESSAGES = 3, 10, 2_000
LOOKS = 40


@pytest.mark.parametrize("kind", DISTINCT_KINDS)
def test_never_more_run_at_once_than_are_allowed_and_nothing_is_received_for_which_there_is_no_room(
    kind, queues, nodes, tmp_path
):
    queue = queues(kind)
    project = QueueProject(
        tmp_path / "shop",
        queue,
        source={"VisibilityTimeout": 1},
        ScalingConfig={"MaximumConcurrency": MOST},
        BatchSize=BATCH,
        work_seconds=0.005,
    )
    sent = orders(MESSAGES, keys=200, plans={place: ["hold"] for place in range(5 * BATCH)})
    queue.send(sent)

    node = nodes.start(project, "--log-level", "info")
    project.ledger.wait_for(lambda runs: len(runs) == MOST, what="as many run as may")
    # Longer than a lease and however often one looks: what runs, and one batch ahead of it (D20).
    figures = [queue.figures() for _ in range(LOOKS) if node.status()]
    # Who has what a broker sent ahead says nothing: what is asked for is in the status then.
    if not queue.sends_ahead:
        assert max(each.held + each.returned for each in figures) <= (MOST + 1) * BATCH
    assert node.mapping()["queue"]["concurrency"] == MOST
    assert len(project.ledger.read()) == MOST
    project.ledger.release()
    project.wait_empty(timeout_seconds=120)

    assert project.ledger.most_at_once() == MOST
    assert project.ledger.handled() == identities(sent)
    # Waiting is no receive.
    assert set(map(tuple, project.ledger.receive_counts().values())) == {(1,)}


@pytest.mark.parametrize("kind", ["embedded FIFO", pytest.param("redis-queue", marks=pytest.mark.redis)])
def test_the_2023_policy_begins_with_five_at_once_however_much_there_is(kind, queues, nodes, tmp_path):
    queue = queues(kind)
    project = QueueProject(tmp_path / "shop", queue, ScalingConfig={"Policy": "lambda-2023"}, BatchSize=1)
    sent = orders(30, keys=30, plans={place: ["hold"] for place in range(30)})
    queue.send(sent)

    node = nodes.start(project)
    project.ledger.wait_for(lambda runs: len(runs) >= 5, what="five run")
    status = node.mapping()
    assert (status["queue"]["concurrency"], len(status["queue"]["in_flight"]), status["in_flight"]) == (5, 5, 5)
    project.ledger.release()
    project.wait_empty()

    assert project.ledger.most_at_once() == 5
    assert project.ledger.handled() == identities(sent)


@pytest.mark.parametrize("plugin", PLUGINS)
def test_one_busy_mapping_and_nine_quiet_ones_share_a_function_and_none_starves(plugin, queues, nodes, tmp_path):
    kinds = [kind for kind in KINDS if kind.startswith(plugin)]
    busy, *quiet = made = [queues(kinds[number % len(kinds)]) for number in range(10)]
    project = QueueProject(
        tmp_path / "shop",
        busy,
        beside=quiet,
        function={"ReservedConcurrentExecutions": 2},
        work_seconds=0.02,
        BatchSize=1,
    )
    count, few = 300, 3
    busy_orders = orders(count, keys=50)
    busy.send(busy_orders)
    node = nodes.start(project, "--log-level", "info")
    until(lambda: len(node.status()["mappings"]) == len(made), what="the node has its mappings")
    project.ledger.wait_for(lambda runs: len(runs) >= 20, what="the busy one is busy")

    quiet_orders = [orders(few, start=1_000 + few * number, keys=1) for number in range(len(quiet))]
    for queue, messages in zip(quiet, quiet_orders, strict=True):
        queue.send(messages)
    for queue in made:
        project.wait_empty(queue, timeout_seconds=120)

    runs = project.ledger.read()
    sources = [run.source for run in runs]
    last_quiet = max(place for place, source in enumerate(sources) if source != "jobs")
    # All that the quiet ones had was done while the busy one still had work: it went on meanwhile, and after them.
    assert sources[last_quiet:].count("jobs") > 0
    assert {source: sources.count(source) for source in set(sources) - {"jobs"}} == {
        f"jobs-{number}": few for number in range(1, 10)
    }
    expected = sum((identities(messages) for messages in (busy_orders, *quiet_orders)), start=identities([]))
    assert project.ledger.handled() == expected
    assert project.ledger.most_at_once() <= 2
