"""The project that is tortured: on each kind of queue two mappings, with everything that queues can do between them."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import yaml

from torture.queues.kinds import Kind
from torture.queues.ledger import Ledger

CODE = Path(__file__).resolve().parent / "function"
RECEIVES_MAX = 4
VISIBILITY_S = 2
"""Unless told otherwise. Also how long the leases of the dead last."""
TIMEOUT_S = 2
MESSAGE_S = 0.005
"""How long a function takes for each message, so that a kill finds it busy."""

_PARTIAL = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
_FEW = {"ScalingConfig": {"MaximumConcurrency": 2}}
_SOON = {"MaximumBatchingWindowInMilliseconds": 50}


@dataclass(frozen=True, slots=True)
class Variant:
    """The settings of a mapping. `reports`: what its function reports; `stays`: its dead letters do not leave the kind.

    `stays` False sends them to a stream: a topic, or an embedded one.
    """

    name: str
    reports: Literal["no", "items", "rest"]
    stays: bool
    event: dict[str, Any]


STANDARD = (
    Variant("parts", "items", stays=True, event={"BatchSize": 10, **_PARTIAL, **_SOON, **_FEW}),
    Variant("whole", "no", stays=False, event={"BatchSize": 5, **_FEW}),
)
FIFO = (
    Variant("groups", "items", stays=True, event={"BatchSize": 10, **_PARTIAL, **_SOON, **_FEW}),
    Variant("aws", "rest", stays=False, event={"BatchSize": 5, "GroupFailureMode": "aws", **_PARTIAL, **_FEW}),
)


@dataclass(frozen=True, slots=True)
class Mapping:
    """One mapping on one queue, with a function of its own."""

    kind: Kind
    variant: Variant
    ledger: Ledger

    @property
    def name(self) -> str:
        """What the mapping's function, its source and its queue are called."""
        return f"{self.kind.name}-{self.variant.name}"

    @property
    def letters(self) -> str:
        """The source that has its dead letters."""
        return f"{self.name}-dead"


class QueueProject:
    """The files of the project in a folder."""

    def __init__(self, folder: Path, kinds: Sequence[Kind], *, visibility_s: int = VISIBILITY_S) -> None:
        self._visibility_s = visibility_s
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self.name = f"torture-{uuid.uuid4().hex[:12]}"
        folder.mkdir(parents=True)
        self.mappings = [
            Mapping(kind, variant, Ledger(folder / f"ledger-{kind.name}-{variant.name}"))
            for kind in kinds
            for variant in (FIFO if kind.is_fifo else STANDARD)
        ]
        shutil.copytree(CODE, folder / "function", ignore=shutil.ignore_patterns("__pycache__"))
        self.file.write_text(yaml.safe_dump(self._configuration(), sort_keys=False))

    def topics(self) -> list[str]:
        """Name the topics that must be there."""
        return [self._topic(each) for each in self.mappings if not each.variant.stays and each.kind.sends_to_kafka]

    def _configuration(self) -> dict[str, Any]:
        sources: dict[str, Any] = {}
        for mapping in self.mappings:
            policy = {"maxReceiveCount": RECEIVES_MAX, "deadLetterTargetArn": mapping.letters}
            source = mapping.kind.source(mapping.name)
            sources[mapping.name] = {**source, "VisibilityTimeout": self._visibility_s, "RedrivePolicy": policy}
            sources[mapping.letters] = self._letters(mapping)
        return {
            "Name": self.name,
            "Settings": {"MaximumConcurrency": 12},
            "Sources": sources,
            "Functions": {mapping.name: self._function(mapping) for mapping in self.mappings},
        }

    def _letters(self, mapping: Mapping) -> dict[str, Any]:
        if mapping.variant.stays:
            return mapping.kind.source(mapping.letters)
        if mapping.kind.sends_to_kafka:
            return {"Type": "kafka", "BootstrapServers": mapping.kind.brokers.kafka, "Topic": self._topic(mapping)}
        return {"Type": "sqlite-stream", "Path": str(self.folder / "letters.db"), "Stream": mapping.letters}

    def _topic(self, mapping: Mapping) -> str:
        return f"{self.name}-{mapping.letters}"

    def _function(self, mapping: Mapping) -> dict[str, Any]:
        variables = {
            "LEDGER": str(mapping.ledger.path),
            "MESSAGE_SECONDS": str(MESSAGE_S),
            "REPORTS": mapping.variant.reports,
        }
        return {
            "CodeUri": "function",
            "Handler": "app.handler",
            "Timeout": TIMEOUT_S,
            "Environment": {"Variables": variables, "Inherit": ["LEDGER_NODE"]},
            "Events": {"Event": {"Source": mapping.name, **mapping.variant.event}},
        }
