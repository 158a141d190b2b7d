"""The models of a destination and of the nodes' stores: durable, and unreliable while there are faults."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from penstock.core import facts
from penstock.core.invocation_record import InvocationRecord
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.stream_scenario import StreamFaults

Tell: TypeAlias = Callable[[facts.StreamFact, int], None]
"""Posts an answer, after so many milliseconds."""


@dataclass(slots=True)
class Destination:
    """Where invocation records of all shards go. What is in `written` will never be lost."""

    clock: Clock
    chance: Chance
    written: list[tuple[str, InvocationRecord]] = field(default_factory=list)

    def deliver(self, command_id: int, shard: str, record: InvocationRecord, faults: StreamFaults, tell: Tell) -> None:
        chance = self.chance
        delay_ms = chance.between(1, 60) if chance.happens(0.9) else chance.between(60, 5_000)
        if chance.happens(faults.delivery_lost):
            return
        if chance.happens(faults.delivery_failed):
            tell(facts.DeliveryFailed(command_id, "the destination is away"), delay_ms)
        elif chance.happens(faults.delivery_refused):
            tell(facts.DeliveryFailed(command_id, "the destination does not want it", refused=True), delay_ms)
        else:
            self.clock.after(delay_ms, self._write, command_id, shard, record, faults, tell)

    def _write(self, command_id: int, shard: str, record: InvocationRecord, faults: StreamFaults, tell: Tell) -> None:
        self.written.append((shard, record))
        if self.chance.happens(faults.delivery_reply_lost):
            return
        if self.chance.happens(faults.delivery_reply_wrong):
            tell(facts.DeliveryFailed(command_id, "the connection broke"), 1)
        else:
            tell(facts.Delivered(command_id, shrunk=self.chance.happens(0.1)), 1)


@dataclass(slots=True)
class StateStore:
    """The states of windows that one node has, or all nodes share, by version."""

    name: str
    clock: Clock
    chance: Chance
    states: dict[str, bytes] = field(default_factory=dict)

    def save(self, command_id: int, version: str, state: bytes, faults: StreamFaults, tell: Tell) -> None:
        if self._answers(command_id, faults, tell):
            self.clock.after(self.chance.between(1, 30), self._save, command_id, version, state, faults, tell)

    def _save(self, command_id: int, version: str, state: bytes, faults: StreamFaults, tell: Tell) -> None:
        self.states[version] = state
        if not self.chance.happens(faults.state_reply_lost):
            tell(facts.StateSaved(command_id, self.name), 1)

    def load(self, command_id: int, store: str, version: str, faults: StreamFaults, tell: Tell) -> None:
        if not self._answers(command_id, faults, tell):
            return
        if store != self.name or version not in self.states:
            tell(facts.StateMissing(command_id, f"{self.name} has no state {version} of {store}"), 5)
        else:
            tell(facts.StateLoaded(command_id, self.states[version]), 5)

    def forget(self, version: str) -> None:
        self.states.pop(version, None)

    def _answers(self, command_id: int, faults: StreamFaults, tell: Tell) -> bool:
        if self.chance.happens(faults.state_lost):
            return False
        if self.chance.happens(faults.state_failed):
            tell(facts.StoreFailed(command_id, "the disk is busy"), 10)
            return False
        return True
