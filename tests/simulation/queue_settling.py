"""What a machine says to its queue of what it holds: acks, counts, extensions (D21, D22)."""

from __future__ import annotations

from typing import NoReturn

from penstock.core import commands as do
from penstock.core import facts
from penstock.core.settings import QueueSettings
from simulation.queue_hand import Hand
from simulation.trace import Violation

Said = do.Ack | do.Nack | do.Count | do.Extend


class Settling:
    """One per machine."""

    def __init__(self, hand: Hand, settings: QueueSettings) -> None:
        self.settings = settings
        self._hand = hand
        self._said: dict[int, Said] = {}
        self._said_ms: dict[int, int] = {}

    # Facts.

    def on_settled(self, fact: facts.Settled, now_ms: int) -> None:
        command = self._said.pop(fact.id, None)
        match command:
            case do.Extend():
                self._on_extended(command, fact)
            case do.Count():
                self._on_counted(command, now_ms)
            case _:
                pass

    def _on_extended(self, command: do.Extend, fact: facts.Settled) -> None:
        held = [self._hand.kept.get(receipt) for receipt in command.receipts]
        if fact.expired and all(held):
            return
        for kept in held:
            if kept is not None:
                kept.lapses_ms = max(kept.lapses_ms, self._said_ms[fact.id] + command.lease_ms)

    def _on_counted(self, command: do.Count, now_ms: int) -> None:
        for receipt in command.receipts:
            kept = self._hand.kept.get(receipt)
            if kept is not None and kept.standing == "counting":
                kept.standing, kept.count, kept.due_ms = "ahead", command.receive_count, now_ms

    def on_failed(self, command_id: int) -> None:
        """Hear that it was not done; it may come again under its id."""

    # Commands.

    def on_ack(self, command: do.Ack) -> None:
        self._remember(command)
        for receipt in command.receipts:
            kept = self._hand.kept.pop(receipt, None)
            if kept is None and self._hand.settled.get(receipt, ()) is not None:
                self._fail(f"acks {receipt}, of which it has said {self._hand.settled.get(receipt)}")
            if kept is not None and kept.standing != "done":
                self._fail(f"acks {kept}")
            self._hand.settled[receipt] = None

    def on_nack(self, command: do.Nack) -> None:
        self._remember(command)

    def on_count(self, command: do.Count, now_ms: int) -> None:
        is_again = any(
            isinstance(said, do.Count)
            and (said.receipts, said.receive_count) == (command.receipts, command.receive_count)
            for said in self._said.values()
        )
        self._remember(command)
        for receipt in command.receipts:
            kept = self._hand.kept.get(receipt)
            if kept is None:
                if not is_again:
                    self._fail(f"counts {receipt}, which it does not hold")
                continue
            if kept.standing not in {"spent", "counting"} or command.receive_count != kept.count + 1:
                if not is_again:
                    self._fail(f"says {command} of {kept}")
                continue
            if kept.standing == "counting" and not is_again:
                self._fail(f"counts {kept} twice")
            if kept.due_ms is not None and now_ms < kept.due_ms:
                self._fail(f"counts {kept} before it is due")
            kept.standing = "counting"

    def on_extend(self, command: do.Extend, now_ms: int) -> None:
        for receipt in command.receipts:
            kept = self._hand.kept.get(receipt)
            if kept is None:
                self._fail(f"extends {receipt}, which it does not hold")
            kept.asked_ms = now_ms
        if command.lease_ms != self.settings.lease_ms:
            self._fail(f"extends by {command.lease_ms} ms")
        self._remember(command)
        self._said_ms[command.id] = now_ms

    def check_leases(self, now_ms: int, deadline_ms: int | None) -> None:
        """Two extensions may fail before a lease ends, so the first comes before half of it has passed."""
        if not self._hand.kept:
            return
        due_ms = min([kept.asked_ms for kept in self._hand.kept.values()]) + self.settings.lease_ms // 2
        if now_ms > due_ms or deadline_ms is None or deadline_ms > due_ms:
            oldest = min(self._hand.kept.values(), key=lambda kept: kept.asked_ms)
            self._fail(f"does not extend {oldest} by {due_ms}: it wakes at {deadline_ms}, and it is {now_ms}")

    def _remember(self, command: Said) -> None:
        stale = [
            command_id
            for command_id, said in self._said.items()
            if type(said) is type(command) and said.receipts == command.receipts
        ]
        for command_id in stale:
            del self._said[command_id]
        self._said[command.id] = command

    @staticmethod
    def _fail(what: str) -> NoReturn:
        raise Violation(what)
