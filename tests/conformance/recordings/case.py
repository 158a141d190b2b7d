from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

STREAMS = ("kin-*.json", "ddb-*.json")
QUEUES = ("sqs-*.json",)


class NotUnderstood(Exception):
    """A recording says something that nothing here knows how to do or to compare."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One set-up and what came of it. A file that holds several cases gives several of these."""

    id: str
    title: str
    setup: Mapping[str, Any]
    """`source`, `create`, `put` or `send`, `function`, `functions`, `function_returns`; each may be absent."""
    expected: Mapping[str, Any]

    @property
    def source(self) -> str:
        """What it was recorded with; empty where that is no source."""
        return str(self.setup.get("source", ""))

    @property
    def is_change_feed(self) -> bool:
        """It was recorded with DynamoDB's streams."""
        return "dynamodb" in self.source

    @property
    def shards(self) -> int:
        found = re.search(r"(\d+) shard", self.source)
        return int(found[1]) if found else 1

    @property
    def functions(self) -> int:
        """Count the functions, each with a mapping of its own on the one stream."""
        return int(self.setup.get("functions", 1))

    @property
    def is_disabled(self) -> bool:
        """The mapping is disabled after its records were handled, and more are put then."""
        states = [value.get("State") for value in self.expected.values() if isinstance(value, Mapping)]
        return "Enabled=false" in self.title or "Disabling" in states


def read_cases(folder: Path, patterns: Sequence[str] = STREAMS) -> list[Case]:
    """Read every case of a stream, or of a queue, below the folder of the recordings."""
    files = sorted(path for pattern in patterns for path in folder.glob(pattern))
    return [case for path in files for case in cases_of(json.loads(path.read_text()))]


def cases_of(recorded: Mapping[str, Any]) -> Iterator[Case]:
    """Take the cases out of one file: itself, or what stands below `cases`, over what all of these share."""
    if "cases" not in recorded:
        yield Case(id=recorded["id"], title=recorded["title"], setup=recorded["setup"], expected=recorded["expected"])
        return
    for each in recorded["cases"]:
        own = {key: value for key, value in each.items() if key not in {"case", "aws_recorded", "expected"}}
        create = {**recorded["setup"].get("create", {}), **own.pop("create", {}), **own.pop("create_extra", {})}
        yield Case(
            id=f"{recorded['id']}: {each['case']}",
            title=recorded["title"],
            setup={**recorded["setup"], **own, "create": create},
            expected=each["expected"],
        )
