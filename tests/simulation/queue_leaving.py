"""The dead letters of one machine: each is at its target before its message is deleted (D13, D22)."""

from __future__ import annotations

from penstock.core import commands as do
from penstock.core import facts
from simulation.queue_hand import Hand
from simulation.queue_letters import Letters
from simulation.trace import Violation

AT_ONCE_MAX = 10
REFUSED_WAIT_LEAST_MS = 395
ANSWER_MS = 120_000
"""What is not answered for so long is sent again, and its answer means nothing any more."""


class Leaving:
    """One per machine."""

    def __init__(self, hand: Hand, letters: Letters) -> None:
        self.offsets_ms: set[int] = set()
        """All that the wall clock has ever been off by."""
        self._hand = hand
        self._letters = letters
        self._sent: dict[int, str] = {}
        self._sent_ms: dict[int, int] = {}

    def on_send(self, command: do.SendAway, now_ms: int) -> None:
        letter = command.letter
        receipt = letter.message.receipt
        kept = self._hand.kept.get(receipt)
        if kept is None or kept.standing != "leaving":
            raise Violation(f"sends {kept or receipt} away")
        self.forget(receipt)
        self._sent[command.id], self._sent_ms[command.id] = receipt, now_ms
        if len(self._sent) > AT_ONCE_MAX:
            raise Violation(f"sends {len(self._sent)} letters at once")
        if now_ms < kept.not_before_ms:
            raise Violation(f"sends {kept} at {now_ms}, right after the target did not take one")
        runs = kept.count - (letter.condition != "MaximumReceiveCountExceeded")
        told = (letter.condition, letter.runs, letter.message.message_id, letter.message.receive_count)
        if told != (kept.condition, runs, kept.message.message_id, kept.count):
            raise Violation(f"says {told} of {kept}")
        if bool(letter.error_message) != (letter.condition != "Filtered"):
            raise Violation(f"says {letter.error_message!r} went wrong with {kept}")
        if letter.ended_ms - kept.ended_ms not in self.offsets_ms:
            raise Violation(f"says that {kept} ended at {letter.ended_ms}")

    def on_delivered(self, command_id: int) -> None:
        kept = self._hand.kept.get(self._sent.pop(command_id, ""))
        if kept is None or kept.standing != "leaving":
            return
        if not self._letters.written[kept.message.message_id]:
            raise Violation(f"hears of {kept}, which nobody wrote")
        kept.standing = "done"

    def on_failed(self, fact: facts.DeliveryFailed, now_ms: int) -> None:
        kept = self._hand.kept.get(self._sent.pop(fact.id, ""))
        if kept is None:
            return
        if fact.refused:
            kept.not_before_ms = now_ms + REFUSED_WAIT_LEAST_MS

    def pass_time(self, now_ms: int) -> None:
        for command_id in [each for each in self._sent if now_ms >= self._sent_ms[each] + ANSWER_MS]:
            del self._sent[command_id]

    def forget(self, receipt: str) -> None:
        for command_id in [command_id for command_id, sent in self._sent.items() if sent == receipt]:
            del self._sent[command_id]
