"""Sending to a topic."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from typing import Any

import pytest

from brokers.clients import topic_names
from penstock.api import Attribute, Destination, Outgoing, RecordRefused, SourceMissing, SourceUnavailable
from penstock_kafka import plugin

pytestmark = pytest.mark.kafka


async def sending(destination: Destination, records: list[Outgoing]) -> list[RecordRefused | None]:
    try:
        await destination.open()
        return list(await destination.send(records))
    finally:
        await destination.close()


def test_what_is_sent_is_read_as_it_was(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic()
    headers = (("a", b"\xff"), ("a", None), ("b", b""))
    sent = [Outgoing(b"\x00\xff", b"key", headers), Outgoing(None, b"gone"), Outgoing(b"keyless")]
    sent += [Outgoing(b"%d" % n) for n in range(1000)]

    async def run() -> None:
        assert await sending(plugin.open_destination(on_kafka.source(name)), sent) == [None] * len(sent)
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            records = await reading.read(len(sent))
            assert [(record.value, record.key, record.headers) for record in records] == [
                (one.value, one.key, one.headers) for one in sent
            ]

    asyncio.run(run())


def test_a_record_too_large_is_refused_alone(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(config={"max.message.bytes": "2000"})

    async def run() -> None:
        records = [Outgoing(b"small"), Outgoing(b"x" * 5000), Outgoing(b"small too")]
        first, large, last = await sending(plugin.open_destination(on_kafka.source(name)), records)
        assert first is None
        assert last is None
        assert large is not None
        assert large.too_large
        assert "larg" in str(large)

    asyncio.run(run())


@pytest.mark.parametrize(
    ("record", "what"),
    [
        (Outgoing(b"v", attributes={"a": Attribute("String", "b")}), "attributes"),
        (Outgoing(b"v", group="g"), "a group"),
        (Outgoing(b"v", deduplication_id="d"), "a deduplication id"),
        (Outgoing(b"v", delay_ms=1000), "a delay"),
    ],
)
def test_what_a_record_can_not_carry_is_refused(
    on_kafka: Any, topic: Callable[..., str], record: Outgoing, what: str
) -> None:
    async def run() -> None:
        (refusal,) = await sending(plugin.open_destination(on_kafka.source(topic())), [record])
        assert refusal is not None
        assert not refusal.too_large
        assert f"can not carry {what}" in str(refusal)

    asyncio.run(run())


def test_sending_creates_no_topic(on_kafka: Any) -> None:
    name = f"unsent-{uuid.uuid4().hex[:12]}"

    async def run() -> None:
        with pytest.raises(SourceMissing):
            await sending(plugin.open_destination(on_kafka.source(name)), [Outgoing(b"v")])
        # And not by sending without looking either.
        quick = on_kafka.source(name, {"Config": {"delivery.timeout.ms": "1500"}})
        destination = plugin.open_destination(quick)
        with pytest.raises((SourceUnavailable, SourceMissing)):
            await destination.send([Outgoing(b"v")])
        await destination.close()

    asyncio.run(run())
    assert name not in topic_names(on_kafka.address)
