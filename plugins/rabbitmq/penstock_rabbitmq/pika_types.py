"""What we use of pika, in one place: it says nothing of its types to a type checker."""

from pika import BasicProperties, ConnectionParameters, SSLOptions
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.credentials import ExternalCredentials, PlainCredentials
from pika.exceptions import (
    AMQPError,
    AMQPHeartbeatTimeout,
    ChannelClosed,
    ChannelClosedByClient,
    ConnectionClosed,
    ConnectionClosedByClient,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
    StreamLostError,
)
from pika.spec import Basic

__all__ = [
    "AMQPError",
    "AMQPHeartbeatTimeout",
    "AsyncioConnection",
    "Basic",
    "BasicProperties",
    "ChannelClosed",
    "ChannelClosedByClient",
    "ConnectionClosed",
    "ConnectionClosedByClient",
    "ConnectionParameters",
    "ExternalCredentials",
    "PlainCredentials",
    "ProbableAccessDeniedError",
    "ProbableAuthenticationError",
    "SSLOptions",
    "StreamLostError",
]
