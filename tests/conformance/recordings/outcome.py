"""What came of a case: what its functions wrote down, and what its destination holds."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from penstock.embedded.file import SourceFile
from penstock.embedded.messages import find_queue, show_messages

_MESSAGES_MAX = 1000


@dataclass(frozen=True, slots=True)
class Invocation:
    """One run of a function. `at_s` is of the machine's monotonic clock."""

    request_id: str
    at_s: float
    event: dict[str, Any]
    told: dict[str, Any] = field(default_factory=dict)
    """What a queue's function says that it did."""

    @property
    def records(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.event["Records"]
        return found

    @property
    def positions(self) -> list[int]:
        return [int(record["kinesis"]["sequenceNumber"]) for record in self.records]

    @property
    def pairs(self) -> list[tuple[str, bytes]]:
        """Give each record's key and data."""
        return [
            (record["kinesis"]["partitionKey"], base64.b64decode(record["kinesis"]["data"])) for record in self.records
        ]


@dataclass(frozen=True, slots=True)
class Kept:
    """A document as its destination keeps it; `path` where that is a folder, relative to it."""

    document: dict[str, Any]
    path: str = ""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a mapping, its function and its source are called."""

    uuid: str
    function_arn: str
    source_arn: str


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What came of a case. A list of invocations for each function, in the order in which they began."""

    identities: list[Identity]
    put: int
    """How many records were put, before any were put while the mapping was disabled."""
    last_results: list[str] = field(default_factory=list)
    """Of each mapping, when everything was handled."""
    invocations: list[list[Invocation]] = field(default_factory=list)
    after_enabling: list[list[Invocation]] = field(default_factory=list)
    """Of a mapping that was disabled: those since it was enabled again."""
    put_while_disabled: int = 0
    documents: list[Kept] = field(default_factory=list)


def read_ledger(path: Path) -> list[Invocation]:
    """Read what a function has written down."""
    lines = path.read_text().splitlines() if path.exists() else []
    return [Invocation(**json.loads(line)) for line in lines]


def read_queue(path: Path, name: str) -> list[Kept]:
    """Read an embedded queue without taking anything."""

    async def run() -> list[Kept]:
        file = await SourceFile.acquire(path)
        try:
            queue = await file.read(partial(find_queue, name=name))
            assert queue is not None, f"there is no queue {name}"
            rows = await file.read(
                partial(show_messages, queue=queue, after_id=0, since_ms=0, messages_max=_MESSAGES_MAX)
            )
        finally:
            await file.release()
        return [Kept(json.loads(message.body)) for _, message in rows]

    return asyncio.run(run())


def read_folder(folder: Path) -> list[Kept]:
    """Read all documents below a folder, in the order of their names."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return [Kept(json.loads(path.read_bytes()), str(path.relative_to(folder))) for path in paths]
