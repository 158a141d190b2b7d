"""Dead letters, as an operator sees them: `penstock peek`, whatever they are on."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from harness.orders import Order

from torture.queues.project import Mapping, QueueProject

SHOWN_MAX = 1_000_000
PREFIX = "penstock."


@dataclass(frozen=True, slots=True)
class Letter:
    """One dead letter; `about` says what went with it under names that begin with `penstock.`."""

    body: bytes
    group: str | None
    about: dict[str, str]

    @property
    def order(self) -> Order:
        value = json.loads(self.body)
        return value["key"], value["number"]

    @property
    def receive_count(self) -> int:
        return int(self.about["receive-count"])


def letters(project: QueueProject, mapping: Mapping) -> list[Letter]:
    """Read every dead letter of a mapping."""
    command = [sys.executable, "-m", "penstock", "peek", mapping.letters, "--json", "--limit", str(SHOWN_MAX)]
    command += ["--file", str(project.file), "--data-dir", str(project.folder / "data-peek")]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert ran.returncode == 0, f"the dead letters of {mapping.name} can not be shown: {ran.stderr}"
    return [_letter(json.loads(line)) for line in ran.stdout.splitlines()]


def _letter(shown: dict[str, Any]) -> Letter:
    if "body" in shown:
        named = [(name, each["value"]) for name, each in shown["attributes"].items()]
        body, group = shown["body"], shown["group"]
    else:
        named, body, group = shown["headers"], shown["value"], shown["key"]
    about = {name.removeprefix(PREFIX): value for name, value in named if name.startswith(PREFIX)}
    return Letter(body.encode(), group, about)
