"""Where a mapping begins: at the end means at the end that was there when it said that it runs."""

from __future__ import annotations

import pytest
from harness import KafkaProject, identities, offsets, orders, wait_settled

from brokers import produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


def test_nothing_written_after_a_mapping_said_that_it_is_enabled_is_missed_even_by_a_node_killed_then(
    kafka, topic, nodes, tmp_path
):
    name = topic(partitions=3)
    before, after = orders(60, keys=6, partitions=3), orders(60, start=60, keys=6, partitions=3)
    produce(kafka.address, name, before)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, StartingPosition="LATEST")
    first = nodes.start(project)
    until(lambda: first.mapping()["state"] == "Enabled", what="it says that it is enabled", every_seconds=0.01)

    # It has read nothing so far, and whoever comes after it is told to begin at the end too.
    first.kill()
    produce(kafka.address, name, after)
    second = nodes.restart(first)
    wait_settled(kafka.address, project)
    second.terminate()

    assert second.wait() == 0
    assert project.ledger.handled() == identities(after)
    assert offsets(kafka.address, project) == dict.fromkeys(range(3), 40)
