"""A queue on a broker: is it there, what is it, and how it is made.

AMQP tells nothing of a queue but how many messages and consumers it has. What its arguments are a broker lets slip when
it refuses to make the queue once more with others; that takes the right to configure it.
"""

import contextlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceMissing
from penstock_rabbitmq.channel import Channel, Declared
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.errors import QueueLocked
from penstock_rabbitmq.settings import PREFETCH, Settings

_ARGUMENTS_MAX = 20
_OTHER_TYPE = "stream"
_SLIP = re.compile(r"inequivalent arg '([^']+)' .*but current is (?:none|(?:the value )?'(.*?)'(?: of type '(\w+)')?)$")
_SAID = {"x-delivery-limit", "x-dead-letter-exchange", "x-dead-letter-routing-key"}
_TEXTS = {"longstr", "shortstr"}
NO_LIMIT_SINCE = (4, 0)
"""From here on a quorum queue drops a message after 20 deliveries unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a queue is, as far as the broker told; `type` is "" where it did not."""

    type: str
    arguments: Mapping[str, Any] = field(default_factory=dict)


async def look(channel: Channel, settings: Settings) -> Declared:
    """Look whether the queue is there. Raises SourceMissing."""
    try:
        return await channel.look(settings.queue)
    except SourceMissing as missing:
        raise SourceMissing(f"{missing}; make it, or set `Create: true`") from None


async def create(connection: Connection, settings: Settings) -> bool:
    """Make the queue, its exchange and its bindings where they are missing; True when something was."""
    exists = await is_there(connection, settings.queue)
    channel = await connection.channel()
    if not exists:
        await channel.declare(settings.queue, arguments=arguments_of(settings, connection.version))
    if settings.exchange:
        exchange_exists = await _has_exchange(connection, settings.exchange)
        if not exchange_exists:
            await channel.declare_exchange(settings.exchange, settings.exchange_type)
        if not exists or not exchange_exists:
            for key in settings.bindings or (settings.queue,):
                await channel.bind(settings.queue, settings.exchange, key)
        exists = exists and exchange_exists
    await channel.close()
    return not exists


def arguments_of(settings: Settings, version: tuple[int, ...]) -> dict[str, Any]:
    """Give the arguments of a queue of ours: no delivery limit of the broker's, since runs are counted here (D26)."""
    arguments: dict[str, Any] = {"x-queue-type": settings.type_to_make}
    if settings.type_to_make == "quorum" and version >= NO_LIMIT_SINCE:
        arguments["x-delivery-limit"] = -1
    return {**arguments, **settings.arguments}


async def inspect(connection: Connection, queue: str) -> Kind:
    """Find out what a queue is that is there, by being refused."""
    arguments: dict[str, Any] = {"x-queue-type": _OTHER_TYPE}
    for _ in range(_ARGUMENTS_MAX):
        channel = await connection.channel()
        try:
            await channel.declare(queue, arguments=arguments)
        except SourceBroken as refused:
            found = _SLIP.search(str(refused))
            if found is None:
                return Kind("", {})
            name, value = found[1], _value(found)
            if name == "x-queue-type":
                return Kind(str(value or "classic"), _without_type(arguments))
            if name in {"durable", "auto_delete", "exclusive"}:
                return Kind("", {name: value})
            arguments[name] = value
        except SourceError:
            return Kind("", {})
        else:
            return Kind(_OTHER_TYPE, _without_type(arguments))
        finally:
            await channel.close()
    return Kind("", {})


async def check_order(connection: Connection, settings: Settings) -> None:
    """Refuse a queue that can not keep an order which was asked for, or that we could not own. Raises SourceError."""
    await _check_right_to_own(connection, settings)
    kind = await inspect(connection, settings.queue)
    found = kind.type or settings.queue_type or ""
    if found == "stream":
        raise SourceBroken(f"{settings.place}: it is a stream, and not a queue")
    if found == "quorum" and not settings.accepts_reorder:
        raise SourceBroken(quorum_refusal(settings))


def described(kind: Kind, settings: Settings, version: tuple[int, ...]) -> dict[str, str]:
    """Say how a queue is consumed, counted and held, in words."""
    arguments = kind.arguments
    found = {
        "consumed": "in order per group by one node; others stand by" if settings.is_fifo else "by any number of nodes",
        "counted": "runs, by this node, by message id",
        "held": f"unacknowledged while it runs and for its delay, at most {settings.prefetch or PREFETCH} at a time, "
        f"and half of {settings.consumer_timeout_s} s on one channel",
    }
    if kind.type == "quorum":
        limit = arguments.get("x-delivery-limit", 20 if version >= NO_LIMIT_SINCE else -1)
        found["delivery limit"] = "none" if limit == -1 else f"{limit} deliveries, unless a policy says otherwise"
    exchange = arguments.get("x-dead-letter-exchange")
    if exchange is not None:
        key = arguments.get("x-dead-letter-routing-key")
        found["dead letters"] = f"exchange {exchange!r}" + (f", routing key {key!r}" if key is not None else "")
    others = {name: value for name, value in arguments.items() if name not in _SAID}
    if others:
        found["arguments"] = ", ".join(f"{name}: {value}" for name, value in others.items())
    return found


def quorum_refusal(settings: Settings) -> str:
    """Say why a quorum queue is no FIFO queue."""
    return (
        f"{settings.place}: it is a quorum queue, which puts a message that comes back behind others, so it can not be "
        "FIFO; use a classic queue, or set `AcceptReorderOnFailover: true`"
    )


async def _check_right_to_own(connection: Connection, settings: Settings) -> None:
    channel = await connection.channel()
    try:
        # It is there only while somebody owns it, and then it is locked; whether we might make it shows either way.
        await channel.delete(settings.owner_queue)
    except QueueLocked:
        return
    except SourceDenied as denied:
        raise SourceDenied(
            f"{denied}; a FIFO queue needs the right to configure {settings.owner_queue!r}, whose owner alone receives"
        ) from None
    await channel.close()


async def is_there(connection: Connection, queue: str) -> bool:
    """Tell whether there is a queue of that name."""
    channel = await connection.channel()
    try:
        await channel.look(queue)
    except SourceMissing:
        return False
    finally:
        await channel.close()
    return True


async def _has_exchange(connection: Connection, exchange: str) -> bool:
    channel = await connection.channel()
    with contextlib.suppress(SourceMissing):
        await channel.look_at_exchange(exchange)
        await channel.close()
        return True
    return False


def _value(found: re.Match[str]) -> Any:
    value, kind = found[2], found[3]
    if value is None or kind is None or kind in _TEXTS:
        return value
    if kind == "bool":
        return value == "true"
    return int(value) if value.lstrip("-").isdecimal() else value


def _without_type(arguments: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in arguments.items() if name != "x-queue-type"}
