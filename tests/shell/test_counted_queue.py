"""Counting runs where the broker does not: its word for a message is no more than "somebody had it before"."""

import asyncio
import itertools
import sqlite3
from contextlib import asynccontextmanager, closing

import pytest

from penstock.api import Backlog, Message, ReceiptExpired, SourceUnavailable
from penstock.shell import message_runs
from penstock.shell.counted_queue import CountedQueue
from penstock.shell.message_runs import MessageRuns
from penstock.store import StoreError
from shell.twins import run, until


class Broker:
    """It returns to its queue what a connection held that is gone. `broker_count` is what it makes of a redelivery."""

    def __init__(self, *message_ids, broker_count=2):
        self.ready = [(message_id, False) for message_id in message_ids]
        self.broker_count = broker_count
        self.receipts = itertools.count()


class Connection:
    def __init__(self, broker):
        self.broker = broker
        self.held = {}
        self.rejected = []

    async def open(self):
        """It is open."""

    async def close(self):
        await self.nack(list(self.held), delay_ms=0, counted=True)

    async def receive(self, *, messages_max, wait_ms):  # noqa: ARG002 - the protocol's
        taken, self.broker.ready = self.broker.ready[:messages_max], self.broker.ready[messages_max:]
        messages = []
        for message_id, redelivered in taken:
            receipt = f"r-{next(self.broker.receipts)}"
            self.held[receipt] = message_id
            count = self.broker.broker_count if redelivered else 1
            messages.append(Message(message_id, receipt, b"{}", count, 0, 0, redelivered=redelivered))
        return messages

    async def ack(self, receipts):
        self._take(receipts)

    async def reject(self, receipts):
        self.rejected += self._take(receipts)

    async def nack(self, receipts, *, delay_ms, counted):  # noqa: ARG002 - it counts nothing
        self.broker.ready += [(message_id, True) for message_id in self._take(receipts)]

    async def extend(self, receipts, *, lease_ms):
        """A lease is the connection."""

    async def backlog(self):
        return Backlog(len(self.broker.ready))

    def _take(self, receipts):
        gone = [receipt for receipt in receipts if receipt not in self.held]
        taken = [self.held.pop(receipt) for receipt in receipts if receipt in self.held]
        if gone:
            raise ReceiptExpired(f"{gone} are not held")
        return taken


@asynccontextmanager
async def node(path, broker):
    """Open a node's queue on the broker, and let it die at the end: nothing is said to the store."""
    runs = MessageRuns(path)
    connection = Connection(broker)
    try:
        yield CountedQueue(connection, runs, "jobs")
    finally:
        await connection.close()
        await runs.close()


async def receive(queue, messages_max=10):
    return list(await queue.receive(messages_max=messages_max, wait_ms=0))


def counts(messages):
    return {message.message_id: message.receive_count for message in messages}


