from __future__ import annotations

import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel

from brokers import PrivateRabbitMq, until
from brokers.generations import RABBITMQ_GENERATIONS

pytestmark = pytest.mark.rabbitmq

_DURABLE = pika.BasicProperties(delivery_mode=2)


@pytest.fixture(scope="module", params=RABBITMQ_GENERATIONS)
def broker(request: pytest.FixtureRequest) -> Iterator[PrivateRabbitMq]:
    with PrivateRabbitMq(generation=request.param, tls=True) as private:
        yield private


def test_what_was_confirmed_outlives_a_broker_that_is_killed(broker):
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        channel.queue_declare("kept", durable=True)
        channel.basic_publish("", "kept", b"a message", _DURABLE)
    # What is confirmed is on the disk; that there is such a queue is written there a moment later.
    broker.control("eval", "mnesia:sync_log().")

    broker.kill()
    assert broker.pid is None
    broker.start()
    broker.wait_ready()

    assert _take(broker, "kept") == b"a message"


def test_the_limited_user_writes_and_reads_and_declares_nothing(broker):
    _declare(broker, "theirs")
    limited = pika.PlainCredentials("limited", broker.passwords["limited"])
    with _secured(broker, limited) as connection:
        channel = connection.channel()
        channel.basic_publish("", "theirs", b"written")
        assert until(lambda: channel.basic_get("theirs", auto_ack=True)[2], what="it is read") == b"written"

        with pytest.raises(pika.exceptions.ChannelClosedByBroker, match="ACCESS_REFUSED"):
            channel.queue_declare("of-my-own")


def test_a_client_is_known_by_its_certificate_and_not_without(broker):
    external = pika.credentials.ExternalCredentials()

    with _secured(broker, external, certified=True) as connection:
        assert connection.is_open

    with pytest.raises(pika.exceptions.ProbableAuthenticationError):
        _secured(broker, external)


def test_its_operator_raises_a_memory_alarm_and_ends_it(broker):
    _declare(broker, "alarmed")
    heard: list[str] = []
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.add_on_connection_blocked_callback(lambda *_: heard.append("blocked"))
        connection.add_on_connection_unblocked_callback(lambda *_: heard.append("unblocked"))

        broker.control("set_vm_memory_high_watermark", "0")
        connection.channel().basic_publish("", "alarmed", b"one more")
        until(lambda: _after_events(connection, heard) == ["blocked"], what="the publisher is told to wait")
        broker.control("set_vm_memory_high_watermark", "0.4")

        until(lambda: _after_events(connection, heard) == ["blocked", "unblocked"], what="it may go on")


def _after_events(connection: pika.BlockingConnection, heard: list[str]) -> list[str]:
    connection.process_data_events(0.1)
    return heard


def _declare(broker: PrivateRabbitMq, queue: str) -> None:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        connection.channel().queue_declare(queue)


def _take(broker: PrivateRabbitMq, queue: str) -> bytes:
    with pika.BlockingConnection(pika.URLParameters(broker.url)) as connection:
        channel: BlockingChannel = connection.channel()
        return until(lambda: channel.basic_get(queue, auto_ack=True)[2], what=f"a message is in {queue}")


def _secured(
    broker: PrivateRabbitMq,
    credentials: pika.PlainCredentials | pika.credentials.ExternalCredentials,
    *,
    certified: bool = False,
) -> pika.BlockingConnection:
    context = ssl.create_default_context(cafile=broker.ca_file)
    if certified:
        context.load_cert_chain(*broker.client_files)
    address = urlsplit(broker.tls_url)
    options = pika.SSLOptions(context, address.hostname)
    return pika.BlockingConnection(
        pika.ConnectionParameters(address.hostname, address.port, credentials=credentials, ssl_options=options)
    )
