"""Looking at a topic, making it, and showing what is in it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from brokers.clients import Produced, admin, committed_offsets, delete_topics, produce, topic_names
from penstock.api import SourceDenied, SourceMissing, Start
from penstock_kafka import plugin

pytestmark = pytest.mark.kafka

OLDEST = Start("TRIM_HORIZON")


def test_a_topic_is_created_once_with_its_partitions(on_kafka: Any) -> None:
    name = f"created-{uuid.uuid4().hex[:12]}"

    async def run() -> None:
        operations = plugin.operate(on_kafka.source(name, {"Partitions": 3, "ReplicationFactor": 1}))
        with pytest.raises(SourceMissing):
            await operations.check()
        assert name not in topic_names(on_kafka.address)
        assert await operations.create()
        assert not await operations.create()
        await operations.check()
        await operations.check(write=True)
        await operations.close()

    try:
        asyncio.run(run())
        assert len(admin(on_kafka.address).list_topics(timeout=10).topics[name].partitions) == 3
    finally:
        delete_topics(on_kafka.address, [name])


def test_checking_for_writing_needs_the_right_to_write(
    on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]
) -> None:
    sasl = {"Mechanism": "PLAIN", "Username": "reader", "Password": kafka_sasl.passwords["reader"]}
    settings = {
        "BootstrapServers": kafka_sasl.address,
        "Sasl": sasl,
        "Tls": {"CaFile": str(kafka_sasl.ca_file)},
    }

    async def run() -> None:
        operations = plugin.operate(on_kafka.source(topic(prefix="acl"), settings))
        await operations.check()
        with pytest.raises(SourceDenied, match="no right to WRITE this topic; the user is 'reader'"):
            await operations.check(write=True)
        await operations.close()

    asyncio.run(run())


async def shown(on_kafka: Any, name: str, start: Start | int, limit: int | None = None) -> list[tuple[str, int]]:
    operations = plugin.operate(on_kafka.source(name))
    try:
        found = [one async for one in operations.peek(start, limit=limit, follow=False)]
        return sorted((shard, record.position) for shard, record in found)
    finally:
        await operations.close()


def test_peeking_shows_what_is_there_and_takes_nothing(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    first, second = f"{name}-0", f"{name}-1"
    produce(on_kafka.address, name, [Produced(b"v", partition=0, timestamp_ms=1000 + n) for n in range(5)])
    produce(on_kafka.address, name, [Produced(b"v", partition=1, timestamp_ms=2000)])

    async def run() -> None:
        everything = [(first, n) for n in range(5)] + [(second, 0)]
        assert await shown(on_kafka, name, OLDEST) == everything
        assert await shown(on_kafka, name, 3) == [(first, 3), (first, 4)]
        assert await shown(on_kafka, name, Start("AT_TIMESTAMP", 1004)) == [(first, 4), (second, 0)]
        assert await shown(on_kafka, name, Start("LATEST")) == []
        assert len(await shown(on_kafka, name, OLDEST, limit=2)) == 2

    asyncio.run(run())
    assert committed_offsets(on_kafka.address, "penstock-peek", name) == {}


def test_following_shows_what_comes(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()

    async def run() -> None:
        operations = plugin.operate(on_kafka.source(name))
        peeking = operations.peek(OLDEST, limit=1, follow=True)
        first = asyncio.ensure_future(anext(peeking))
        await asyncio.to_thread(produce, on_kafka.address, name, [Produced(b"come", partition=0)])
        shard, record = await asyncio.wait_for(first, 20)
        assert (shard, record.value) == (f"{name}-0", b"come")
        await peeking.aclose()
        await operations.close()

    asyncio.run(run())


def test_what_is_shown_of_a_topic_is_what_is_there(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(partitions=2)
    produce(on_kafka.address, name, [Produced(b"v", partition=1) for _ in range(3)])

    async def run() -> Mapping[str, str]:
        operations = plugin.operate(on_kafka.source(name))
        try:
            return await operations.show()
        finally:
            await operations.close()

    shown = asyncio.run(run())

    assert shown["cluster"]
    assert {part: shown[part] for part in ("brokers", "partitions", "copies", f"{name}-0", f"{name}-1")} == {
        "brokers": "1",
        "partitions": "2",
        "copies": "1",
        f"{name}-0": "empty",
        f"{name}-1": "offsets 0 to 2",
    }
