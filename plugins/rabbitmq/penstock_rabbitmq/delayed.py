"""The copy of a message that waits in a delay queue, and the message that it was.

The copy is the message with all it has, but for what would mean something to the broker: an expiration of its own, the
user who sent it, further recipients, and where it was dead before (by which brokers find circles, and break them by
dropping). That stands in the header `penstock.moved` meanwhile, with its count, and is put back where it is received.
"""

from collections.abc import Mapping
from typing import Any

from penstock_rabbitmq.messages import ACQUIRED, DELIVERIES, MOVED, NAMES, Delivery, receive_count
from penstock_rabbitmq.pika_types import BasicProperties
from penstock_rabbitmq.settings import DELAY_PREFIX

_ASIDE = ("expiration", "user_id")
"""Properties that are not the copy's: one would end it too soon, the other is refused unless we are that user."""
_RECIPIENTS = frozenset({"CC", "BCC"})
_DEATH, _LAST_DEATH = "x-death", "x-last-death-"
_DEATHS = (_DEATH, "x-first-death-", _LAST_DEATH)
_OWN = frozenset({MOVED, DELIVERIES, ACQUIRED})
"""Of one delivery alone."""


def copy_of(delivery: Delivery, *, counted: bool) -> Any:
    """Make the properties of a copy. `counted=False`: this delivery was never run."""
    properties = delivery.properties
    headers: Mapping[str, Any] = properties.headers or {}
    moved: dict[str, Any] = {
        "message_id": delivery.message_id,
        "first_received": delivery.first_received_ms,
        "runs": receive_count(delivery) - (not counted),
        "properties": {name: value for name in _ASIDE if (value := getattr(properties, name)) is not None},
        "headers": {name: value for name, value in headers.items() if _is_aside(name)},
    }
    kept = {name: value for name, value in headers.items() if name not in _OWN and not _is_aside(name)}
    given = {name: value for name in NAMES if name not in _ASIDE and (value := getattr(properties, name)) is not None}
    return BasicProperties(**given, headers={**kept, MOVED: moved})


def delivery_of(method: Any, properties: Any, body: bytes, *, arrived_s: float) -> Delivery:
    """Make a delivery of what came; of a copy, that of the message which it was."""
    delivery = Delivery(method.delivery_tag, method.redelivered, method.routing_key, properties, body, arrived_s)
    moved = (properties.headers or {}).get(MOVED)
    if not isinstance(moved, dict):
        return delivery
    delivery.message_id = str(moved.get("message_id") or "")
    if _is_back(properties.headers):
        delivery.was_moved = True
        delivery.runs = _number(moved.get("runs"))
        delivery.first_received_ms = _number(moved.get("first_received"))
    properties.headers = _headers_of(properties.headers, _table(moved.get("headers"))) or None
    aside = _table(moved.get("properties"))
    for name in _ASIDE:
        if isinstance(aside.get(name), str):
            setattr(properties, name, aside[name])
    return delivery


def _is_back(headers: Mapping[str, Any]) -> bool:
    """Tell whether a copy comes from a delay queue; one that died once more since then begins anew where it is now."""
    deaths = _deaths(headers)
    return bool(deaths) and _is_ours(deaths[0])


def _headers_of(headers: Mapping[str, Any], aside: Mapping[str, Any]) -> dict[str, Any]:
    """Give the headers that a message has without its time in delay queues."""
    is_back = _is_back(headers)
    found = {
        name: value
        for name, value in headers.items()
        if name != MOVED and (not _is_aside(name) or (name.startswith(_LAST_DEATH) and not is_back))
    }
    found = {**aside, **found}
    deaths = [*(death for death in _deaths(headers) if not _is_ours(death)), *_deaths(aside)]
    return {**found, _DEATH: deaths} if deaths else found


def _deaths(headers: Mapping[str, Any]) -> list[Any]:
    """List where a message was dead, the last one first."""
    deaths = headers.get(_DEATH)
    return deaths if isinstance(deaths, list) else []


def _is_ours(death: Any) -> bool:
    return str(_table(death).get("queue", "")).startswith(DELAY_PREFIX)


def _is_aside(name: str) -> bool:
    return name in _RECIPIENTS or name.startswith(_DEATHS)


def _number(value: Any) -> int:
    return int(value) if isinstance(value, int) and value > 0 else 0


def _table(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}
