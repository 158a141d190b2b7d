"""What AWS was recorded to do with queues, on the embedded queue: real nodes and real functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.node import Nodes

from conformance.recordings.queue_comparison import QueueComparison
from conformance.recordings.queue_run import QueueRun
from conformance.recordings.queues import EmbeddedQueues

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def run(queued_cases, tmp_path_factory) -> Iterator[QueueRun]:
    folder = tmp_path_factory.mktemp("recorded")
    with Nodes(folder) as nodes:
        run = QueueRun(queued_cases, EmbeddedQueues(folder), nodes, folder / "project")
        run.run()
        yield run


def test_a_queue_does_as_recorded(run, queued_case):
    QueueComparison(queued_case, run.outcome(queued_case), gives_back=run.gives_back).hold()


def test_the_node_ended_well_and_another_run_of_it_found_nothing_left(run):
    assert run.exit_codes == [0, 0]
