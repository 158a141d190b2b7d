"""What happened, as text: one line for each fact and command, the same for the same seed."""

from __future__ import annotations

from hashlib import sha256

from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch, RecordBatch
from simulation.clock import Clock


class Violation(AssertionError):
    """A promise was broken. The text says which, and where."""


class Trace:
    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.lines: list[str] = []

    def add(self, where: str, what: str) -> None:
        self.lines.append(f"{self._clock.now_ms:>8} {where} {what}")

    def fact(self, where: str, fact: object) -> None:
        self.add(where, f"< {_show(fact)}")

    def command(self, where: str, command: object) -> None:
        self.add(where, f"> {_show(command)}")

    def digest(self) -> str:
        return sha256("\n".join(self.lines).encode()).hexdigest()


def _show(what: object) -> str:  # noqa: PLR0911 - one arm for each that is shortened
    match what:
        case None:
            return "(time)"
        case facts.RecordsFetched(id, fetched):
            gap = f" gap {fetched.gap.first}..{fetched.gap.last}" if fetched.gap else ""
            return f"RecordsFetched {id} {[record.position for record in fetched.records]} at {fetched.position}{gap}"
        case facts.Received(id, messages):
            return f"Received {id} {[message.message_id for message in messages]}"
        case do.Invoke(id, grant, _, batch, attempt):
            return f"Invoke {id} grant {grant} attempt {attempt} {show_batch(batch)}"
        case do.Prepare(batch):
            return f"Prepare {show_batch(batch)}"
        case do.Announce(report):
            return repr(report)
        case facts.StreamSettingsChanged() | facts.QueueSettingsChanged():
            return type(what).__name__
        case _:
            return repr(what)


def show_batch(batch: RecordBatch | MessageBatch) -> str:
    if isinstance(batch, RecordBatch):
        return f"{[record.position for record in batch.records]} to {batch.position}"
    return str([message.message_id for message in batch.messages])
