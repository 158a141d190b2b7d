from __future__ import annotations

import socket

import pytest
from confluent_kafka import Consumer, TopicPartition

from brokers import Produced, create_topic, produce, topic_names

pytestmark = pytest.mark.kafka


def _values(address: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": address, "group.id": "none", "enable.partition.eof": True})
    consumer.assign([TopicPartition(topic, 0, 0)])
    values = []
    try:
        while (message := consumer.poll(30)) is not None and message.error() is None:
            values.append(message.value())
    finally:
        consumer.close()
    return values


def test_a_killed_broker_comes_back_on_its_ports_with_its_records(private_kafka):
    kafka = private_kafka()
    address = kafka.address
    create_topic(address, "kept")
    produce(address, "kept", [b"one", Produced(b"two", key=b"k", headers=[("h", b"\xff")])])
    kafka.kill()
    with (
        pytest.raises(ConnectionRefusedError),
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])), timeout=1),
    ):
        pass

    kafka.start()
    kafka.wait_ready()

    assert kafka.address == address
    assert _values(address, "kept") == [b"one", b"two"]


def test_a_private_broker_is_gone_after_its_test_with_its_data(private_kafka):
    kafka = private_kafka()
    pid = kafka.pid
    assert pid is not None

    kafka.remove()

    assert kafka.pid is None
    assert not kafka.ca_file.parent.parent.exists()


def test_a_topic_is_made_with_its_partitions_and_none_beside_it(kafka, topic):
    before = topic_names(kafka.address)

    name = topic(partitions=3, prefix="acl-made")

    assert topic_names(kafka.address) - before == {name}
    assert produce(kafka.address, name, [Produced(b"x", partition=number) for number in range(3)]) == 3


def test_the_reader_reads_what_begins_with_its_prefix_and_nothing_else(kafka, kafka_sasl, topic):
    allowed, refused = topic(prefix="acl-may"), topic(prefix="other")
    produce(kafka.address, allowed, [b"seen"])
    produce(kafka.address, refused, [b"unseen"])
    consumer = Consumer({**kafka_sasl.client_config(), "group.id": "acl-tests", "auto.offset.reset": "earliest"})
    consumer.subscribe([allowed, refused])

    seen = {(message.topic(), message.error() and message.error().name()) for message in consumer.consume(2, 30)}
    consumer.close()

    assert seen == {(allowed, None), (refused, "TOPIC_AUTHORIZATION_FAILED")}
