"""Several receivers on one queue that fail, leave, die and are cut off: the ledger balances."""

from __future__ import annotations

import asyncio
import contextlib
import random

import pytest
from redis import Redis
from redis_queues import abandon, of_kind, on_server, settings_of

from penstock.api import Outgoing, ReceiptExpired, SourceError

pytestmark = pytest.mark.redis

_LEASE_MS = 1_000


class _Crowd:
    """Keeps the books: how often each message was run, and whether it was settled."""

    def __init__(self, subject, seed, count):
        self.subject = subject
        self.chance = random.Random(seed)
        self.runs = dict.fromkeys(range(count), 0)
        self.deleted = set()
        """Those that were acked, as far as anyone knows: an answer may have been lost."""
        self.wrong = []
        self.is_done = False

    async def node(self, name):
        """Receive and settle in a life that ends in order or not, again and again."""
        life = 0
        while not self.is_done:
            life += 1
            with contextlib.suppress(SourceError):
                async with self.subject.receiver(f"{name}-{life}", _LEASE_MS) as receiver:
                    await self._live(receiver, turns=self.chance.randrange(3, 12))

    async def _live(self, receiver, turns):
        for _ in range(turns):
            if self.is_done:
                return
            with contextlib.suppress(SourceError):
                await self._turn(receiver)
        if self.chance.random() < 0.3:
            abandon(receiver)
            receiver._leave = _nothing

    async def _turn(self, receiver):
        if len(self.deleted) == len(self.runs) and await self.subject.is_empty(receiver):
            self.is_done = True
            return
        receiving = asyncio.create_task(receiver.receive(messages_max=self.chance.randrange(1, 20), wait_ms=300))
        if self.chance.random() < 0.3:
            await asyncio.sleep(self.chance.random() * 0.01)
            receiving.cancel()
            await asyncio.gather(receiving, return_exceptions=True)
            return
        for message in await receiving:
            number = int(message.body)
            if self.chance.random() < 0.1:
                with contextlib.suppress(ReceiptExpired):
                    await receiver.nack([message.receipt], delay_ms=0, counted=False)
                continue
            if message.receive_count <= self.runs[number]:
                self.wrong.append((number, message.receive_count, self.runs[number]))
            self.runs[number] += 1
            if self.chance.random() < 0.2:
                await receiver.nack([message.receipt], delay_ms=self.chance.randrange(50), counted=True)
            else:
                self.deleted.add(number)
                await receiver.ack([message.receipt])


async def _nothing():
    """Stands in for leaving in order."""


@pytest.mark.parametrize("seed", [1])
@pytest.mark.parametrize("kind", ["standard", "list", "fifo"])
def test_whatever_nodes_do_every_message_is_settled_and_no_run_goes_uncounted(private_redis, tmp_path, kind, seed):
    redis = private_redis()
    subject = of_kind(kind, on_server(redis.url, tmp_path, **settings_of(kind)))
    count = 300

    async def cut():
        chance = random.Random(seed)
        with Redis.from_url(redis.url) as client:
            while True:
                await asyncio.sleep(chance.random() * 0.2)
                client.client_kill_filter(_type="normal", skipme=True)

    async def work():
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=str(number).encode()) for number in range(count)])
        crowd = _Crowd(subject, seed, count)
        cutting = asyncio.create_task(cut())
        async with asyncio.timeout(90):
            await asyncio.gather(*(crowd.node(name) for name in "abc"))
        cutting.cancel()
        await asyncio.gather(cutting, return_exceptions=True)
        assert crowd.wrong == []
        assert crowd.deleted == set(range(count))

    asyncio.run(work())
