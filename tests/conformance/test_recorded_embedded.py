"""What AWS was recorded to do with streams, on the embedded stream: real nodes and real functions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from harness.node import Nodes

from conformance.recordings.comparison import Comparison
from conformance.recordings.run import Run
from conformance.recordings.streams import EmbeddedStreams

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def run(streamed_cases, tmp_path_factory) -> Iterator[Run]:
    folder = tmp_path_factory.mktemp("recorded")
    with Nodes(folder) as nodes:
        run = Run(streamed_cases, EmbeddedStreams(folder), nodes, folder / "project")
        run.run()
        yield run


def test_a_stream_does_as_recorded(run, streamed_case):
    Comparison(streamed_case, run.outcome(streamed_case)).hold()


def test_the_node_ended_well_and_another_run_of_it_found_nothing_left(run):
    assert run.exit_codes == [0, 0]
