"""The project that is tortured: one node with four mappings that have everything between them."""

from __future__ import annotations

import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from harness import Ledger
from harness.project import CODE

ORDERS, TICKS = "orders", "ticks"
RETRIES = 2
AGE_S = 3600
WINDOW_S = 2
WINDOW_IDLE_S = 3
PARTITIONS = 3
RECORD_S = 0.002
"""How long a function takes for each record, so that a kill finds it busy."""

_FAILURES = {
    "MaximumRetryAttempts": RETRIES,
    "MaximumRecordAgeInSeconds": AGE_S,
    "RetryBackoff": {"InitialMs": 20, "MaximumMs": 200},
}
_PARTIAL = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
_SOON = {"MaximumBatchingWindowInMilliseconds": 50}


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping on one source, with a function of its own. `isolates`: a record is given up for its own sake alone.

    `letters` is where its failure documents go: a topic, or a folder; nothing where it has no destination.
    """

    name: str
    source: str
    event: dict[str, Any]
    isolates: bool = False
    reports: bool = True
    is_keyed: bool = False
    letters: str = ""
    told: str = ""
    variables: dict[str, str] = field(default_factory=dict)


MAPPINGS = (
    Mapping(
        "lanes",
        ORDERS,
        {
            "BatchSize": 25,
            "ParallelizationFactor": 4,
            "BisectBatchOnFunctionError": True,
            **_PARTIAL,
            **_FAILURES,
            **_SOON,
        },
        isolates=True,
        is_keyed=True,
        letters="letters",
    ),
    Mapping(
        "halves",
        ORDERS,
        {"BatchSize": 40, "EventFormat": "kinesis", "BisectBatchOnFunctionError": True, **_FAILURES, **_SOON},
        isolates=True,
        reports=False,
        letters="file:failed",
    ),
    Mapping(
        "whole",
        ORDERS,
        {"BatchSize": 10, **_PARTIAL, **_FAILURES, **_SOON},
        letters="more-letters",
        told="told",
    ),
    Mapping(
        "sums",
        TICKS,
        {
            "BatchSize": 20,
            "TumblingWindowInSeconds": WINDOW_S,
            "TumblingWindowIdleSeconds": WINDOW_IDLE_S,
            "RetryBackoff": _FAILURES["RetryBackoff"],
            **_PARTIAL,
            **_SOON,
        },
    ),
)


class TortureProject:
    """The files of the project in a folder. `address` has what is read, `letters_address` what documents go to."""

    def __init__(self, folder: Path, address: str, letters_address: str) -> None:
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self.name = f"torture-{uuid.uuid4().hex[:12]}"
        self.address, self.letters_address = address, letters_address
        self.ledgers = {mapping.name: Ledger(folder / f"ledger-{mapping.name}") for mapping in MAPPINGS}
        folder.mkdir(parents=True)
        shutil.copytree(CODE, folder / "function", ignore=shutil.ignore_patterns("__pycache__"))
        self.file.write_text(yaml.safe_dump(self._configuration(), sort_keys=False))

    def topic(self, source: str) -> str:
        """Tell the topic of a source."""
        return f"{self.name}-{source}"

    def group(self, mapping: Mapping) -> str:
        """Tell the consumer group of a mapping."""
        return f"{self.name}.{mapping.name}.Event"

    @property
    def failed(self) -> Path:
        """The folder that documents go to."""
        return self.folder / "failed"

    def _configuration(self) -> dict[str, Any]:
        documents = {mapping.letters for mapping in MAPPINGS} | {mapping.told for mapping in MAPPINGS}
        topics = sorted(name for name in documents if name and ":" not in name)
        sources = {name: self._source(self.address, name) for name in (ORDERS, TICKS)}
        sources |= {name: self._source(self.letters_address, name) for name in topics}
        return {
            "Name": self.name,
            "Settings": {"MaximumConcurrency": 16},
            "Sources": sources,
            "Functions": {mapping.name: self._function(mapping) for mapping in MAPPINGS},
        }

    def _source(self, address: str, name: str) -> dict[str, Any]:
        return {"Type": "kafka", "BootstrapServers": address, "Topic": self.topic(name)}

    def _function(self, mapping: Mapping) -> dict[str, Any]:
        variables = {
            "LEDGER": str(self.ledgers[mapping.name].path),
            "RECORD_SECONDS": str(RECORD_S),
            "REPORTS": "yes" if mapping.reports else "no",
        }
        destinations = {"OnFailure": mapping.letters, "OnSuccess": mapping.told}
        given = {event: {"Destination": address} for event, address in destinations.items() if address}
        event = {"Source": mapping.source, "StartingPosition": "TRIM_HORIZON", **mapping.event}
        return {
            "CodeUri": "function",
            "Handler": "app.handler",
            "Timeout": 30,
            "Environment": {"Variables": variables, "Inherit": ["LEDGER_NODE"]},
            "Events": {"Event": {**event, "DestinationConfig": given} if given else event},
        }
