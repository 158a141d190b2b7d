"""Back-pressure: what is held stays bounded, and a slow function costs neither the membership nor its neighbours."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest
from small_engine import MEGABYTE

from brokers.clients import Produced, produce
from penstock.api import Want

pytestmark = pytest.mark.kafka


def test_a_function_slower_than_the_poll_interval_keeps_its_partitions(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"x" * 1000, partition=0) for _ in range(8000)])
    impatient = {"Config": {"max.poll.interval.ms": "6000"}}

    async def run() -> None:
        async with on_kafka.reading(name, source=impatient, buffer_bytes_max=2 * MEGABYTE) as reading:
            await reading.has_shards(1)
            await reading.fetch(records_max=10, wait_ms=5000)
            held = reading.reader._buffers
            await asyncio.sleep(8)  # the function works: no fetch for longer than the interval
            assert held._shards[0].held_bytes < 2 * MEGABYTE, "what is held is bounded"
            records = await reading.read(8000)
            assert [record.position for record in records] == list(range(8000))
            assert not reading.revoked
            assert not reading.lost
            await reading.commit_all()

    asyncio.run(run())


def test_a_shard_that_nobody_empties_does_not_stop_the_others(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    count = 6000
    produce(on_kafka.address, name, [Produced(b"x" * 1000, partition=part) for _ in range(count) for part in range(2)])
    flowing, blocked = f"{name}-0", f"{name}-1"

    async def run() -> None:
        async with on_kafka.reading(name, buffer_bytes_max=4 * MEGABYTE) as reading:
            await reading.has_shards(2)
            assert await reading.reader.fetch([Want(blocked, -1, 1, MEGABYTE)], wait_ms=5000)
            positions = []
            after = -1
            deadline_s = time.monotonic() + 30
            while len(positions) < count:
                assert time.monotonic() < deadline_s, f"read {len(positions)} of {count}"
                for one in await reading.reader.fetch([Want(flowing, after, 200, MEGABYTE)], wait_ms=1000):
                    positions.extend(record.position for record in one.records)
                    after = one.position
            assert positions == list(range(count))
            # And the blocked one goes on where it stood.
            reading.positions[blocked] = 0
            del reading.positions[flowing]
            records = await reading.read(count - 1)
            assert [record.position for record in records] == list(range(1, count))

    asyncio.run(run())


def test_a_slow_engine_reads_everything_once_through_small_buffers(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"x" * 100, partition=0) for _ in range(20_000)])

    async def run() -> None:
        async with on_kafka.reading(name, buffer_bytes_max=MEGABYTE) as reading:
            await reading.has_shards(1)
            while len(reading.records.get(f"{name}-0", ())) < 6000:
                await reading.fetch(records_max=1000)
                await asyncio.sleep(0.3)  # long enough between fetches for the buffer to stay full
            records = await reading.read(20_000)
            assert [record.position for record in records] == list(range(20_000))

    asyncio.run(run())
