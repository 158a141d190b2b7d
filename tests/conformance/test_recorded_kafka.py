"""What AWS was recorded to do with streams, on a real Kafka with the layout `kinesis`: real nodes, real functions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest
from harness.node import Nodes

from conformance.recordings.comparison import Comparison
from conformance.recordings.run import Run
from conformance.recordings.streams import KafkaStreams

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


@pytest.fixture(scope="module")
def run(kafka, streamed_cases, tmp_path_factory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("recorded")
    with closing(KafkaStreams(kafka.address)) as streams, Nodes(folder) as nodes:
        run = Run(streamed_cases, streams, nodes, folder / "project")
        run.run()
        yield run


def test_a_stream_does_as_recorded(run, streamed_case):
    Comparison(streamed_case, run.outcome(streamed_case)).hold()


def test_the_node_ended_well_and_another_run_of_it_found_nothing_left(run):
    assert run.exit_codes == [0, 0]
