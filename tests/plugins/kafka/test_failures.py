"""What goes wrong, and the one message that says so."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)
from small_engine import Kafka, eventually

from brokers.clients import Produced, admin, committed_offsets, create_topic, delete_topics, produce, topic_names
from brokers.private_kafka import PrivateKafka
from penstock.api import (
    Checkpoint,
    CommitRefused,
    SourceBroken,
    SourceDenied,
    SourceError,
    SourceMissing,
    SourceUnavailable,
)
from penstock_kafka.member import Trouble

pytestmark = pytest.mark.kafka

OPEN_WITHIN_S = 10


def failure_to_open(on_kafka: Kafka, name: str, settings: dict[str, Any] | None = None) -> SourceError:
    """Open a reader that can not be, and return why; it has ten seconds to find out."""

    async def run() -> None:
        async with asyncio.timeout(OPEN_WITHIN_S), on_kafka.reading(name, source=settings):
            pass

    with pytest.raises(SourceError) as raised:
        asyncio.run(run())
    assert "\n" not in str(raised.value)
    return raised.value


def secured(listener: Any, *, user: str = "reader", password: str | None = None) -> dict[str, Any]:
    return {
        "BootstrapServers": [listener.address],
        "Sasl": {
            "Mechanism": "SCRAM-SHA-512",
            "Username": user,
            "Password": listener.passwords[user] if password is None else password,
        },
        "Tls": {"CaFile": str(listener.ca_file), "Verify": True},
    }


def test_a_missing_topic_is_named_and_not_created(on_kafka: Any) -> None:
    error = failure_to_open(on_kafka, "no-such-topic")
    assert isinstance(error, SourceMissing)
    assert str(error).startswith(f"topic 'no-such-topic' on {on_kafka.address}: the topic does not exist")
    assert "no-such-topic" not in topic_names(on_kafka.address)


def test_a_closed_port_is_unavailable(on_kafka: Any) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{held.getsockname()[1]}"
        error = failure_to_open(on_kafka, "orders", {"BootstrapServers": [address]})
    assert type(error) is SourceUnavailable
    assert str(error).startswith(f"topic 'orders' on {address}: no broker answers (Connect to ")
    assert "Connection refused" in str(error)


def test_a_wrong_password_is_denied(on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]) -> None:
    error = failure_to_open(on_kafka, topic(), secured(kafka_sasl, password="guess"))
    assert isinstance(error, SourceDenied)
    assert "the broker refused the credentials (SASL authentication error" in str(error)
    assert "guess" not in str(error)


def test_an_unknown_authority_is_denied(
    on_kafka: Any, kafka_sasl: Any, stranger_ca_file: Any, topic: Callable[..., str]
) -> None:
    settings = secured(kafka_sasl) | {"Tls": {"CaFile": str(stranger_ca_file)}}
    error = failure_to_open(on_kafka, topic(), settings)
    assert isinstance(error, SourceDenied)
    assert "the TLS handshake failed" in str(error)
    assert "certificate verify failed" in str(error)


@pytest.mark.parametrize("is_secured", [True, False])
def test_a_listener_of_another_kind_is_unavailable(
    on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str], *, is_secured: bool
) -> None:
    # A plain client on the secured listener, and the other way round.
    settings = {"BootstrapServers": [kafka_sasl.address]}
    if is_secured:
        settings = secured(kafka_sasl) | {"BootstrapServers": [on_kafka.address]}
    error = failure_to_open(on_kafka, topic(), settings)
    assert type(error) is SourceUnavailable
    assert "no broker answers (" in str(error)


def test_read_on_topic_and_group_is_right_enough(on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]) -> None:
    name = topic(prefix="acl")
    produce(on_kafka.address, name, [Produced(b"v", partition=0)])
    on_kafka.group = f"acl-{on_kafka.group}"

    async def run() -> None:
        async with on_kafka.reading(name, source=secured(kafka_sasl)) as reading:
            await reading.has_shards(1)
            await reading.read(1)
            await reading.commit_all("read with two rights")
            await reading.reader.backlog(f"{name}-0", 0)

    asyncio.run(run())


def test_a_topic_without_the_right_is_denied(on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]) -> None:
    error = failure_to_open(on_kafka, topic(prefix="closed"), secured(kafka_sasl))
    assert isinstance(error, SourceDenied)
    assert "the user has no right to this topic" in str(error)
    assert "'reader'" in str(error)


def test_a_topic_that_may_only_be_described_is_denied(
    on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]
) -> None:
    name = topic(prefix="described")
    allowed = AclBinding(
        ResourceType.TOPIC,
        name,
        ResourcePatternType.LITERAL,
        "User:reader",
        "*",
        AclOperation.DESCRIBE,
        AclPermissionType.ALLOW,
    )
    client = admin(on_kafka.address)
    client.create_acls([allowed])[allowed].result(timeout=10)
    try:
        error = failure_to_open(on_kafka, name, secured(kafka_sasl))
    finally:
        this_one = AclBindingFilter(
            ResourceType.TOPIC,
            name,
            ResourcePatternType.LITERAL,
            None,
            None,
            AclOperation.ANY,
            AclPermissionType.ANY,
        )
        client.delete_acls([this_one])[this_one].result(timeout=10)
    assert isinstance(error, SourceDenied)
    assert "no right to READ this topic" in str(error)


def test_a_group_without_the_right_is_denied(on_kafka: Any, kafka_sasl: Any, topic: Callable[..., str]) -> None:
    error = failure_to_open(on_kafka, topic(prefix="acl"), secured(kafka_sasl))
    assert isinstance(error, SourceDenied)
    assert f"no right to READ the consumer group (group '{on_kafka.group}'" in str(error)


def test_a_topic_deleted_while_it_is_read_is_missing(on_kafka: Any, kafka: Any) -> None:
    name = f"deleted-{on_kafka.group}"
    create_topic(kafka.address, name)
    often = {"Config": {"topic.metadata.refresh.interval.ms": "500"}}

    async def run() -> None:
        async with on_kafka.reading(name, source=often) as reading:
            await reading.has_shards(1)
            await asyncio.to_thread(delete_topics, kafka.address, [name])
            while reading.failure is None:
                with contextlib.suppress(SourceError):
                    await reading.fetch()
            assert isinstance(reading.failure, SourceMissing)
            assert "the topic does not exist" in str(reading.failure)
        assert name not in topic_names(kafka.address)

    asyncio.run(run())


@pytest.fixture(scope="module")
def fragile() -> Iterator[PrivateKafka]:
    """A broker that these tests may stop; it compacts as soon as it can."""
    with PrivateKafka(config={"log.cleaner.backoff.ms": "100"}) as started:
        yield started


def test_compaction_leaves_gaps_that_are_stepped_over(fragile: Any, on_address: Any) -> None:
    on_kafka, name = on_address(fragile.address), "compacted"
    config = {
        "cleanup.policy": "compact",
        "segment.ms": "100",
        "min.cleanable.dirty.ratio": "0.01",
        "max.compaction.lag.ms": "100",
        "delete.retention.ms": "0",
    }
    create_topic(on_kafka.address, name, config=config)
    for _ in range(3):
        produce(on_kafka.address, name, [Produced(b"v", key=b"key-%d" % n, partition=0) for n in range(50)])
        time.sleep(0.15)  # a segment has to be as old as segment.ms for the next record to begin another
    produce(on_kafka.address, name, [Produced(None, key=b"key-0", partition=0)])

    async def read(after: int) -> list[int]:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            reading.positions[f"{name}-0"] = after
            await reading.reach(f"{name}-0", 150)
            return [record.position for record in reading.records[f"{name}-0"]]

    async def run() -> None:
        deadline_s = time.monotonic() + 30
        while len(found := await read(-1)) == 151:
            assert time.monotonic() < deadline_s, "the broker compacts"
        assert found == sorted(set(found))
        assert found[-1] == 150
        # A position that compaction has removed is as good as any other.
        assert await read(20) == [position for position in found if position > 20]

    asyncio.run(run())


def test_reading_goes_on_by_itself_when_the_broker_comes_back(fragile: Any, on_address: Any) -> None:
    on_kafka, name = on_address(fragile.address), "resumed"
    create_topic(on_kafka.address, name)
    produce(on_kafka.address, name, [Produced(b"v", partition=0) for _ in range(10)])

    async def run() -> None:
        async with on_kafka.reading(name, mapping={"SessionTimeoutSeconds": 6}) as reading:
            await reading.has_shards(1)
            await reading.read(10)
            await asyncio.to_thread(fragile.stop)
            trouble = await first_error(reading)
            assert type(trouble) is SourceUnavailable
            assert f"topic 'resumed' on {fragile.address}: no broker answers (" in str(trouble)
            # Past its session a member can not know whose the shard is.
            with pytest.raises((SourceUnavailable, CommitRefused)):
                await asyncio.wait_for(reading.reader.commit(f"{name}-0", Checkpoint(9)), 25)
            fragile.start()
            await asyncio.to_thread(fragile.wait_ready)
            await asyncio.to_thread(produce, on_kafka.address, name, [Produced(b"w", partition=0)])
            deadline_s = time.monotonic() + 30
            while committed_offsets(on_kafka.address, on_kafka.group, name) == {}:
                assert time.monotonic() < deadline_s, "the record after the restart is read and committed"
                with contextlib.suppress(SourceError):
                    await reading.fetch()
                    if 10 in {record.position for record in reading.records[f"{name}-0"]}:
                        await reading.commit_all("after the restart")
            assert {record.position for record in reading.records[f"{name}-0"]} == set(range(11))

    async def first_error(reading: Any) -> SourceError:
        deadline_s = time.monotonic() + 20
        while time.monotonic() < deadline_s:
            try:
                await reading.fetch()
            except SourceError as error:
                return error
        raise AssertionError("a fetch says that the broker is gone")

    asyncio.run(run())


def test_a_question_whether_brokers_answer_again_keeps_nobody_waiting(fragile: Any, on_address: Any) -> None:
    on_kafka, name = on_address(fragile.address), "patient"
    create_topic(on_kafka.address, name)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            reader = reading.reader
            fragile.freeze()
            try:
                # A frozen broker closes no connection, so that nobody tells the reader what it is told here.
                reader._hear(Trouble(SourceUnavailable("no broker answers")))
                fetching = asyncio.create_task(reading.fetch(wait_ms=60_000))
                await eventually(lambda: reader._recovery._connection is not None, "it asks whether that is over")
                # The member's thread has time for whatever else there is, and so have we.
                assert await reader._member.call(lambda consumer: consumer.memberid())
                assert not fetching.done()
            finally:
                fragile.thaw()
            await eventually(lambda: reader._trouble is None, "the broker answers again")
            await asyncio.to_thread(produce, on_kafka.address, name, [Produced(b"v", partition=0)])
            await fetching
            await reading.read(1)

    asyncio.run(run())


def test_what_arrives_while_a_fetch_asks_whether_brokers_answer_again_is_fetched_at_once(
    on_kafka: Any, topic: Callable[..., str]
) -> None:
    name = topic()
    produce(on_kafka.address, name, [Produced(b"v", partition=0)])

    class Slow:
        """A question that is answered when the test says so: the broker answers, as it does."""

        def __init__(self) -> None:
            self.may_answer = asyncio.Event()

        async def ask(self) -> None:
            await self.may_answer.wait()

        async def close(self) -> None:
            pass

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            slow = reading.reader._recovery = Slow()
            reading.reader._hear(Trouble(SourceUnavailable("no broker answers")))
            fetching = asyncio.create_task(reading.fetch(wait_ms=60_000))
            await eventually(lambda: reading.reader._buffers._shards[0].held_bytes, "the record has arrived")
            slow.may_answer.set()
            async with asyncio.timeout(10):
                (found,) = await fetching
            assert [record.value for record in found.records] == [b"v"]

    asyncio.run(run())


def test_a_reader_is_closed_while_it_asks_whether_brokers_answer_again(fragile: Any, on_address: Any) -> None:
    on_kafka, name = on_address(fragile.address), "hasty"
    create_topic(on_kafka.address, name)

    async def run() -> None:
        async with on_kafka.reading(name) as reading:
            await reading.has_shards(1)
            reader = reading.reader
            fragile.freeze()
            try:
                reader._hear(Trouble(SourceUnavailable("no broker answers")))
                fetching = asyncio.create_task(reading.fetch(wait_ms=60_000))
                await eventually(lambda: reader._recovery._connection is not None, "it asks whether that is over")
                await reader._recovery.close()
                with pytest.raises(SourceUnavailable, match="no broker answers"):
                    await fetching
            finally:
                fragile.thaw()

    asyncio.run(run())


def test_a_broker_that_takes_no_notes_is_refused(fragile: Any, on_address: Any) -> None:
    on_kafka, name = on_address(fragile.address), "noteless"
    fragile.stop()
    fragile.configure({"offset.metadata.max.bytes": "200"})
    fragile.start()
    fragile.wait_ready()
    create_topic(on_kafka.address, name)
    error = failure_to_open(on_kafka, name)
    assert isinstance(error, SourceBroken)
    assert "offset.metadata.max.bytes is 200; 1056 or more are needed" in str(error)
