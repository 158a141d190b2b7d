"""A project on a queue: its configuration, its function's code, its ledger."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from brokers import until
from harness.project import CODE
from harness.project_file import FUNCTION, ProjectFile
from harness.queue_ledger import QueueLedger
from harness.queues import Figures, Queue

EVENT = "FromJobs"
SOURCE = "jobs"
DEAD = "dead"


class QueueProject(ProjectFile):
    """One function that keeps a ledger, on one queue. `event`, `source` and `function` are settings in Lambda's words.

    project = QueueProject(tmp_path / "shop", queue, BatchSize=4, source={"VisibilityTimeout": 1})

    With `dead` and `receive_count_max` the queue has a RedrivePolicy; `dead` is a queue, or a source's settings. Unless
    told otherwise (`FunctionResponseTypes=[]`) the mapping takes reports of single messages. Queues `beside` it have
    mappings of their own on the same function, with the same settings: those of `jobs-1`, `jobs-2` and so on. Where it
    `is_gated`, no environment has started before `open_gate`.
    """

    mapping = f"{FUNCTION}.{EVENT}"

    def __init__(
        self,
        folder: Path,
        queue: Queue,
        *,
        name: str | None = None,
        source: dict[str, Any] | None = None,
        function: dict[str, Any] | None = None,
        dead: Queue | dict[str, Any] | None = None,
        receive_count_max: int | None = None,
        beside: Sequence[Queue] = (),
        work_seconds: float = 0,
        record_seconds: float = 0,
        is_gated: bool = False,
        **event: Any,
    ) -> None:
        super().__init__(folder, event=EVENT)
        self.name = name or f"e2e-{uuid.uuid4().hex[:12]}"
        self.queue = queue
        folder.mkdir(parents=True)
        self.ledger = QueueLedger(folder / "ledger")
        shutil.copytree(CODE, folder / "function", ignore=shutil.ignore_patterns("__pycache__"))
        variables = {
            "LEDGER": str(self.ledger.path),
            "WORK_SECONDS": str(work_seconds),
            "RECORD_SECONDS": str(record_seconds),
            "GATED": "yes" if is_gated else "",
        }
        shared, sources = dict(source or {}), {}
        if dead is not None:
            assert receive_count_max is not None
            shared["RedrivePolicy"] = {"maxReceiveCount": receive_count_max, "deadLetterTargetArn": DEAD}
            sources[DEAD] = dead.source() if isinstance(dead, Queue) else dead
        sources[SOURCE] = {**queue.source(), **shared}
        events = {EVENT: {"Source": SOURCE, "FunctionResponseTypes": ["ReportBatchItemFailures"], **event}}
        for number, each in enumerate(beside, 1):
            sources[f"{SOURCE}-{number}"] = {**each.source(), **shared}
            events[f"{EVENT}{number}"] = {**events[EVENT], "Source": f"{SOURCE}-{number}"}
        configuration = {
            "Name": self.name,
            "Sources": sources,
            "Functions": {
                FUNCTION: {
                    "CodeUri": "function",
                    "Handler": "jobs.handler",
                    "Timeout": 30,
                    "Environment": {"Variables": variables, "Inherit": ["LEDGER_NODE"]},
                    **(function or {}),
                    "Events": events,
                }
            },
        }
        self.write(configuration)

    def open_gate(self) -> None:
        """Let environments start."""
        self.ledger.path.with_name(self.ledger.path.name + ".gate").touch()

    def command(self, *arguments: str) -> str:
        """Run a command on its configuration to its end, see that it ended well, and give what it printed."""
        name, *rest = arguments
        ran = subprocess.run(
            [sys.executable, "-m", "penstock", name, "-f", str(self.file), *rest],
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def letters(self, source: str = DEAD) -> list[dict[str, Any]]:
        """Show the dead letters as an operator sees them: `body`, `attributes` and what else a message has."""
        return [json.loads(line) for line in self.command("peek", source, "--limit", "1000", "--json").splitlines()]

    def wait_letters(self, count: int, *, timeout_seconds: float = 60) -> list[dict[str, Any]]:
        """Wait until there are so many dead letters, and give them."""
        return until(
            lambda: found if len(found := self.letters()) >= count else [],
            what=f"{count} dead letters",
            timeout_seconds=timeout_seconds,
        )

    def wait_figures(
        self, queue: Queue | None = None, *, what: str, timeout_seconds: float = 60, **wanted: int
    ) -> Figures:
        """Wait until the broker says so, of its own queue unless told: `wait_figures(held=4, what="all are held")`."""
        asked = queue or self.queue

        def found() -> Figures | None:
            figures = asked.figures()
            return figures if all(getattr(figures, name) == count for name, count in wanted.items()) else None

        what = f"{asked.kind}: {what}"
        try:
            figures = until(found, what=what, timeout_seconds=timeout_seconds)
        except AssertionError as error:
            raise AssertionError(f"{error}; the broker says {asked.figures()}") from None
        assert figures is not None
        return figures

    def wait_empty(self, queue: Queue | None = None, *, timeout_seconds: float = 60) -> None:
        """Wait until nothing is left in a queue, its own unless told."""
        self.wait_figures(queue, left=0, what="nothing is left", timeout_seconds=timeout_seconds)


def attributes(letter: dict[str, Any]) -> dict[str, str]:
    """Give a dead letter's attributes as texts."""
    return {name: str(each["value"]) for name, each in letter["attributes"].items()}
