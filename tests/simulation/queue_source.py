"""A durable queue with leases: visibility, receipts and receive counts survive every crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from penstock.api import Message
from simulation.chance import Chance
from simulation.scenario import QueueScenario

TOO_LARGE_BYTES = 700


@dataclass(slots=True)
class Held:
    """One message and its fate."""

    message_id: str
    body: bytes
    is_poison: bool
    is_too_large: bool
    sent_ms: int
    visible_ms: int = 0
    receipt: str = ""
    """Of the last delivery, while it is out; empty once it was returned."""
    delivered_to: int = 0
    deliveries: int = 0
    receive_count: int = 0
    runs: int = 0
    """Deliveries handed to the function and not ended by the node."""
    lapses: int = 0
    succeeded: set[str] = field(default_factory=set)
    """Receipts under which a machine heard that the function took it."""
    is_deleted: bool = False


class Queue:
    """Times are the world's; `visibility_ms` is the queue's own."""

    def __init__(self, *, visibility_ms: int) -> None:
        self.visibility_ms = visibility_ms
        self.messages: list[Held] = []
        self._by_receipt: dict[str, Held] = {}

    def send(self, scenario: QueueScenario, chance: Chance, now_ms: int) -> None:
        for _ in range(chance.between(1, scenario.messages_per_send)):
            is_large = chance.happens(scenario.too_large)
            body = bytes(TOO_LARGE_BYTES if is_large else chance.between(0, 120))
            name = f"m{len(self.messages)}"
            self.messages.append(Held(name, body, chance.happens(scenario.poison), is_large, now_ms, now_ms))

    def visible(self, now_ms: int) -> list[Held]:
        return [held for held in self.messages if not held.is_deleted and held.visible_ms <= now_ms]

    def receive(self, messages_max: int, to: int, now_ms: int) -> tuple[list[Message], list[tuple[Held, int]]]:
        """Deliver what is visible; gives the messages, and those whose lease had lapsed, with who had them."""
        lapsed = []
        messages = []
        for held in self.visible(now_ms)[:messages_max]:
            if held.receipt:
                held.lapses += 1
                lapsed.append((held, held.delivered_to))
            held.deliveries += 1
            held.receive_count += 1
            held.receipt = f"{held.message_id}/{held.deliveries}"
            held.delivered_to = to
            held.visible_ms = now_ms + self.visibility_ms
            self._by_receipt[held.receipt] = held
            messages.append(Message(held.message_id, held.receipt, held.body, held.receive_count, held.sent_ms, now_ms))
        return messages, lapsed

    def at(self, receipt: str) -> Held:
        return self._by_receipt[receipt]

    def ack(self, receipts: Sequence[str]) -> bool:
        """Delete; tells whether a receipt was not valid any more."""
        mine = self._valid(receipts)
        for held in mine:
            held.is_deleted = True
        return len(mine) < len(receipts)

    def nack(self, receipts: Sequence[str], delay_ms: int, now_ms: int, *, counted: bool) -> bool:
        mine = self._valid(receipts)
        for held in mine:
            held.visible_ms = now_ms + delay_ms
            held.receipt = ""
            held.receive_count -= not counted
        return len(mine) < len(receipts)

    def extend(self, receipts: Sequence[str], lease_ms: int, now_ms: int) -> bool:
        mine = self._valid(receipts)
        for held in mine:
            held.visible_ms = now_ms + lease_ms
        return len(mine) < len(receipts)

    def _valid(self, receipts: Sequence[str]) -> list[Held]:
        held = [self._by_receipt[receipt] for receipt in receipts]
        return [
            one for one, receipt in zip(held, receipts, strict=True) if one.receipt == receipt and not one.is_deleted
        ]
