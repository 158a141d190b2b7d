"""Queues for the tests, and what is done to them from outside."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from contract.queue_contract import QueueSubject
from penstock.api import SourceContext
from penstock_redis.plugin import LIST, QUEUE


def on_server(url: str, folder: Path, **settings: Any) -> SourceContext:
    """A source with a key of its own."""
    key = settings.pop("Key", f"test-{uuid.uuid4().hex[:12]}")
    return SourceContext(project="tests", name="jobs", settings={"Url": url, "Key": key, **settings}, data_dir=folder)


def a_queue(source: SourceContext) -> QueueSubject:
    return QueueSubject(type=QUEUE, source=source)


def a_list(source: SourceContext) -> QueueSubject:
    return QueueSubject(type=LIST, source=source)


KINDS = ["standard", "fifo", "list"]


def of_kind(kind: str, source: SourceContext) -> QueueSubject:
    """One of `KINDS`, on a source that was made with `settings_of(kind)`."""
    return a_list(source) if kind == "list" else a_queue(source)


def settings_of(kind: str) -> dict[str, Any]:
    return {"FifoQueue": True} if kind == "fifo" else {}


def abandon(receiver: Any) -> None:
    """Let a receiver fall silent as a killed process would: nothing is given back, the lease runs out."""
    receiver._owner._task.cancel()
