"""What AWS was recorded to do with queues, on a real RabbitMQ with the layout `sqs`: real nodes, real functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from harness.node import Nodes

from conformance.recordings.queue_comparison import QueueComparison
from conformance.recordings.queue_run import QueueRun
from conformance.recordings.rabbit_queues import RabbitQueues

pytestmark = [pytest.mark.e2e, pytest.mark.rabbitmq]


@pytest.fixture(scope="module")
def run(queued_cases, rabbitmq, tmp_path_factory) -> Iterator[QueueRun]:
    folder = tmp_path_factory.mktemp("recorded")
    with closing(RabbitQueues(rabbitmq.url)) as queues, Nodes(folder) as nodes:
        run = QueueRun(queued_cases, queues, nodes, folder / "project")
        run.run()
        yield run


def test_a_queue_does_as_recorded(run, queued_case):
    QueueComparison(queued_case, run.outcome(queued_case), gives_back=run.gives_back).hold()


def test_the_node_ended_well_and_another_run_of_it_found_nothing_left(run):
    assert run.exit_codes == [0, 0]
