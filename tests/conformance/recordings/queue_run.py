"""Runs all cases of queues at once in one node, and once more to see that nothing is left and nothing is repeated."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from harness.node import Node, Nodes

from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.outcome import Identity, Invocation
from conformance.recordings.project import CasesProject
from conformance.recordings.queue_part import QueuePart, part_of
from conformance.recordings.queue_setup import QueueSetup
from conformance.recordings.queues import Queues
from conformance.recordings.stages import STAGE_S, Status, is_disabled, is_enabled, post, statuses, wait
from penstock.api import Message
from penstock.configuration import ConfigurationError


@dataclass(slots=True, kw_only=True)
class QueueOutcome:
    """What came of a case."""

    setup: QueueSetup
    sent: list[str]
    """Every body, in the order in which they were sent."""
    identity: Identity
    states: list[str] = field(default_factory=list)
    """The states in which the mapping stayed, in their order."""
    before_enabling: int = 0
    """How often the function had run when a mapping that began disabled was enabled."""
    invocations: list[Invocation] = field(default_factory=list)
    left: list[Message] = field(default_factory=list)
    """What is on the queue at the end."""
    dead: list[Message] = field(default_factory=list)
    """What is on the queue for dead letters."""


class QueueRun:
    """One run of all cases over queues of one kind.

    `outcomes` has what came of a case, `problems` why a case did not get to its end: each is one or the other.
    """

    def __init__(self, cases: Iterable[Case], queues: Queues, nodes: Nodes, folder: Path) -> None:
        self.outcomes: dict[str, QueueOutcome] = {}
        self.problems: dict[str, str] = {}
        self.exit_codes: list[int] = []
        self.gives_back = queues.gives_back
        self._queues = queues
        self._nodes = nodes
        self._project = CasesProject(folder)
        self._parts: list[QueuePart] = []
        for number, case in enumerate(cases):
            try:
                part = part_of(case, number, folder, window_s=queues.window_s)
                self._project.add(part, part.sources(queues))
            except (NotUnderstood, ConfigurationError) as error:
                # One case that can not be run is none of the others' business.
                self.problems[case.id] = str(error)
            else:
                self._parts.append(part)

    def outcome(self, case: Case) -> QueueOutcome:
        """Give what came of a case. Raises AssertionError where it did not get to its end."""
        assert case.id not in self.problems, self.problems[case.id]
        return self.outcomes[case.id]

    def run(self) -> None:
        """Do everything. Raises AssertionError only for what concerns the node and not one case."""
        self._configuration = self._project.write()
        self._send(0)
        node = self._nodes.start(self._project, name="node")
        self._begin(node)
        for number in range(max(len(part.waves) for part in self._parts)):
            if number > 0:
                self._send(number)
            sent = {part.mapping: sum(map(len, part.waves[: number + 1])) for part in self._open()}
            self._wait(node, self._open(), f"wave {number} is settled", sent)
        node.terminate()
        self.exit_codes.append(node.wait())
        again = self._nodes.restart(node, "--until-idle=1", f"--timeout={STAGE_S:g}")
        self.exit_codes.append(again.wait(timeout_seconds=2 * STAGE_S))
        for part in self._open():
            self._collect(part)

    def _open(self) -> list[QueuePart]:
        return [part for part in self._parts if part.case.id not in self.problems]

    def _send(self, number: int) -> None:
        for part in self._open():
            if number < len(part.waves):
                self._queues.send(self._configuration, part.name, part.waves[number])

    def _begin(self, node: Node) -> None:
        """Wait for every mapping to be as it was made, and enable those that were made disabled."""
        closed = [part for part in self._parts if part.is_disabled]
        self._report(wait(node, closed, is_disabled), "it is disabled")
        begun = {part.mapping: len(part.invocations()) for part in closed}
        for part in closed:
            post(node, part.mapping, "enable")
        self._report(wait(node, self._open(), is_enabled), "it is enabled")
        found = statuses(node)
        for part in self._open():
            self.outcomes[part.case.id] = QueueOutcome(
                setup=part.setup,
                sent=[(message.value or b"").decode() for wave in part.waves for message in wave],
                identity=part.identity(found[part.mapping]["uuid"]),
                states=["Disabled", "Enabled"] if part.is_disabled else ["Enabled"],
                before_enabling=begun.get(part.mapping, 0),
            )

    def _wait(self, node: Node, parts: Sequence[QueuePart], what: str, sent: dict[str, int]) -> None:
        def is_settled(part: QueuePart, status: Status) -> bool:
            return bool(status["counters"]["deleted"] == sent[part.mapping])

        self._report(wait(node, parts, is_settled), what)

    def _report(self, left: dict[str, str], what: str) -> None:
        for part in self._parts:
            if (shown := left.get(part.mapping)) is not None:
                self.problems[part.case.id] = f"not within {STAGE_S:g} s: {what}; its status: {shown}"

    def _collect(self, part: QueuePart) -> None:
        outcome = self.outcomes[part.case.id]
        outcome.invocations = part.invocations()
        outcome.left = self._queues.read(self._configuration, part.name)
        if part.setup.receive_count_max is not None:
            outcome.dead = self._queues.read(self._configuration, part.dead)
