"""A broker's refusal is one of our errors, with the reason and without the noise."""

from __future__ import annotations

import socket

import pytest
from pika.exceptions import AMQPHeartbeatTimeout, ChannelClosedByBroker, ConnectionClosedByBroker

from penstock.api import SourceBroken, SourceDenied, SourceMissing, SourceUnavailable
from penstock_rabbitmq.errors import QueueLocked, source_error


@pytest.mark.parametrize(
    ("raised", "kind", "text"),
    [
        (ChannelClosedByBroker(404, "NOT_FOUND - no queue 'q' in vhost '/'"), SourceMissing, "there is no queue 'q'"),
        (ChannelClosedByBroker(403, "ACCESS_REFUSED - access to queue 'q' refused"), SourceDenied, "says: access to"),
        (ChannelClosedByBroker(405, "RESOURCE_LOCKED - exclusive"), QueueLocked, "belongs to another connection"),
        (ChannelClosedByBroker(406, "PRECONDITION_FAILED - inequivalent arg"), SourceBroken, "says: inequivalent arg"),
        (
            ChannelClosedByBroker(406, "PRECONDITION_FAILED - delivery acknowledgement on channel 1 timed out."),
            SourceUnavailable,
            "consumer_timeout is shorter than ConsumerTimeout says",
        ),
        (ConnectionClosedByBroker(320, "CONNECTION_FORCED - broker forced shutdown"), SourceUnavailable, "forced"),
        (ConnectionClosedByBroker(530, "NOT_ALLOWED - vhost v not found"), SourceMissing, "no such virtual host"),
        (ConnectionClosedByBroker(530, "NOT_ALLOWED - access to vhost 'v' refused"), SourceDenied, "access to vhost"),
        (AMQPHeartbeatTimeout("idle"), SourceUnavailable, "fell silent"),
        (socket.gaierror(-2, "Name or service not known"), SourceUnavailable, "name is not known"),
        (ConnectionRefusedError(111, "x"), SourceUnavailable, "Connection refused"),
        (TimeoutError(), SourceUnavailable, "no answer in time"),
    ],
)
def test_what_is_said_is_the_error_that_fits(raised, kind, text):
    error = source_error(raised, "queue 'q' on h")
    assert type(error) is kind
    assert str(error).startswith("queue 'q' on h: ")
    assert text in str(error)


def test_what_is_neither_the_brokers_nor_the_networks_is_a_bug():
    with pytest.raises(ZeroDivisionError):
        source_error(ZeroDivisionError("ours"), "queue")
