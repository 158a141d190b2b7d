"""A Redis that forgets everything while a node is at work, and one whose stream others read too."""

from __future__ import annotations

import pytest
from harness import QueueProject, identities, orders
from harness.queues import RedisList, RedisStream
from redis import Redis

from brokers import until

pytestmark = [pytest.mark.e2e, pytest.mark.redis]

COUNT = 20
FORGOTTEN = {
    "redis-queue": "the consumer group was gone and is made again",
    "redis-queue FIFO": "the consumer group was gone and is made again",
    "redis-list": "the server has forgotten what was held",
}


def on(url, kind):
    return (
        RedisList(kind, url, is_fifo=False) if kind == "redis-list" else RedisStream(kind, url, is_fifo="FIFO" in kind)
    )


@pytest.mark.parametrize("kind", FORGOTTEN)
def test_what_is_sent_after_a_flush_is_processed_and_one_line_says_that_all_was_lost(
    kind, private_redis, nodes, tmp_path
):
    queue = on(private_redis().url, kind)
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 1}, BatchSize=5)
    node = nodes.start(project)
    before, held = orders(COUNT), orders(1, start=COUNT, plans={COUNT: ["hold"]})
    queue.send(before)
    project.wait_empty()
    queue.send(held)
    project.ledger.wait_for(lambda runs: bool(runs) and runs[-1].outcome == "", what="a batch is with the function")

    Redis.from_url(queue.url).flushall()
    project.ledger.release()
    after = orders(COUNT, start=COUNT + 1)
    queue.send(after)
    project.ledger.wait_for_all(identities(after))
    project.wait_empty()

    assert project.ledger.handled() == identities([*before, *held, *after])
    lines = [line for line in node.log(level="warning") if FORGOTTEN[kind] in line["event"]]
    assert len(lines) == 1, lines
    queue.client.close()


def test_another_group_on_a_stream_reads_every_entry_whatever_we_settle(queues, nodes, tmp_path):
    queue = queues("redis-queue")
    queue.client.xgroup_create(queue.name, "others", id="0", mkstream=True)
    sent = orders(200, plans={7: ["raise", ""]})
    project = QueueProject(tmp_path / "shop", queue, source={"VisibilityTimeout": 0}, BatchSize=10)
    nodes.start(project)
    queue.send(sent[:100])
    project.ledger.wait_for_all(identities(sent[:100]))
    ((_, first),) = queue.client.xreadgroup("others", "one", {queue.name: ">"}, count=150)
    queue.send(sent[100:])
    project.ledger.wait_for_all(identities(sent))
    project.wait_figures(left=0, what="all of ours is settled")
    ((_, second),) = queue.client.xreadgroup("others", "one", {queue.name: ">"}, count=150)

    assert [fields["body"] for _, fields in (*first, *second)] == [record.value.decode() for record in sent]
    assert queue.client.xlen(queue.name) == len(sent)


def test_settled_entries_are_deleted_where_no_other_group_wants_them(queues, nodes, tmp_path):
    queue = queues("redis-queue")
    project = QueueProject(tmp_path / "shop", queue)
    sent = orders(50)
    queue.send(sent)
    nodes.start(project)
    project.wait_empty()
    until(lambda: queue.client.xlen(queue.name) == 0, what="the stream is empty")
    assert project.ledger.handled() == identities(sent)
