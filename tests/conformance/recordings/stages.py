"""The stages of a run: what is asked of its node, and waiting until something holds of all cases."""

from __future__ import annotations

import json
import time
import urllib.request
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from harness.node import Node

STAGE_S = 90.0
"""Every case has so long for each stage, all of them together."""
_EVERY_S = 0.1

Status = dict[str, Any]


class Part(Protocol):
    """What of a project belongs to one case."""

    @property
    def mappings(self) -> list[str]:
        """Name its mappings."""


P = TypeVar("P", bound=Part)


def wait(node: Node, parts: Sequence[P], holds: Callable[[P, Status], bool]) -> dict[str, str]:
    """Wait until something holds of all mappings of these parts; of those of which it never did, give what they show.

    By the name of a mapping of the part, its first.
    """
    deadline_s = time.monotonic() + STAGE_S
    waiting = list(parts)
    while True:
        found = statuses(node)
        waiting = [part for part in waiting if not _all_hold(part, found, holds)]
        if not waiting or time.monotonic() > deadline_s:
            break
        time.sleep(_EVERY_S)
    return {
        part.mappings[0]: ", ".join(json.dumps(found.get(mapping)) for mapping in part.mappings) for part in waiting
    }


def statuses(node: Node) -> dict[str, Status]:
    """Ask a node for the status of all mappings."""
    return {status["name"]: status for status in node.status()["mappings"]}


def post(node: Node, mapping: str, command: str) -> None:
    """Have a node disable or enable a mapping."""
    url = f"{node.status()['endpoint']}/penstock/v1/mappings/{mapping}/{command}"
    with urllib.request.urlopen(urllib.request.Request(url, method="POST"), timeout=10) as answer:
        assert answer.status == 202, f"{command} {mapping}: {answer.status}"


def is_enabled(_: Part, status: Status) -> bool:
    return bool(status["state"] == "Enabled")


def is_disabled(_: Part, status: Status) -> bool:
    return bool(status["state"] == "Disabled")


def _all_hold(part: P, found: dict[str, Status], holds: Callable[[P, Status], bool]) -> bool:
    # A node that has just begun shows no mappings yet.
    return all(mapping in found and holds(part, found[mapping]) for mapping in part.mappings)
