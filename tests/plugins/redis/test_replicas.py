"""A server by its Url alone that becomes a replica: what is connected to it is dropped, and its name asked anew."""

from __future__ import annotations

import asyncio
import contextlib

import pytest
from redis import Redis
from redis_queues import KINDS, of_kind, settings_of
from shifting import receive_all, replicated, run, send, source_of, together

from brokers import PrivateRedis
from brokers.private_redis_sentinels import QUICK, port_of
from penstock.api import SourceUnavailable
from penstock_redis.client import CONNECTIONS_MAX

pytestmark = pytest.mark.redis


class _Endpoint:
    """An address that leads to one server or another, as a provider's does; what is connected stays so."""

    def __init__(self, server):
        self.server = server
        self._passing = set()

    async def __aenter__(self):
        self._listening = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"redis://127.0.0.1:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_):
        self._listening.close()
        await asyncio.gather(*self._passing)

    async def _pass_on(self, reader, writer):
        task = asyncio.current_task()
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        back, forth = await asyncio.open_connection("127.0.0.1", port_of(self.server))
        await asyncio.gather(self._pump(reader, forth), self._pump(back, writer))

    async def _pump(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(1 << 16):
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


def test_an_endpoint_that_leads_to_another_primary_is_connected_to_anew(tmp_path):
    async def use(subject, demoted):
        async with subject.receiver() as receiver:
            await send(subject, b"before")
            await demoted.wait()
            with pytest.raises(SourceUnavailable, match="is a read-only replica; the Url has to name its primary"):
                await receiver.receive(messages_max=1, wait_ms=2_000)
            await demoted.wait()
            raised = []
            assert await receive_all(receiver, {b"before"}, raised) == [b"before"]
            # Each connection of before is refused at most once, and not tried again until chance takes another.
            assert len(raised) <= CONNECTIONS_MAX

    async def work(old, new):
        demoted = asyncio.Barrier(len(KINDS) + 1)
        async with _Endpoint(old) as endpoint, asyncio.TaskGroup() as using:
            sources = {kind: source_of({"Url": endpoint.url}, tmp_path, **settings_of(kind)) for kind in KINDS}
            users = [using.create_task(use(of_kind(kind, source), demoted)) for kind, source in sources.items()]
            await together(demoted, users)
            await asyncio.to_thread(replicated, old)
            _replicate(new, None)
            _replicate(old, new)
            await demoted.wait()
            await together(demoted, users)
            endpoint.server = new
            await demoted.wait()

    with PrivateRedis(persistent=False, config=QUICK) as old, PrivateRedis(persistent=False, config=QUICK) as new:
        _replicate(new, old)
        run(work(old, new))


def _replicate(server, primary):
    with Redis.from_url(server.url) as client:
        client.replicaof(*(("127.0.0.1", port_of(primary)) if primary else ("NO", "ONE")))
