"""Runs all cases at once in one node, and once more to see that nothing is left and nothing is repeated."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from harness.node import Node, Nodes

from conformance.recordings.case import Case, NotUnderstood
from conformance.recordings.inputs import Put
from conformance.recordings.outcome import Outcome
from conformance.recordings.project import CasesProject, Part, part_of
from conformance.recordings.stages import STAGE_S, Status, is_disabled, is_enabled, post, statuses, wait
from conformance.recordings.streams import Streams
from penstock.configuration import ConfigurationError


class Run:
    """One run of all cases over streams of one kind.

    `outcomes` has what came of a case, `problems` why a case did not get to its end: each is one or the other.
    """

    def __init__(self, cases: Iterable[Case], streams: Streams, nodes: Nodes, folder: Path) -> None:
        self.outcomes: dict[str, Outcome] = {}
        self.problems: dict[str, str] = {}
        self.exit_codes: list[int] = []
        self._streams = streams
        self._nodes = nodes
        self._project = CasesProject(folder)
        self._parts: list[Part] = []
        for number, case in enumerate(cases):
            try:
                part = part_of(case, number, folder)
                self._project.add(part, part.sources(streams.source(part.name, part.case.shards)))
            except (NotUnderstood, ConfigurationError) as error:
                # One case that can not be run is none of the others' business.
                self.problems[case.id] = str(error)
            else:
                self._parts.append(part)

    def outcome(self, case: Case) -> Outcome:
        """Give what came of a case. Raises AssertionError where it did not get to its end."""
        assert case.id not in self.problems, self.problems[case.id]
        return self.outcomes[case.id]

    def run(self) -> None:
        """Do everything. Raises AssertionError only for what concerns the node and not one case."""
        self._project.write()
        for part in self._parts:
            self._put(part, part.inputs.before)
        node = self._nodes.start(self._project, name="node")
        self._wait(node, self._parts, "it is enabled", is_enabled)
        for part in self._open():
            self._put(part, part.inputs.after)
        self._wait(node, self._open(), "all records are settled", _is_settled)
        self._collect_results(node)
        self._disable_some(node)
        node.terminate()
        self.exit_codes.append(node.wait())
        again = self._nodes.restart(node, "--until-idle=1", f"--timeout={STAGE_S:g}")
        self.exit_codes.append(again.wait(timeout_seconds=2 * STAGE_S))
        for part in self._open():
            self._collect(part)

    def _open(self) -> list[Part]:
        return [part for part in self._parts if part.case.id not in self.problems]

    def _put(self, part: Part, waves: Iterable[Sequence[Put]]) -> None:
        for wave in waves:
            self._streams.put(part.name, wave)

    def _wait(self, node: Node, parts: Sequence[Part], what: str, holds: Callable[[Part, Status], bool]) -> None:
        """Wait until something holds of all mappings of these parts; those of which it never does have a problem."""
        left = wait(node, parts, holds)
        for part in parts:
            if (shown := left.get(part.mappings[0])) is not None:
                self.problems[part.case.id] = f"not within {STAGE_S:g} s: {what}; its status: {shown}"

    def _collect_results(self, node: Node) -> None:
        found = statuses(node)
        for part in self._open():
            self.outcomes[part.case.id] = Outcome(
                identities=part.identities({mapping: found[mapping]["uuid"] for mapping in part.mappings}),
                put=part.inputs.count,
                last_results=[found[mapping]["last_result"] for mapping in part.mappings],
            )

    def _disable_some(self, node: Node) -> None:
        """Disable mappings, put more, and see that nothing of it was handled before they were enabled again."""
        parts = [part for part in self._open() if part.case.is_disabled]
        for mapping in _mappings(parts):
            post(node, mapping, "disable")
        self._wait(node, parts, "it is disabled", is_disabled)
        for part in parts:
            self._put(part, [[Put()]])
            self.outcomes[part.case.id].put_while_disabled = 1
        for part in parts:
            # What the function was not given until now can only come because of what follows.
            self.outcomes[part.case.id].invocations = part.invocations()
        for mapping in _mappings(parts):
            post(node, mapping, "enable")
        self._wait(node, parts, "what was put meanwhile is settled", self._is_caught_up)

    def _is_caught_up(self, part: Part, status: Status) -> bool:
        return _committed(status) == part.inputs.count + self.outcomes[part.case.id].put_while_disabled

    def _collect(self, part: Part) -> None:
        outcome = self.outcomes[part.case.id]
        everything = part.invocations()
        if part.case.is_disabled:
            counts = map(len, outcome.invocations)
            outcome.after_enabling = [some[count:] for some, count in zip(everything, counts, strict=True)]
        else:
            outcome.invocations = everything
        outcome.documents = part.documents()


def _is_settled(part: Part, status: Status) -> bool:
    return _committed(status) == part.inputs.count


def _committed(status: Status) -> int:
    """Count the records before the checkpoints; every stream begins at position 0."""
    return sum(-1 if shard["committed"] is None else int(shard["committed"]) + 1 for shard in status["shards"])


def _mappings(parts: Iterable[Part]) -> list[str]:
    return [mapping for part in parts for mapping in part.mappings]
