"""Adds up what the node's log says it did."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(slots=True)
class Line:
    """One shard or queue."""

    batches: int = 0
    processed: int = 0
    failures: int = 0
    given_up: int = 0
    state: str = ""


@dataclass(slots=True)
class Tally:
    """Figures per shard or queue, and what was noteworthy."""

    lines: dict[tuple[str, str], Line] = field(default_factory=dict)
    stories: list[str] = field(default_factory=list)

    @property
    def processed(self) -> int:
        """Records and messages that the functions took."""
        return sum(line.processed for line in self.lines.values())

    @property
    def given_up(self) -> int:
        """Records that were dropped after their attempts."""
        return sum(line.given_up for line in self.lines.values())

    def take_in(self, logged: Mapping[str, Any]) -> str | None:
        """Take in one line of the node's log; gives what is worth telling about it, if anything."""
        mapping = logged.get("mapping")
        if mapping is None:
            return None
        line = self.lines.setdefault((str(mapping), str(logged.get("shard", ""))), Line())
        story = _tell(line, logged)
        if story is not None:
            where = f"{mapping} {logged['shard']}" if logged.get("shard") else str(mapping)
            story = f"{where}: {story}"
            self.stories.append(story)
        return story


def _tell(line: Line, logged: Mapping[str, Any]) -> str | None:
    match logged.get("event"):
        case "batch succeeded":
            line.batches += 1
            line.processed += logged["records"]
            line.state = "reading"
            return _tell_success(logged)
        case "batch failed":
            line.failures += 1
            return _tell_failure(line, logged)
        case "records dropped":
            line.given_up += logged["records"]
            line.state = "reading"
            return (
                f"{logged['records']} records given up after {logged['attempts']} attempts "
                f"({logged['condition']}); the shard moves on"
            )
        case "reading":
            line.state = "reading"
    return None


def _tell_success(logged: Mapping[str, Any]) -> str | None:
    if logged["attempt"] > 1:
        return f"{logged['records']} came back and were processed at attempt {logged['attempt']}"
    if logged["duration_ms"] > 1000:
        return f"a slow batch of {logged['records']} took {logged['duration_ms'] / 1000:.1f} s; other shards went on"
    return None


def _tell_failure(line: Line, logged: Mapping[str, Any]) -> str:
    what = f"attempt {logged['attempt']} of a batch of {logged['records']} failed ({logged['error_message']})"
    retry_in_ms = logged.get("retry_in_ms")
    if retry_in_ms is None:
        line.state = "giving up"
        return what
    line.state = f"waits {retry_in_ms / 1000:.1f} s"
    return f"{what}; next in {retry_in_ms / 1000:.1f} s"
