"""What a broker or a source's settings refuse: each is one sentence that says what, where and why."""

from __future__ import annotations

import asyncio
import socket
import uuid

import pika
import pytest
from rabbit_queues import Broker, a_mapping, a_queue, on_broker

from penstock.api import (
    Attribute,
    Outgoing,
    PeeksByTaking,
    RecordRefused,
    SettingsError,
    SourceBroken,
    SourceDenied,
    SourceMissing,
    SourceUnavailable,
)
from penstock_rabbitmq.plugin import RABBITMQ
from penstock_rabbitmq.settings import check_settings

pytestmark = pytest.mark.rabbitmq


def _fails(kind, source, *, why, writes=True):
    """Whoever comes is refused for the same reason: a receiver, a writer, and who only looks."""
    subject = a_queue(source)

    async def receive():
        async with subject.receiver():
            pass

    async def write():
        async with subject.writer():
            pass

    async def look():
        operations = subject.type.operate(source)
        try:
            await operations.check(mapping=a_mapping())
        finally:
            await operations.close()

    for comes in (receive, write, look) if writes else (receive, look):
        with pytest.raises(kind, match=why) as raised:
            asyncio.run(comes())
        assert "\n" not in str(raised.value)
        assert "secret" not in str(raised.value)


def _with_tls(secured, user, **settings):
    return {"Username": user, "Password": secured.passwords[user], "Tls": {"CaFile": secured.ca_file}, **settings}


async def _work(subject):
    async with subject.writer() as writer, subject.receiver() as receiver:
        await writer.send([Outgoing(value=b"one"), Outgoing(value=b"two")])
        first, second = await subject.receive(receiver, 2)
        await receiver.extend([first.receipt], lease_ms=1000)
        await receiver.nack([first.receipt], delay_ms=0, counted=True)
        (again,) = await subject.receive(receiver, 1)
        assert again.body == first.body
        await receiver.ack([second.receipt, again.receipt])
        assert await subject.is_empty(receiver)


def test_a_wrong_password_is_refused(queue_source):
    source = queue_source(Password="wrong-secret", Username="guest")
    _fails(SourceDenied, source, why="queue '.*' on 127.0.0.1:.*: the broker refused the user or the password")


def test_a_virtual_host_that_is_not_there_is_named(queue_source):
    source = queue_source(VirtualHost="nowhere")
    _fails(SourceMissing, source, why="no such virtual host .*nowhere")


def test_a_queue_that_is_not_there_is_named_and_not_made(queue_source, broker):
    source = queue_source(exists=False)
    _fails(SourceMissing, source, why=r"there is no queue .*; make it, or set `Create: true`")
    assert not broker.exists(source.settings["Queue"])


