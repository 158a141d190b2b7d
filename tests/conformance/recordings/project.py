"""All cases as one project: each has a stream of its own, a destination of its own, and its functions."""

from __future__ import annotations

import json
import re
import shutil
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from conformance.recordings.behaviour import plan_of
from conformance.recordings.case import Case
from conformance.recordings.inputs import Inputs, inputs_of
from conformance.recordings.mapping import EVENT, destination_of, settings_of
from conformance.recordings.outcome import Identity, Invocation, Kept, read_folder, read_ledger, read_queue
from penstock.configuration import Project, load
from penstock.plugins import load_plugins

ACCOUNT = "111111111111"
"""The recorder wrote this one for the account's number."""
REGION = "us-east-1"
ENVIRONMENTS_MAX = 100
_FUNCTION = Path(__file__).resolve().parent / "function"
_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class Part:
    """What of the project belongs to one case. Raises NotUnderstood where the case does not say what it needs."""

    case: Case
    name: str
    folder: Path
    inputs: Inputs
    plan: Mapping[str, Any]

    @property
    def functions(self) -> list[str]:
        return [f"{self.name}-{number}" for number in range(self.case.functions)]

    @property
    def mappings(self) -> list[str]:
        return [f"{function}.{EVENT}" for function in self.functions]

    def identities(self, uuids: Mapping[str, str]) -> list[Identity]:
        """Name everything that a document may name, `uuids` being those of the mappings."""
        return [
            Identity(
                uuid=uuids[mapping],
                function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{function}",
                source_arn=f"arn:aws:kinesis:{REGION}:{ACCOUNT}:stream/{self.name}",
            )
            for function, mapping in zip(self.functions, self.mappings, strict=True)
        ]

    @property
    def dead(self) -> str:
        """The queue for what is given up."""
        return f"{self.name}-dead"

    def invocations(self) -> list[list[Invocation]]:
        return [read_ledger(self._ledger(function)) for function in self.functions]

    def documents(self) -> list[Kept]:
        """Read what is at the destination."""
        found = destination_of(self.case, queue=self.dead, folder=str(self._bucket))
        if found is None:
            return []
        return read_queue(self._queues, self.dead) if found["Destination"] == self.dead else read_folder(self._bucket)

    def sources(self, stream: Mapping[str, Any]) -> dict[str, Any]:
        queue = {"Type": "sqlite-queue", "Path": str(self._queues), "Create": True}
        return {self.name: dict(stream), self.dead: queue}

    def functions_configured(self) -> dict[str, Any]:
        event = {"Source": self.name, "EventFormat": "kinesis", **settings_of(self.case)}
        destination = destination_of(self.case, queue=self.dead, folder=str(self._bucket))
        if destination is not None:
            event["DestinationConfig"] = {"OnFailure": destination}
        return {
            function: {
                "CodeUri": "function",
                "Handler": "app.handler",
                "Timeout": 20,
                "Environment": {"Variables": {"LEDGER": str(self._ledger(function)), "PLAN": json.dumps(self.plan)}},
                "Events": {EVENT: event},
            }
            for function in self.functions
        }

    @property
    def _bucket(self) -> Path:
        return self.folder / "buckets" / self.name

    @property
    def _queues(self) -> Path:
        return self.folder / "queues.db"

    def _ledger(self, function: str) -> Path:
        return self.folder / "ledgers" / function


def part_of(case: Case, number: int, folder: Path) -> Part:
    """Make a case's part of the project. Raises NotUnderstood."""
    name = re.sub(r"[^a-zA-Z0-9]+", "-", case.id)[:_NAME_CHARACTERS].strip("-")
    return Part(case, f"{name}-{number}", folder, inputs_of(case), plan_of(case))


class Configured(Protocol):
    """A case's part, as far as a project wants to know it."""

    def functions_configured(self) -> dict[str, Any]:
        """Give the section `Functions` of it."""


class CasesProject:
    """The folder with everything in it, as the harness of nodes wants it: `file` and `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.file = folder / "penstock.yaml"
        self._name = f"recorded-{uuid.uuid4().hex[:12]}"
        self._registry = load_plugins()
        self._sources: dict[str, Any] = {}
        self._functions: dict[str, Any] = {}
        (folder / "ledgers").mkdir(parents=True)
        shutil.copytree(_FUNCTION, folder / "function", ignore=shutil.ignore_patterns("__pycache__"))

    def add(self, part: Configured, sources: Mapping[str, Any]) -> None:
        """Add a case, with its sources. Raises ConfigurationError where no such mapping can be."""
        functions = part.functions_configured()
        self._write(sources, functions)
        load(self.file, self._registry)
        self._sources |= sources
        self._functions |= functions

    def write(self) -> Project:
        """Write the configuration with everything that was added, and read it as a node does."""
        self._write(self._sources, self._functions)
        return load(self.file, self._registry)

    def _write(self, sources: Mapping[str, Any], functions: Mapping[str, Any]) -> None:
        settings = {"AccountId": ACCOUNT, "Region": REGION, "MaximumConcurrency": ENVIRONMENTS_MAX}
        configuration = {"Name": self._name, "Settings": settings, "Sources": sources, "Functions": functions}
        self.file.write_text(yaml.safe_dump(configuration, sort_keys=False))
