"""What must hold across all machines of a queue: order, groups, and how often what was run (D21-D23)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from penstock.api import Message
from penstock.core import commands as do
from penstock.core.batch import MessageBatch
from simulation.queue_source import Queue, Stored
from simulation.trace import Violation

TRANSIT_MS = 1_000
"""A machine hears of a message so long after its lease began, at most."""


@dataclass(slots=True)
class Run:
    """A function that works on a batch, whatever its machine thinks of it."""

    receipts: tuple[str, ...]
    is_cancelled: bool = False


class Ledger:
    """One per world. Hears of runs when they really begin and end."""

    def __init__(self, queue: Queue, node_of: dict[int, int]) -> None:
        self._queue = queue
        self._node_of = node_of
        self._runs: dict[tuple[int, int], Run] = {}

    def begin(self, number: int, command: do.Invoke, now_ms: int) -> None:
        assert isinstance(command.batch, MessageBatch)
        messages = command.batch.messages
        stored = [self._queue.at(message.receipt) for message in messages]
        for message, one in zip(messages, stored, strict=True):
            one.runs += 1
            self._check_count(number, one, message)
        if self._queue.broker.is_fifo:
            self._check_groups(number, command.batch, now_ms)
            if self._queue.broker.keeps_place:
                self._check_order(number, command.batch, stored)
        self._runs[number, command.id] = Run(command.batch.receipts)

    def end(self, number: int, command_id: int) -> None:
        del self._runs[number, command_id]

    def cancel(self, number: int, command_id: int) -> None:
        if (number, command_id) in self._runs:
            self._runs[number, command_id].is_cancelled = True

    def kill(self, number: int) -> None:
        for key in [key for key in self._runs if key[0] == number]:
            del self._runs[key]

    def is_running_after_all(self, receipt: str) -> bool:
        """Tell whether a function has a message, of which some machine may not know any more."""
        return any(receipt in run.receipts for run in self._runs.values())

    def _check_count(self, number: int, stored: Stored, message: Message) -> None:
        broker, count = self._queue.broker, message.receive_count
        only_here = stored.given_to == {self._node_of[number]}
        if (broker.is_counted or broker.counts_deaths or only_here) and count > stored.runs + stored.deaths:
            raise Violation(f"{stored} counts {count} after {stored.runs} runs and {stored.deaths} deaths")
        # Of two deliveries of one message the earlier knows nothing of the later.
        is_newest = self._queue.is_valid(message.receipt)
        if is_newest and (broker.is_counted or only_here) and count < stored.runs:
            raise Violation(f"{stored} counts {count} at its run {stored.runs}")

    def _check_groups(self, number: int, batch: MessageBatch, now_ms: int) -> None:
        mine = {self._queue.at(receipt).group: receipt for receipt in batch.receipts}
        for (other, command_id), run in self._runs.items():
            for receipt in run.receipts:
                my = mine.get(self._queue.at(receipt).group)
                if my is None:
                    continue
                if other == number and not run.is_cancelled:
                    raise Violation(f"machine {number} runs two batches of a group: {command_id} has {receipt}")
                if other != number and self._queue.is_valid(receipt) and not self._is_excused(my, now_ms):
                    raise Violation(f"machine {number} runs {my} beside {receipt}, which machine {other} holds")

    def _is_excused(self, receipt: str, now_ms: int) -> bool:
        """Say whether a machine could not know that a message is not its own any more."""
        if self._queue.is_valid(receipt):
            return False
        ended_ms = self._queue.ended_ms(receipt)
        return ended_ms is None or receipt in self._queue.late or now_ms - ended_ms <= TRANSIT_MS

    def _check_order(self, number: int, batch: MessageBatch, stored: Sequence[Stored]) -> None:
        seen: dict[str | None, int] = {}
        for message, one in zip(batch.messages, stored, strict=True):
            if not self._queue.is_valid(message.receipt):
                continue
            if seen.get(one.group, -1) >= one.number:
                raise Violation(f"machine {number} turns the order of {one.group} round: {one}")
            seen[one.group] = one.number
            for before in self._queue.earlier_of_group(one):
                if not (before in stored or before.is_finished or before.is_too_large or before.is_filtered):
                    raise Violation(f"machine {number} runs {one} while {before} is not done")
