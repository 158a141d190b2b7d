"""The model of what one queue machine holds: every message with where it stands, and what it may become next."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from penstock.api import Message
from simulation.queue_source import Stored

Standing: TypeAlias = Literal["ahead", "running", "spent", "counting", "hidden", "done", "back", "leaving"]
"""`ahead` may run; `spent` was run and waits for its time; `counting` is one whose next run is being counted; `hidden`
is not run here, and may come again at its time. `done` and `back` have to be settled in the very step that made them
so; `leaving` goes to the dead letters.
"""


@dataclass(slots=True)
class Back:
    """How a message must be given back: after how long, at least and at most."""

    counted: bool
    delay_least_ms: int
    delay_most_ms: int

    def fits(self, *, counted: bool, delay_ms: int) -> bool:
        return counted == self.counted and self.delay_least_ms <= delay_ms <= self.delay_most_ms


def after(delay_ms: int, *, counted: bool) -> Back:
    return Back(counted, delay_ms, delay_ms)


@dataclass(slots=True, eq=False)
class Kept:
    """One message that a machine has."""

    message: Message
    stored: Stored
    count: int
    asked_ms: int
    """When its lease began, or an extension was asked for last."""
    lapses_ms: int
    """When its lease ends, as far as the machine was told."""
    standing: Standing = "ahead"
    due_ms: int | None = None
    """When what is spent may run again; None: with the one before it."""
    back: Back | None = None
    condition: str = ""
    ended_ms: int = 0
    not_before_ms: int = 0
    """A letter that was refused may not be sent before."""

    def __repr__(self) -> str:
        return (
            f"{self.message.receipt} (count {self.count}, {self.standing} {self.condition} due {self.due_ms}, "
            f"back {self.back}, asked {self.asked_ms}, lapses {self.lapses_ms})"
        )

    @property
    def is_waiting(self) -> bool:
        return self.standing in {"ahead", "spent", "counting"}


@dataclass(slots=True)
class Running:
    """One invocation, until its machine has an answer or waits no more."""

    request_id: str
    receipts: tuple[str, ...]
    is_cancelled: bool = False


@dataclass(slots=True)
class Hand:
    """All of one machine."""

    kept: dict[str, Kept] = field(default_factory=dict)
    settled: dict[str, tuple[bool, int] | None] = field(default_factory=dict)
    """What was said of those that are gone: None for an ack, else how they were given back."""

    def standing(self, standing: Standing) -> list[Kept]:
        return [kept for kept in self.kept.values() if kept.standing == standing]

    def same(self, message: Message) -> Kept | None:
        """Find a message that waits and was received once more; where there are sequences they say so (D23)."""
        if message.sequence is None:
            return None
        found = [kept for kept in self.kept.values() if kept.message.sequence == message.sequence]
        return found[-1] if found else None
