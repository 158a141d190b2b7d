"""The errors and parts of redis-py that we use, under names that do not shadow Python's own."""

from redis.asyncio.connection import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    AuthenticationError,
    BusyLoadingError,
    ClusterCrossSlotError,
    ClusterDownError,
    MasterDownError,
    MovedError,
    NoPermissionError,
    NoScriptError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as ConnectionError_
from redis.exceptions import TimeoutError as TimeoutError_

AnyConnection = Connection | UnixDomainSocketConnection
"""A connection with TLS is a `Connection` too."""

Argument = str | bytes | int | float
"""What a command may be made of."""

__all__ = [
    "AnyConnection",
    "Argument",
    "AskError",
    "AuthenticationError",
    "BlockingConnectionPool",
    "BusyLoadingError",
    "ClusterCrossSlotError",
    "ClusterDownError",
    "Connection",
    "ConnectionError_",
    "MasterDownError",
    "MovedError",
    "NoBackoff",
    "NoPermissionError",
    "NoScriptError",
    "OutOfMemoryError",
    "ReadOnlyError",
    "RedisError",
    "ResponseError",
    "Retry",
    "SSLConnection",
    "TimeoutError_",
    "TryAgainError",
    "UnixDomainSocketConnection",
    "key_slot",
]