def test_a_closed_port_can_not_be_reached(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    _fails(SourceUnavailable, on_broker(f"amqp://127.0.0.1:{port}", tmp_path), why="Connection refused")


def test_a_name_that_nobody_has_is_said(tmp_path):
    source = on_broker("amqp://nobody.invalid", tmp_path)
    _fails(SourceUnavailable, source, why="the host's name is not known")


def test_the_second_of_two_addresses_is_taken_where_the_first_is_down(queue_source, rabbitmq):
    source = queue_source(Urls=["amqp://127.0.0.1:1", rabbitmq.url])
    asyncio.run(_work(a_queue(source)))


def test_where_every_address_fails_the_refusal_is_what_counts(queue_source, rabbitmq):
    refusing = rabbitmq.url.replace("guest:guest", "guest:wrong-secret")
    source = queue_source(exists=False, Urls=[refusing, "amqp://127.0.0.1:1"])
    _fails(SourceDenied, source, why="refused the user or the password")


def test_a_user_without_the_right_to_configure_can_do_everything_to_an_existing_queue(
    queue_source, rabbitmq_tls, tmp_path
):
    queue = queue_source().settings["Queue"]
    source = on_broker(rabbitmq_tls.url, tmp_path, Queue=queue, **_with_tls(rabbitmq_tls, "limited"))
    asyncio.run(_work(a_queue(source)))
    operations = RABBITMQ.operate(source)

    async def look():
        await operations.check(write=True, mapping=a_mapping())
        assert not await operations.create()
        await operations.close()

    asyncio.run(look())


def test_who_may_not_configure_is_told_so_when_a_queue_is_to_be_made(rabbitmq_tls, tmp_path):
    source = on_broker(rabbitmq_tls.url, tmp_path, **_with_tls(rabbitmq_tls, "limited"))

    async def make():
        operations = RABBITMQ.operate(source)
        try:
            await operations.create()
        finally:
            await operations.close()

    with pytest.raises(SourceDenied, match=r"access to queue .* refused for user 'limited'"):
        asyncio.run(make())


def test_fifo_says_which_right_it_needs(queue_source, rabbitmq_tls, tmp_path):
    queue = queue_source().settings["Queue"]
    source = on_broker(rabbitmq_tls.url, tmp_path, Queue=queue, FifoQueue=True, **_with_tls(rabbitmq_tls, "limited"))

    async def receive():
        async with a_queue(source).receiver():
            pass

    with pytest.raises(SourceDenied, match=rf"the right to configure 'penstock.owner.{queue}'"):
        asyncio.run(receive())


def test_a_user_is_known_by_his_certificate_and_password(queue_source, rabbitmq_tls, tmp_path):
    certificate, key = rabbitmq_tls.client_files
    tls = {"CaFile": rabbitmq_tls.ca_file, "CertFile": certificate, "KeyFile": key}
    settings = _with_tls(rabbitmq_tls, "admin", Queue=queue_source().settings["Queue"], Tls=tls)
    asyncio.run(_work(a_queue(on_broker(rabbitmq_tls.url, tmp_path, **settings))))


def test_a_user_is_known_by_his_certificate_alone(queue_source, rabbitmq_tls, tmp_path):
    certificate, key = rabbitmq_tls.client_files
    source = on_broker(
        rabbitmq_tls.url,
        tmp_path,
        Queue=queue_source().settings["Queue"],
        Authentication="external",
        Tls={"CaFile": rabbitmq_tls.ca_file, "CertFile": certificate, "KeyFile": key},
    )
    asyncio.run(_work(a_queue(source)))


def test_a_certificate_of_a_strangers_authority_is_refused(rabbitmq_tls, stranger_ca_file, tmp_path):
    settings = _with_tls(rabbitmq_tls, "admin", Tls={"CaFile": stranger_ca_file})
    _fails(SourceDenied, on_broker(rabbitmq_tls.url, tmp_path, **settings), why=r"TLS failed \(.*(signed|issuer)")


def test_plain_words_to_a_tls_port_are_a_connection_that_fails(rabbitmq_tls, tmp_path):
    source = on_broker(rabbitmq_tls.url.replace("amqps", "amqp"), tmp_path)
    _fails(SourceUnavailable, source, why="the broker hung up")


def test_tls_to_a_plain_port_is_a_connection_that_fails(rabbitmq, tmp_path):
    source = on_broker(rabbitmq.url.replace("amqp", "amqps"), tmp_path)
    _fails(SourceUnavailable, source, why="TLS failed")


def test_a_quorum_queue_is_no_fifo_queue(queue_source, broker):
    source = queue_source(exists=False, FifoQueue=True)
    broker.declare(source.settings["Queue"], "quorum", x_max_length=1000, x_dead_letter_exchange="amq.fanout")
    _fails(SourceBroken, source, why="quorum queue.*AcceptReorderOnFailover", writes=False)
    accepted = on_broker(
        source.settings["Url"], source.data_dir, **{**source.settings, "AcceptReorderOnFailover": True}
    )
    asyncio.run(_work(a_queue(accepted)))


def test_a_stream_is_no_queue(queue_source, broker):
    source = queue_source(exists=False, FifoQueue=True)
    broker.declare(source.settings["Queue"], "stream")
    _fails(SourceBroken, source, why="it is a stream", writes=False)


def test_a_queue_that_is_another_connections_alone_is_said(rabbitmq, tmp_path):
    queue = f"test-{uuid.uuid4().hex[:12]}"
    with Broker(rabbitmq.url).channel() as channel:
        channel.queue_declare(queue, exclusive=True)
        source = on_broker(rabbitmq.url, tmp_path, Queue=queue)
        _fails(SourceUnavailable, source, why="belongs to another connection alone")


def test_an_existing_queue_with_other_arguments_is_used_as_it_is(queue_source, broker):
    source = queue_source(exists=False, QueueType="quorum", Arguments={"x-max-length": 5})
    broker.declare(source.settings["Queue"], "classic", x_max_priority=4, x_message_ttl=600_000, x_queue_mode="lazy")

    async def work():
        operations = RABBITMQ.operate(source)
        assert not await operations.create()
        await operations.close()
        await _work(a_queue(source))

    asyncio.run(work())


def test_showing_messages_is_refused_with_the_reason(queue_source):
    operations = RABBITMQ.operate(queue_source())
    with pytest.raises(SourceBroken, match="only by taking them"):
        operations.peek(0, limit=1, follow=False)


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_queue_is_described_by_what_the_broker_lets_slip(kind, queue_source, broker):
    source = queue_source(exists=False, QueueType=kind)
    dead = {"x_dead_letter_exchange": "amq.fanout", "x_dead_letter_routing_key": "it's dead"}
    broker.declare(source.settings["Queue"], kind, x_max_length=1000, **dead)
    broker.publish(source.settings["Queue"], b"1", b"2")

    async def show():
        operations = RABBITMQ.operate(source)
        try:
            return await operations.show()
        finally:
            await operations.close()

    shown = asyncio.run(show())
    assert shown["broker"].startswith("RabbitMQ ")
    assert (shown["type"], shown["messages ready"], shown["consumers"]) == (kind, "2", "0")
    assert shown["dead letters"] == """exchange 'amq.fanout', routing key "it's dead\""""
    assert "x-max-length: 1000" in shown["arguments"]


def test_a_queue_that_we_may_not_configure_keeps_its_type_to_itself(queue_source, rabbitmq_tls, tmp_path):
    queue = queue_source().settings["Queue"]
    source = on_broker(rabbitmq_tls.url, tmp_path, Queue=queue, **_with_tls(rabbitmq_tls, "limited"))

    async def show():
        operations = RABBITMQ.operate(source)
        try:
            return await operations.show()
        finally:
            await operations.close()

    assert "no right to configure" in asyncio.run(show())["type"]


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_who_accepts_the_trace_may_look_at_messages(kind, queue_source):
    source = queue_source(QueueType=kind)
    operations = RABBITMQ.operate(source)
    assert isinstance(operations, PeeksByTaking)

    async def look():
        subject = a_queue(source)
        async with subject.writer() as writer:
            await writer.send([Outgoing(value=each) for each in (b"0", b"1", b"2")])
        for limit, bodies in ((2, [b"0", b"1"]), (9, [b"0", b"1", b"2"])):
            shown = [message.body async for message in operations.peek_by_taking(limit=limit)]
            assert sorted(shown) == bodies or (kind == "quorum" and len(shown) == len(bodies))
        await operations.close()
        async with subject.receiver() as receiver:
            assert {message.body for message in await subject.receive(receiver, 3)} == {b"0", b"1", b"2"}

    asyncio.run(look())


def _refused(source, record):
    async def send():
        async with a_queue(source).writer() as writer:
            return await writer.send([record, Outgoing(value=b"good")])

    answer, good = asyncio.run(send())
    assert good is None
    assert isinstance(answer, RecordRefused)
    return answer


def test_what_is_too_large_is_refused_before_it_is_sent(queue_source):
    source = queue_source()
    assert _refused(source, Outgoing(value=b"v" * (16 * 1024 * 1024 + 1))).too_large
    attributes = {f"a{number}": Attribute("String", "v" * 1000) for number in range(100)}
    assert _refused(source, Outgoing(value=b"v", attributes=attributes)).too_large


def test_the_largest_message_is_carried(queue_source):
    source = queue_source()

    async def carry():
        subject = a_queue(source)
        attributes = {f"a{number}": Attribute("String", "v" * 1000) for number in range(90)}
        async with subject.writer() as writer, subject.receiver() as receiver:
            body = b"v" * 16 * 1024 * 1024
            assert await writer.send([Outgoing(value=body, attributes=attributes)]) == [None]
            (message,) = await subject.receive(receiver, 1)
            assert (message.body, message.attributes) == (body, attributes)

    asyncio.run(carry())


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Outgoing(value=b"v", key=b"k"), "no key"),
        (Outgoing(value=b"v", delay_ms=1000), "delay"),
        (Outgoing(value=b"v", group="g"), "FifoQueue"),
        (Outgoing(value=b"v", attributes={"x-delivery-count": Attribute("Number", "1")}), "x-delivery-count"),
        (Outgoing(value=b"v", attributes={"n" * 300: Attribute("String", "v")}), "255 bytes"),
    ],
    ids=["key", "delay", "group", "reserved", "long name"],
)
def test_what_amqp_can_not_carry_is_refused(queue_source, record, why):
    answer = _refused(queue_source(), record)
    assert why in str(answer)
    assert not answer.too_large


