"""How a node ends: asked to, idle, or because it must; and what it leaves for the next start."""

from __future__ import annotations

import time

import pytest
from harness import KafkaProject, identities, offsets, orders
from local_brokers.process import pick_ports

from brokers import produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


def test_a_node_told_to_end_during_a_long_invocation_ends_in_time_and_spends_no_attempt(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(10, plans={4: ["sleep:60", "return"]})
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, MaximumRetryAttempts=0, function={"Timeout": 120})
    node = nodes.start(project, "--drain-timeout", "5")
    project.ledger.wait_for(lambda found: len(found) == 1, what="the batch is with the function")

    told_s = time.monotonic()
    node.terminate()

    assert node.wait() == 0
    took_s = time.monotonic() - told_s
    assert 4.9 < took_s < 7
    assert offsets(kafka.address, project) == {0: 0}
    again = nodes.restart(node, "--until-idle=1")
    assert again.wait() == 0
    assert [(each.node, each.outcome) for each in project.ledger.read()] == [(node.name, ""), (again.name, "returned")]
    assert [line["attempt"] for line in again.log("batch succeeded")] == [1]
    assert project.ledger.overlapping() == []


def test_a_node_told_to_end_during_a_short_invocation_lets_it_finish_and_commits_it(kafka, topic, nodes, tmp_path):
    name = topic()
    records = orders(20, plans={4: ["sleep:1.5"]})
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=10)
    node = nodes.start(project)
    project.ledger.wait_for(lambda found: len(found) == 1, what="the batch is with the function")

    node.terminate()

    assert node.wait(timeout_seconds=10) == 0
    assert [each.outcome for each in project.ledger.read()] == ["returned"]
    assert offsets(kafka.address, project) == {0: 10}
    again = nodes.restart(node, "--until-idle=1")
    assert again.wait() == 0
    assert project.ledger.handed_out() == identities(records)


def test_until_idle_ends_with_3_when_the_broker_is_down(nodes, tmp_path):
    (port,) = pick_ports(0)
    project = KafkaProject(tmp_path / "shop", f"127.0.0.1:{port}", "orders")

    node = nodes.start(project, "--until-idle=1")

    assert node.wait(timeout_seconds=30) == 3
    assert project.mapping in node.messages()
    assert f"127.0.0.1:{port}" in node.messages()
    assert "Traceback" not in node.stderr()


def test_until_idle_ends_with_1_and_names_the_shard_that_a_poisoned_record_blocks(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(20, keys=2, partitions=2, plans={5: ["raise"]})
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, MaximumRetryAttempts=-1)

    node = nodes.start(project, "--until-idle=1", "--timeout", "4")

    assert node.wait(timeout_seconds=30) == 1
    assert f"mapping '{project.mapping}', shard {name}-1: " in node.messages()
    assert "PlannedError" in node.messages()
    assert f"{name}-0" not in node.messages()
    handled = [record for record in records if record.partition == 0]
    assert set(identities(handled)) <= set(project.ledger.handed_out())
    assert project.ledger.missing(identities(handled)) == []


def test_a_node_that_starts_where_its_topic_ends_knows_that_nothing_waits(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(20, keys=2, partitions=2)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name)
    node = nodes.run(project, "--until-idle=1")

    again = nodes.restart(node, "--log-level", "debug")

    until(lambda: again.mapping()["lag"] == 0, what="its lag is known to be 0")
    assert {shard["shard"]: shard["lag"] for shard in again.mapping()["shards"]} == {f"{name}-0": 0, f"{name}-1": 0}
    again.terminate()
    assert again.wait() == 0
