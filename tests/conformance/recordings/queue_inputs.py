"""What is sent to a case's queue: waves, of which each is sent at once, when all of the one before it is settled."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.queue_setup import setup_of
from penstock.api import Attribute, Outgoing

Waves = list[list[Outgoing]]

GROUP = "group"
_LATER = "after update: "
_COUNTED = re.compile(r"(\d+) messages(?:, (one group))?")
_NUMBERED = re.compile(r'([\d +]+) messages "(.*)"')


def waves_of(case: Case) -> Waves:
    """Find out what a case sends. Raises NotUnderstood."""
    sent: Any = next((case.setup[name] for name in ("send (before create)", "send") if name in case.setup), [])
    group = GROUP if setup_of(case).is_fifo else None
    if isinstance(sent, str):
        return [[Outgoing(body.encode(), group=group) for body in _told(case, sent)]]
    first: list[Outgoing] = []
    waves = [first]
    for each in sent:
        if isinstance(each, str) and each.startswith(_LATER):
            waves.append([_message(each.removeprefix(_LATER), group)])
        else:
            first.append(_message(each, group))
    return waves


def _told(case: Case, text: str) -> Iterator[str]:
    if counted := _COUNTED.fullmatch(text):
        yield from (f"message {number}" for number in range(int(counted[1])))
    elif numbered := _NUMBERED.fullmatch(text):
        for batch, count in enumerate(map(int, numbered[1].split("+"))):
            for number in range(count):
                yield numbered[2].replace("<i>", str(number)).replace("<b>", str(batch))
    else:
        raise NotUnderstood(f"{case.id}: what is sent, {text!r}, means nothing here")


def _message(value: Any, group: str | None) -> Outgoing:
    """Make a message of a text, of a body with attributes, or of a body that is an object."""
    attributes: Mapping[str, Any] = {}
    if isinstance(value, Mapping) and "body" in value:
        attributes, value = value.get("attributes", {}), value["body"]
    body = value if isinstance(value, str) else json.dumps(value)
    made = {name: Attribute(each["DataType"], each["StringValue"]) for name, each in attributes.items()}
    return Outgoing(body.encode(), attributes=made, group=group)