def rows(path):
    if not path.exists():
        return {}
    with closing(sqlite3.connect(path)) as connection:
        return dict(connection.execute("SELECT message, runs FROM message_run"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


def test_messages_that_come_once_cost_no_row(path):
    async def scenario():
        async with node(path, Broker("a", "b")) as queue:
            messages = await receive(queue)
            await queue.ack([message.receipt for message in messages])
            assert counts(messages) == {"a": 1, "b": 1}

    run(scenario())
    assert not path.exists()


def test_a_node_that_dies_counts_one_more_for_what_it_held(path):
    async def scenario():
        broker = Broker("a", broker_count=51)
        seen = []
        async with node(path, broker) as queue:
            [message] = await receive(queue)
            await queue.count([message.receipt], receive_count=2)
            await queue.count([message.receipt], receive_count=3)
        for _ in range(3):
            async with node(path, broker) as queue:
                seen += counts(await receive(queue)).values()
        assert seen == [4, 5, 6]

    run(scenario())


def test_what_is_not_known_counts_as_the_broker_says(path):
    async def scenario():
        broker = Broker("a", broker_count=7)
        async with node(path, broker) as queue:
            await receive(queue)
        async with node(path, broker) as queue:
            assert counts(await receive(queue)) == {"a": 7}
        async with node(path, broker) as queue:
            assert counts(await receive(queue)) == {"a": 8}

    run(scenario())


def test_what_was_never_run_is_not_counted_however_often_it_comes(path):
    async def scenario():
        broker = Broker("a", broker_count=9)
        for _ in range(4):
            async with node(path, broker) as queue:
                [message] = await receive(queue)
                assert message.receive_count == 1
                await queue.nack([message.receipt], delay_ms=0, counted=False)

    run(scenario())


def test_what_is_given_back_after_a_run_comes_with_the_next_count(path):
    async def scenario():
        broker = Broker("a", broker_count=9)
        for expected in range(1, 5):
            async with node(path, broker) as queue:
                [message] = await receive(queue)
                assert message.receive_count == expected
                await queue.nack([message.receipt], delay_ms=0, counted=True)

    run(scenario())


def test_what_is_known_goes_with_the_message(path, monkeypatch):
    monkeypatch.setattr(message_runs, "FORGET_DELAY_S", 0.01)

    async def scenario():
        async with node(path, Broker("acked", "rejected", "held")) as queue:
            receipts = [message.receipt for message in await receive(queue)]
            await queue.count(receipts, receive_count=2)
            assert rows(path) == {"acked": 2, "rejected": 2, "held": 2}
            await queue.ack(receipts[:1])
            await queue.reject(receipts[1:2])
            await until(lambda: rows(path) == {"held": 2})

    run(scenario())


def test_what_is_to_be_forgotten_is_forgotten_when_the_node_ends(path):
    async def scenario():
        async with node(path, Broker("a")) as queue:
            [message] = await receive(queue)
            await queue.count([message.receipt], receive_count=2)
            await queue.ack([message.receipt])

    run(scenario())
    assert rows(path) == {}


def test_an_ack_that_came_too_late_forgets_nothing(path):
    async def scenario():
        broker = Broker("a")
        async with node(path, broker) as queue:
            [message] = await receive(queue)
            await queue.count([message.receipt], receive_count=2)
            await queue._source.close()
            with pytest.raises(ReceiptExpired):
                await queue.ack([message.receipt])
            assert counts(await receive(queue)) == {"a": 3}

    run(scenario())


def test_nothing_is_handed_out_uncounted_while_the_store_can_not_be_written(path, monkeypatch):
    async def scenario():
        broker = Broker("a", "b")
        broker.ready[0] = ("a", True)
        async with node(path, broker) as queue:
            written = queue._runs.write

            async def full(*_):
                raise StoreError("the disk is full")

            monkeypatch.setattr(queue._runs, "write", full)
            for _ in range(2):
                with pytest.raises(SourceUnavailable, match="runs of messages can not be counted: the disk is full"):
                    await receive(queue)
            monkeypatch.setattr(queue._runs, "write", written)

            assert counts(await receive(queue)) == {"a": 2, "b": 1}

    run(scenario())


def test_a_receive_that_is_cut_off_while_it_counts_loses_nothing_and_counts_once(path, monkeypatch):
    async def scenario():
        broker = Broker("a", "b")
        broker.ready = [("a", True), ("b", True)]
        async with node(path, broker) as queue:
            written, reached = queue._runs.write, asyncio.Event()

            async def write_and_hang(*arguments):
                await written(*arguments)
                reached.set()
                await asyncio.Event().wait()

            monkeypatch.setattr(queue._runs, "write", write_and_hang)
            cut_off = asyncio.create_task(receive(queue))
            await reached.wait()
            cut_off.cancel()
            await asyncio.wait({cut_off})
            monkeypatch.setattr(queue._runs, "write", written)

            [first] = await receive(queue, messages_max=1)
            assert counts([first]) == {"a": 2}
            await queue.count([first.receipt], receive_count=3)
            assert counts(await receive(queue)) == {"b": 2}

    run(scenario())
    assert rows(path) == {"a": 3, "b": 2}