def test_a_full_queue_that_takes_nothing_more_is_said(queue_source, broker):
    source = queue_source(exists=False)
    broker.declare(source.settings["Queue"], "classic", x_max_length=1, x_overflow="reject-publish")

    async def send():
        async with a_queue(source).writer() as writer:
            await writer.send([Outgoing(value=b"v") for _ in range(10)])

    with pytest.raises(SourceUnavailable, match="did not take a message; the queue may be full"):
        asyncio.run(send())


def test_a_message_to_a_queue_that_was_deleted_is_an_error(queue_source, broker):
    source = queue_source()

    async def send():
        async with a_queue(source).writer() as writer:
            await asyncio.to_thread(broker.delete, source.settings["Queue"])
            await writer.send([Outgoing(value=b"v")])

    with pytest.raises(SourceMissing, match="no such queue any more"):
        asyncio.run(send())


@pytest.mark.parametrize("kind", ["classic", "quorum"])
def test_a_missing_queue_is_made_with_its_exchange_and_bindings(kind, queue_source, broker):
    name = f"test-{uuid.uuid4().hex[:12]}"
    source = queue_source(
        exists=False,
        QueueType=kind,
        Exchange=name,
        ExchangeType="topic",
        Bindings=["orders.*"],
        Arguments={"x-max-length": 100},
    )

    async def make():
        operations = RABBITMQ.operate(source)
        made = [await operations.create(), await operations.create()]
        await operations.close()
        return made

    try:
        assert asyncio.run(make()) == [True, False]
        broker.publish("orders.new", b"bound", exchange=name)
        broker.publish("others.new", b"not bound", exchange=name)
        asyncio.run(_receives(source, [b"bound"]))
        with broker.channel() as channel, pytest.raises(pika.exceptions.ChannelClosedByBroker, match="x-max-length"):
            channel.queue_declare(source.settings["Queue"], durable=True, arguments={"x-queue-type": kind})
    finally:
        with broker.channel() as channel:
            channel.exchange_delete(name)


