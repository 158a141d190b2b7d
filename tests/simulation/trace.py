"""What happened, as text: one line for each fact and command, the same for the same seed."""

from __future__ import annotations

from hashlib import sha256

from penstock.api import InvocationResult, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch, RecordBatch
from penstock.core.events.window import WindowFrame
from simulation.clock import Clock

SHOWN_MAX = 200


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


def _show(what: object) -> str:  # noqa: C901, PLR0911 - one arm for each that is shortened
    match what:
        case None:
            return "(time)"
        case facts.RecordsFetched(id, fetched):
            gap = f" gap {fetched.gap.first}..{fetched.gap.last}" if fetched.gap else ""
            return f"RecordsFetched {id} {[record.position for record in fetched.records]} at {fetched.position}{gap}"
        case facts.Received(id, messages):
            return f"Received {id} {[message.message_id for message in messages]}"
        case do.Invoke(id, grant, _, batch, attempt, window):
            return f"Invoke {id} grant {grant} attempt {attempt} {show_batch(batch)}{_show_window(window)}"
        case do.Deliver(id, record):
            positions = [each.position for each in record.records]
            answer = record.answer and show_result(Returned(record.answer.payload, 0))
            return f"Deliver {id} {record.condition} of {positions} after {record.invoke_count}: {answer}"
        case do.SaveState(id, version, state):
            return f"SaveState {id} {version} {_show_bytes(state)}"
        case facts.StateLoaded(id, state):
            return f"StateLoaded {id} {_show_bytes(state)}"
        case facts.Responded(id, result):
            return f"Responded {id} {show_result(result)}"
        case do.Prepare(batch):
            return f"Prepare {show_batch(batch)}"
        case do.Announce(report):
            return repr(report)
        case facts.StreamSettingsChanged() | facts.QueueSettingsChanged():
            return type(what).__name__
        case _:
            return repr(what)


def _show_window(window: WindowFrame | None) -> str:
    if window is None:
        return ""
    last = " last" if window.is_final else ""
    early = " early" if window.is_terminated_early else ""
    return f" in {window.start_ms}..{window.end_ms}{last}{early} with {_show_bytes(window.state)}"


def _show_bytes(data: bytes) -> str:
    shown = data[:SHOWN_MAX].decode(errors="backslashreplace")
    return shown if len(data) <= SHOWN_MAX else f"{shown}… ({len(data)} bytes)"


def show_result(result: InvocationResult | None) -> str:
    """Show what became of an invocation, a long response in part."""
    if isinstance(result, Returned):
        return f"Returned {_show_bytes(result.payload)} after {result.duration_ms} ms"
    return repr(result)


def show_batch(batch: RecordBatch | MessageBatch) -> str:
    if isinstance(batch, RecordBatch):
        return f"{[record.position for record in batch.records]} to {batch.position}"
    return str([message.message_id for message in batch.messages])
