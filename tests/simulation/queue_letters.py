"""The model of a dead-letter target: durable, and unreliable while there are faults."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from penstock.core import facts
from penstock.core.dead_letter import DeadLetter
from simulation.chance import Chance
from simulation.clock import Clock
from simulation.queue_scenario import QueueFaults

Tell: TypeAlias = Callable[[facts.QueueFact, int], None]
"""Posts an answer, after so many milliseconds."""


@dataclass(slots=True)
class Letters:
    """What is in `written` will never be lost."""

    clock: Clock
    chance: Chance
    written: Counter[str] = field(default_factory=Counter)

    def send(self, command_id: int, letter: DeadLetter, faults: QueueFaults, tell: Tell) -> None:
        chance = self.chance
        delay_ms = chance.between(1, 60) if chance.happens(0.9) else chance.between(60, 5_000)
        if chance.happens(faults.delivery_lost):
            return
        if chance.happens(faults.delivery_failed):
            tell(facts.DeliveryFailed(command_id, "the target is away"), delay_ms)
        elif chance.happens(faults.delivery_refused):
            tell(facts.DeliveryFailed(command_id, "the target does not want it", refused=True), delay_ms)
        else:
            self.clock.after(delay_ms, self._write, command_id, letter, faults, tell)

    def _write(self, command_id: int, letter: DeadLetter, faults: QueueFaults, tell: Tell) -> None:
        self.written[letter.message.message_id] += 1
        if self.chance.happens(faults.delivery_reply_lost):
            return
        if self.chance.happens(faults.delivery_reply_wrong):
            tell(facts.DeliveryFailed(command_id, "the connection broke"), 1)
        else:
            tell(facts.Delivered(command_id), 1)