async def _receives(source, bodies):
    subject = a_queue(source)
    async with subject.receiver() as receiver:
        messages = await subject.receive(receiver, len(bodies))
        assert [message.body for message in messages] == bodies
        await receiver.ack([message.receipt for message in messages])


@pytest.mark.parametrize(
    ("settings", "path"),
    [
        ({"Queue": "q"}, "Url"),
        ({"Url": "amqp://h", "Urls": ["amqp://i"], "Queue": "q"}, "Urls"),
        ({"Urls": ["amqp://h/a", "amqp://h/b"], "Queue": "q"}, "Urls"),
        ({"Url": "http://h", "Queue": "q"}, "Url"),
        ({"Url": "amqp://h:port", "Queue": "q"}, "Url"),
        ({"Url": "amqp://h?heartbeat=1", "Queue": "q"}, "Url"),
        ({"Url": "amqp://h/a/b", "Queue": "q"}, "Url"),
        ({"Url": "amqp://h/a", "VirtualHost": "b", "Queue": "q"}, "VirtualHost"),
        ({"Url": "amqp://h", "Authentication": "external", "Queue": "q"}, "Authentication"),
        ({"Url": "amqps://h", "Tls": {"CaFile": "/nowhere"}, "Queue": "q"}, "Tls.CaFile"),
        ({"Url": "amqps://h", "Tls": {"CaFile": __file__}, "Queue": "q"}, "Tls.CaFile"),
        ({"Url": "amqps://h", "Tls": {"CertFile": __file__}, "Queue": "q"}, "Tls.KeyFile"),
        ({"Url": "amqps://h", "Tls": {"CertFile": __file__, "KeyFile": __file__}, "Queue": "q"}, "Tls.CertFile"),
        ({"Url": "amqp://h", "Queue": ""}, "Queue"),
        ({"Url": "amqp://h", "Queue": "q" * 256}, "Queue"),
        ({"Url": "amqp://h", "Queue": "q" * 250, "FifoQueue": True}, "Queue"),
        ({"Url": "amqp://h", "Queue": "amq.gen"}, "Queue"),
        ({"Url": "amqp://h", "Queue": "q", "GroupFrom": "customer"}, "GroupFrom"),
        ({"Url": "amqp://h", "Queue": "q", "FifoQueue": True, "GroupFrom": "properties.headers"}, "GroupFrom"),
        ({"Url": "amqp://h", "Queue": "q", "FifoQueue": True, "QueueType": "quorum"}, "FifoQueue"),
        ({"Url": "amqp://h", "Queue": "q", "AcceptReorderOnFailover": True}, "AcceptReorderOnFailover"),
        ({"Url": "amqp://h", "Queue": "q", "VisibilityTimeout": 901}, "VisibilityTimeout"),
        ({"Url": "amqp://h", "Queue": "q", "Bindings": ["a"]}, "Bindings"),
        ({"Url": "amqp://h", "Queue": "q", "Arguments": ["a"]}, "Arguments"),
        ({"Url": "amqp://h", "Queue": "q", "Arguments": {"x-queue-type": "quorum"}}, "Arguments.x-queue-type"),
    ],
)
def test_a_setting_that_can_not_be_is_refused_by_its_path(settings, path):
    with pytest.raises(SettingsError) as raised:
        check_settings(settings)
    assert raised.value.path == path


def test_a_longer_visibility_timeout_goes_with_a_longer_consumer_timeout():
    check_settings({"Url": "amqp://h", "Queue": "q", "VisibilityTimeout": 3600, "ConsumerTimeout": 7200})
