"""What `penstock source show` tells of a queue on Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis_queues import KINDS, of_kind, on_server, settings_of

from penstock.api import Outgoing

pytestmark = pytest.mark.redis


@pytest.mark.parametrize("kind", KINDS)
def test_what_waits_what_is_held_and_what_is_delayed_is_told(redis: Any, tmp_path: Any, kind: str) -> None:
    source = on_server(redis.url, tmp_path, **settings_of(kind))
    subject = of_kind(kind, source)

    async def run() -> Any:
        operations = subject.type.operate(source)
        async with subject.writer() as writer, subject.receiver() as receiver:
            await writer.send([Outgoing(b"1"), Outgoing(b"2"), Outgoing(b"3")])
            await writer.send([Outgoing(b"4", delay_ms=60_000)])
            [held] = await receiver.receive(messages_max=1, wait_ms=20_000)
            try:
                return await operations.show()
            finally:
                await operations.close()
                await receiver.ack([held.receipt])

    shown = asyncio.run(run())

    assert shown["server"].startswith(("Redis ", "Valkey "))
    assert {name: shown[name] for name in ("waiting", "held", "delayed")} == {
        "waiting": "2",
        "held": "1",
        "delayed": "1",
    }
