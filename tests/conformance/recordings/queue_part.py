"""What of a project belongs to one case of a queue: the queue, one for dead letters, a function and its mapping."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from conformance.recordings.case import Case
from conformance.recordings.outcome import Identity, Invocation, read_ledger
from conformance.recordings.project import ACCOUNT, REGION
from conformance.recordings.queue_behaviour import TIMES_OUT, plan_of
from conformance.recordings.queue_inputs import Waves, waves_of
from conformance.recordings.queue_scope import QueueKind, of_kind
from conformance.recordings.queue_setup import QueueSetup, mapping_of, quickened, setup_of
from conformance.recordings.queues import Queues

EVENT = "FromQueue"
_TIMEOUT_S = 20
_SHORT_TIMEOUT_S = 2
_NAME_CHARACTERS = 40


@dataclass(frozen=True, slots=True)
class QueuePart:
    """One case's part."""

    case: Case
    name: str
    folder: Path
    setup: QueueSetup
    waves: Waves
    plan: Mapping[str, Any]
    window_s: int

    @property
    def mapping(self) -> str:
        return f"{self.name}.{EVENT}"

    @property
    def mappings(self) -> list[str]:
        return [self.mapping]

    @property
    def dead(self) -> str:
        """The queue for what is given up."""
        return f"{self.name}-dead"

    @property
    def is_disabled(self) -> bool:
        """It begins disabled, and is enabled then."""
        return not self.case.setup.get("create", {}).get("Enabled", True)

    def identity(self, mapping_uuid: str) -> Identity:
        """Name what events and the responses of Lambda's API name."""
        return Identity(
            uuid=mapping_uuid,
            function_arn=f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:{self.name}",
            source_arn=f"arn:aws:sqs:{REGION}:{ACCOUNT}:{self.name}",
        )

    def invocations(self) -> list[Invocation]:
        """Read what the function has written down, in the order in which it began."""
        return read_ledger(self._ledger)

    def sources(self, queues: Queues) -> dict[str, Any]:
        """Give the section `Sources` of it."""
        order = {"FifoQueue": True} if self.setup.is_fifo else {}
        sources = {self.name: self.setup.source(queues.source(self.name) | order, self.dead)}
        if self.setup.receive_count_max is not None:
            sources[self.dead] = queues.source(self.dead) | order
        return sources

    def functions_configured(self) -> dict[str, Any]:
        """Give the section `Functions` of it."""
        variables = {"LEDGER": str(self._ledger), "PLAN": json.dumps(self.plan)}
        function = {
            "CodeUri": "function",
            "Handler": "messages.handler",
            "Timeout": _SHORT_TIMEOUT_S if self.case.setup.get("function") == TIMES_OUT else _TIMEOUT_S,
            "Environment": {"Variables": variables},
            "Events": {
                EVENT: {
                    "Source": self.name,
                    "EventFormat": "sqs",
                    **quickened(mapping_of(self.case), window_s=self.window_s),
                }
            },
        }
        return {self.name: function}

    @property
    def _ledger(self) -> Path:
        return self.folder / "ledgers" / self.name


def part_of(case: Case, number: int, folder: Path, *, window_s: int = 0) -> QueuePart:
    """Make a case's part of the project; where its batches are compared, they have this window at least.

    Raises NotUnderstood.
    """
    name = re.sub(r"[^a-zA-Z0-9]+", "-", case.id)[:_NAME_CHARACTERS].strip("-")
    return QueuePart(
        case,
        f"{name}-{number}",
        folder,
        setup_of(case),
        waves_of(case),
        plan_of(case),
        window_s if of_kind(case, QueueKind.DELIVERIES) else 0,
    )
