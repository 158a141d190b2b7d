"""What goes wrong while a topic is written, and that it is said soon, and mended by writing again."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from brokers.clients import create_topic, delete_topics, topic_names
from brokers.private_kafka import PrivateKafka
from penstock.api import Destination, Outgoing, SourceDenied, SourceError, SourceMissing, SourceUnavailable
from penstock_kafka import plugin

pytestmark = pytest.mark.kafka

SAID_WITHIN_S = 20
"""The producer itself would wait for half a minute, and then know no reason."""

ONE = [Outgoing(b"one", b"key", (("a", b"b"),))]


@asynccontextmanager
async def opened(context: Any) -> AsyncIterator[Destination]:
    destination = plugin.open_destination(context)
    try:
        await destination.open()
        yield destination
    finally:
        await destination.close()


async def failure_to_send(destination: Destination) -> SourceError:
    async with asyncio.timeout(SAID_WITHIN_S):
        with pytest.raises(SourceError) as raised:
            await destination.send(ONE)
    assert "\n" not in str(raised.value)
    return raised.value


async def send_until_refused(destination: Destination) -> None:
    async with asyncio.timeout(SAID_WITHIN_S):
        while True:
            assert await destination.send(ONE) == [None]


def test_a_topic_deleted_while_it_is_written_is_missing_and_is_written_again_when_it_is_back(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()

    async def run() -> None:
        async with opened(on_kafka.source(name)) as destination:
            assert await destination.send(ONE) == [None]
            await asyncio.to_thread(delete_topics, on_kafka.address, [name])

            # A broker that has not heard of it yet still takes what is sent.
            with pytest.raises(SourceMissing, match="the topic does not exist"):
                await send_until_refused(destination)
            assert name not in topic_names(on_kafka.address)

            await asyncio.to_thread(create_topic, on_kafka.address, name)
            assert await destination.send(ONE) == [None]

    asyncio.run(run())


def test_a_broker_that_goes_away_is_unavailable_and_is_written_again_when_it_is_back(
    private_kafka: Callable[..., PrivateKafka], on_address: Callable[[str], Any]
) -> None:
    kafka = private_kafka()
    create_topic(kafka.address, "failed")

    async def run() -> None:
        async with opened(on_address(kafka.address).source("failed")) as destination:
            assert await destination.send(ONE) == [None]
            await asyncio.to_thread(kafka.stop)

            error = await failure_to_send(destination)
            assert type(error) is SourceUnavailable
            assert "no broker answers (" in str(error)

            await asyncio.to_thread(kafka.start)
            await asyncio.to_thread(kafka.wait_ready)
            assert await destination.send(ONE) == [None]

    asyncio.run(run())


def test_a_sender_that_waits_for_a_frozen_broker_is_closed_at_once(
    private_kafka: Callable[..., PrivateKafka], on_address: Callable[[str], Any]
) -> None:
    kafka = private_kafka()
    create_topic(kafka.address, "failed")

    async def run() -> float:
        async with opened(on_address(kafka.address).source("failed")) as destination:
            assert await destination.send(ONE) == [None]
            kafka.freeze()
            sending = asyncio.create_task(destination.send(ONE))
            await asyncio.sleep(0.5)  # it is on its way to a broker that will not answer
            assert not sending.done()
            began_s = time.monotonic()
            await destination.close()
            closed_s = time.monotonic() - began_s
            with pytest.raises(SourceUnavailable, match="not acknowledged"):
                await sending
            return closed_s

    try:
        assert asyncio.run(run()) < SAID_WITHIN_S
    finally:
        kafka.thaw()


def test_a_user_who_may_not_write_is_denied_before_anything_is_sent(
    on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]
) -> None:
    name = topic(prefix="acl")
    settings = {
        "BootstrapServers": [kafka_sasl.address],
        "Sasl": {"Mechanism": "SCRAM-SHA-512", "Username": "reader", "Password": kafka_sasl.passwords["reader"]},
        "Tls": {"CaFile": str(kafka_sasl.ca_file), "Verify": True},
    }

    async def run() -> None:
        with pytest.raises(SourceDenied, match="no right to WRITE this topic; the user is 'reader'"):
            async with opened(on_kafka.source(name, settings)):
                pass
        # Nor by writing without looking first.
        destination = plugin.open_destination(on_kafka.source(name, settings))
        error = await failure_to_send(destination)
        await destination.close()
        assert isinstance(error, SourceDenied)

    asyncio.run(run())


def test_headers_and_key_count_when_a_record_is_too_large(on_kafka: Any, topic: Callable[..., str]) -> None:
    name = topic(config={"max.message.bytes": "2000"})
    records = [
        Outgoing(b"v", headers=(("h", b"x" * 3000),)),
        Outgoing(b"v", b"k" * 3000),
        Outgoing(b"v", b"k", (("h", b"x" * 1000),)),
    ]

    async def run() -> None:
        async with opened(on_kafka.source(name)) as destination:
            answers = await destination.send(records)
            assert [answer is not None and answer.too_large for answer in answers] == [True, True, False]
            assert answers[-1] is None

    asyncio.run(run())


def test_a_record_without_a_key_is_refused_for_good_by_a_compacted_topic(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic(config={"cleanup.policy": "compact"})

    async def run() -> None:
        async with opened(on_kafka.source(name)) as destination:
            # Together: the broker refuses both, since they come in one batch.
            with_key, without = await destination.send([Outgoing(b"v", b"k"), Outgoing(b"v")])
            assert with_key is None
            assert without is not None
            assert not without.too_large

    asyncio.run(run())
