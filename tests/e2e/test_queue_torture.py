"""A few kills over every kind of queue at once; `make torture` does many. And a Redis that forgets everything."""

from __future__ import annotations

import json
import logging
from contextlib import ExitStack

import pytest

from brokers import until
from torture.queues.flow import KEYS
from torture.queues.kinds import Brokers, Sending
from torture.queues.project import QueueProject
from torture.queues.redis_kinds import RedisFifo, RedisList, RedisStream
from torture.queues.registry import KINDS
from torture.queues.torture import QueueTorture

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

LOG = logging.getLogger("tests.torture")

KILLS = 5
RESTARTS = 1
SEED = 5
LEASE_S = 4
"""Longer than a busy machine stands still, so that no lease runs out but by a death."""

MESSAGES = 2 * KEYS
ROUNDS = 3
FORGOTTEN = ("is made again", "has forgotten")


@pytest.mark.kafka
def test_the_books_balance_after_five_kills_and_a_restart_of_the_broker_over_every_kind_of_queue(kafka, tmp_path):
    torture = QueueTorture(
        tmp_path,
        list(KINDS),
        kills=KILLS,
        restarts=RESTARTS,
        seed=SEED,
        say=LOG.info,
        kafka=kafka.address,
        visibility_s=LEASE_S,
    )

    assert torture.run() == []


def test_a_node_survives_a_redis_that_forgets_everything_says_so_and_goes_on(nodes, tmp_path):
    with ExitStack() as stack:
        brokers = Brokers(tmp_path, stack, persistent=False)
        project = QueueProject(tmp_path / "shop", [kind(brokers) for kind in (RedisStream, RedisList, RedisFifo)])
        node = nodes.start(project)
        for mapping in project.mappings:
            send(mapping, range(MESSAGES))
        wait_done(project, range(MESSAGES))
        for number in range(1, ROUNDS + 1):
            for mapping in project.mappings:
                # Some of these are in the node's hands when they are gone, and nobody knows which.
                send(mapping, range(100_000 * number, 100_000 * number + MESSAGES))
            brokers.redis.kill()
            brokers.redis.start()
            brokers.redis.wait_ready()
            until(
                lambda said=number: all(len(told(node, mapping)) >= said for mapping in project.mappings),
                what="the node has said that everything is gone",
                timeout_seconds=60,
            )
            after = range(MESSAGES * number, MESSAGES * (number + 1))
            for mapping in project.mappings:
                send(mapping, after)
            wait_done(project, after)

        assert [len(told(node, mapping)) for mapping in project.mappings] == [ROUNDS] * len(project.mappings)
        assert {mapping["state"] for mapping in node.status()["mappings"]} == {"Enabled"}
        node.terminate()
        assert node.wait() == 0


def send(mapping, numbers):
    key = "key-0"
    bodies = [json.dumps({"key": key, "number": number}).encode() for number in numbers]
    mapping.kind.send(mapping.name, [Sending(body, key if mapping.kind.is_fifo else None) for body in bodies])


def wait_done(project, numbers):
    wanted = {("key-0", number) for number in numbers}
    for mapping in project.mappings:
        until(
            lambda mapping=mapping: wanted <= {order for run in mapping.ledger.read() for order in run.done},
            what=f"{mapping.name} has done what was sent",
            timeout_seconds=60,
        )


def told(node, mapping):
    """Give the lines in which a node says that a queue was forgotten, its dead letters aside."""
    lines = (line["event"] for line in node.log(level="warning"))
    return [line for line in lines if f"'{mapping.name}'" in line and any(words in line for words in FORGOTTEN)]
