"""A Redis that stops answering while a node is at work: the node's other mappings go on, and this one does later."""

from __future__ import annotations

import pytest
from harness import QueueProject, identities, orders
from harness.queues import RedisList, RedisStream

from brokers import until

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

BEFORE, MEANWHILE, AFTER = 20, 300, 20


@pytest.mark.parametrize("kind", ["redis-queue", "redis-queue FIFO", "redis-list"])
def test_the_other_mappings_go_on_while_a_redis_does_not_answer(kind, private_redis, queues, nodes, tmp_path):
    server = private_redis()
    silent = (
        RedisList(kind, server.url, is_fifo=False)
        if kind == "redis-list"
        else RedisStream(kind, server.url, is_fifo="FIFO" in kind)
    )
    other = queues("embedded-queue")
    project = QueueProject(tmp_path / "shop", silent, beside=[other], BatchSize=5)
    node = nodes.start(project)
    before = orders(BEFORE)
    silent.send(before)
    project.wait_empty()

    server.freeze()
    try:
        meanwhile = orders(MEANWHILE, start=1_000)
        # One part after another, and the node answers all the time.
        for place in range(0, MEANWHILE, 60):
            other.send(meanwhile[place : place + 60])
            project.wait_empty(other)
            assert node.status()["state"] == "running"
    finally:
        server.thaw()
    after = orders(AFTER, start=5_000)
    silent.send(after)
    project.ledger.wait_for_all(identities(after))
    project.wait_empty()

    assert project.ledger.handled() == identities([*before, *meanwhile, *after])
    until(lambda: {each["last_result"] for each in node.status()["mappings"]} == {"OK"}, what="all is well again")
    silent.client.close()
