"""What reaches a function from a topic: every record, in order, once where nothing breaks."""

from __future__ import annotations

import pytest
from confluent_kafka import Producer
from harness import KafkaProject, identities, offsets, orders

from brokers import produce

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]


def test_every_record_of_a_hundred_thousand_is_handled_once_and_in_order_and_none_again(kafka, topic, nodes, tmp_path):
    name = topic(partitions=4)
    records = orders(100_000, keys=200)
    produce(kafka.address, name, records)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=1000)
    ledger = project.ledger

    node = nodes.run(project, "--until-idle=3")

    assert ledger.handed_out() == identities(records)
    assert ledger.missing(identities(records)) == []
    assert ledger.out_of_order() == []
    assert ledger.out_of_order_by_key() == []
    assert ledger.overlapping() == []
    assert {shard.rpartition("-")[2] for shard in ledger.by_shard()} == {"0", "1", "2", "3"}

    invocations = len(ledger.read())

    assert nodes.restart(node, "--until-idle=1").wait() == 0

    assert len(ledger.read()) == invocations


def test_two_projects_with_the_same_names_on_one_topic_each_see_every_record(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    records = orders(2000)
    produce(kafka.address, name, records)
    projects = [KafkaProject(tmp_path / folder, kafka.address, name, BatchSize=500) for folder in ("left", "right")]
    assert projects[0].mapping == projects[1].mapping

    running = [nodes.start(project, "--until-idle=1") for project in projects]

    assert [node.wait() for node in running] == [0, 0]
    for project in projects:
        assert project.ledger.handed_out() == identities(records)
        assert sum(offsets(kafka.address, project).values()) == len(records)


def test_a_topic_written_in_transactions_ends_with_exactly_what_was_committed(kafka, topic, nodes, tmp_path):
    name = topic(partitions=2)
    producer = Producer({"bootstrap.servers": kafka.address, "transactional.id": f"{name}-writer"})
    producer.init_transactions(30)
    committed = []
    # It ends with an aborted transaction, so that the last offsets of each partition hold no record at all.
    for turn in range(10):
        records = orders(40, start=40 * turn, keys=4, partitions=2)
        producer.begin_transaction()
        for record in records:
            producer.produce(name, partition=record.partition, value=record.value, key=record.key)
        producer.flush(30)
        if turn % 3:
            producer.commit_transaction(30)
            committed += records
        else:
            producer.abort_transaction(30)
    project = KafkaProject(tmp_path / "shop", kafka.address, name, BatchSize=100)

    node = nodes.run(project, "--until-idle=1", "--timeout", "40")

    assert project.ledger.handed_out() == identities(committed)
    assert project.ledger.out_of_order() == []
    assert node.messages() == ""
    # What holds no records is behind us all the same: 20 records and a marker per partition and transaction.
    assert offsets(kafka.address, project) == {0: 210, 1: 210}
