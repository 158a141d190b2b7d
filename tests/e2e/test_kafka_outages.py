"""Brokers that go away while documents are on their way to them: all arrive, and whatever can go on meanwhile does."""

from __future__ import annotations

from collections import Counter

import pytest
from confluent_kafka import Consumer, TopicPartition
from harness import KafkaProject, identities, lane_of, letters, offsets, orders, wait_settled

from brokers import create_topic, produce, until

pytestmark = [pytest.mark.e2e, pytest.mark.kafka]

QUICK = {"InitialMs": 50, "MaximumMs": 500}


def test_a_broker_killed_in_the_middle_of_a_delivery_gets_every_document_when_it_is_back(
    private_kafka, nodes, tmp_path
):
    kafka, count = private_kafka(), 10_000
    for name in ("orders", "dead"):
        create_topic(kafka.address, name)
    # One record spoils a batch, and all of it is given up: ten thousand documents, which are sent some at a time.
    poisoned, healthy = orders(count, keys=10, plans={5: ["raise"]}), orders(500, start=count, keys=10)
    produce(kafka.address, "orders", [*poisoned, *healthy])
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        "orders",
        BatchSize=count,
        MaximumBatchingWindowInMilliseconds=5000,
        MaximumRetryAttempts=0,
        RetryBackoff=QUICK,
        DestinationConfig={"OnFailure": {"Destination": "kafka://dead"}},
    )
    node = nodes.start(project)
    arrived = _wait_for_some(kafka.address, "dead")

    kafka.kill()
    assert arrived < count
    node.wait_log("records not delivered", records=count)
    kafka.start()
    kafka.wait_ready()
    project.ledger.wait_for_all(identities(healthy))
    wait_settled(kafka.address, project)

    told = Counter(letter.offset for letter in letters(kafka.address, "dead"))
    assert sorted(told) == list(range(count))
    # What the broker had, and could not say so before it died or while it began again, is there once for each try.
    assert max(told.values()) <= len(node.log("records not delivered")) + 1
    handed_out = project.ledger.handed_out()
    assert handed_out.keys() == identities([*poisoned, *healthy]).keys()
    # A broker that comes back may deal its partitions out anew, and what was not committed is begun again.
    assert max(handed_out.values()) <= len(node.log("reading", shard="orders-0"))
    assert [line["records"] for line in node.log("records delivered")] == [count]
    node.terminate()
    assert node.wait() == 0


def test_a_lane_waits_for_its_destination_and_says_so_while_the_other_lanes_go_on(
    kafka, topic, private_kafka, nodes, tmp_path
):
    name, other = topic(), private_kafka()
    create_topic(other.address, "dead")
    project = KafkaProject(
        tmp_path / "shop",
        kafka.address,
        name,
        BatchSize=10,
        ParallelizationFactor=4,
        BisectBatchOnFunctionError=True,
        MaximumRetryAttempts=1,
        RetryBackoff=QUICK,
        DestinationConfig={"OnFailure": {"Destination": "letters"}},
    )
    letter_box = {"Type": "kafka", "BootstrapServers": other.address, "Topic": "dead"}
    project.extend(Sources={"letters": letter_box})
    first, rest = orders(20, keys=10), orders(380, start=20, keys=10, plans={73: ["raise"]})
    produce(kafka.address, name, first)
    node = nodes.start(project)
    wait_settled(kafka.address, project)

    other.stop()
    produce(kafka.address, name, rest)

    waiting = until(lambda: _waiting_lane(node), what="a lane waits for the destination", timeout_seconds=30)
    key, poisoned = rest[53].key.decode(), identities(rest[53:54])
    lane = waiting["lane"]
    assert (waiting["delivering"]["first"], waiting["delivering"]["records"]) == ("73", 1)
    assert "no broker answers" in waiting["delivering"]["last_error"]
    assert node.mapping()["delivering"] == 1
    others = [each for each in rest if lane_of(each.key.decode(), 4) != lane]
    project.ledger.wait_for_all(identities(others))
    stuck = [number for its_key, number in project.ledger.handled() if its_key == key]
    assert max(stuck) == 6
    assert offsets(kafka.address, project)[0] <= 73

    other.start()
    other.wait_ready()
    wait_settled(kafka.address, project)
    assert {letter.offset for letter in letters(other.address, "dead")} == {73}
    assert project.ledger.handled() == identities([*first, *rest]) - poisoned
    assert project.ledger.out_of_order_by_key(given_up=poisoned) == []
    node.terminate()
    assert node.wait() == 0


def _wait_for_some(address: str, topic: str) -> int:
    """Wait for the first records on a topic, and tell how many there are by then."""
    consumer = Consumer({"bootstrap.servers": address, "group.id": "reading-only"})
    try:
        return until(
            lambda: int(consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)[1]),
            what=f"something is on {topic}",
            every_seconds=0.001,
        )
    finally:
        consumer.close()


def _waiting_lane(node):
    (shard,) = node.mapping()["shards"]
    lanes = [lane for lane in shard["lanes"] if lane["delivering"] and lane["delivering"]["last_error"]]
    return lanes[0] if lanes else None
