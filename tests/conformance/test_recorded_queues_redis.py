"""What AWS was recorded to do with queues, on a real Redis, streams and lists: real nodes and real functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from harness.node import Nodes

from conformance.recordings.queue_comparison import QueueComparison
from conformance.recordings.queue_run import QueueRun
from conformance.recordings.queue_setup import setup_of
from conformance.recordings.queues import RedisLists, RedisStreamQueues

pytestmark = [pytest.mark.e2e, pytest.mark.redis]


@pytest.fixture(scope="module")
def streams_run(redis, queued_cases, tmp_path_factory) -> Iterator[QueueRun]:
    folder = tmp_path_factory.mktemp("recorded")
    with closing(RedisStreamQueues(redis.url)) as queues, Nodes(folder) as nodes:
        run = QueueRun(queued_cases, queues, nodes, folder / "project")
        run.run()
        yield run


@pytest.fixture(scope="module")
def lists_run(redis, queued_cases, tmp_path_factory) -> Iterator[QueueRun]:
    folder = tmp_path_factory.mktemp("recorded")
    with closing(RedisLists(redis.url)) as queues, Nodes(folder) as nodes:
        run = QueueRun(queued_cases, queues, nodes, folder / "project")
        run.run()
        yield run


def test_a_queue_on_a_stream_does_as_recorded(streams_run, queued_case):
    QueueComparison(queued_case, streams_run.outcome(queued_case), gives_back=streams_run.gives_back).hold()


def test_a_list_does_as_recorded_or_refuses_what_needs_groups(lists_run, queued_case):
    if setup_of(queued_case).is_fifo:
        assert "FifoQueue: a source of type redis-list has no message groups" in lists_run.problems[queued_case.id]
    else:
        QueueComparison(queued_case, lists_run.outcome(queued_case), gives_back=lists_run.gives_back).hold()


def test_the_nodes_ended_well_and_another_run_of_each_found_nothing_left(streams_run, lists_run):
    assert streams_run.exit_codes == lists_run.exit_codes == [0, 0]
