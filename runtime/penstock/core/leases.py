"""The leases of the messages that a queue machine holds: who must be extended, when, and which have run out (D21).

A lease is extended when a third of it has passed, so that two extensions may fail before one lapses. Messages that came
at about the same time are extended together, whatever has become of them meanwhile.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from penstock.core.commands import Extend

EXTEND_EVERY_MS_LEAST = 10
"""However short a lease is, extending it never becomes all there is to do."""
TOGETHER_SHARE = 30
"""Messages that come within this share of a lease are extended together, so that few extensions are asked for."""


@dataclass(slots=True, eq=False)
class _Held:
    """Messages with one lease: that of the oldest of them."""

    receipts: dict[str, None]
    since_ms: int
    extend_at_ms: int
    lapses_at_ms: int
    has_lapsed: bool = False
    asked: int | None = None


@dataclass(frozen=True, slots=True)
class _Asked:
    held: _Held
    command: Extend
    since_ms: int


class Leases:
    """Keeps the receipts of everything that is held. What is being settled is not: its lease may end."""

    def __init__(self, *, lease_ms: int) -> None:
        """Take the length of a lease; a change counts from the next message or extension on."""
        self.lease_ms = lease_ms
        self._places: dict[str, _Held] = {}
        self._held: list[_Held] = []
        self._asked: dict[int, _Asked] = {}

    def __len__(self) -> int:
        """How many messages are held."""
        return len(self._places)

    def hold(self, receipts: Iterable[str], now_ms: int) -> None:
        """Extend these from now on; their lease has just begun."""
        held = self._newest(now_ms)
        for receipt in receipts:
            held.receipts[receipt] = None
            self._places[receipt] = held
        self._drop_empty()

    def let_go(self, receipts: Iterable[str]) -> None:
        """Extend these no more."""
        for receipt in receipts:
            held = self._places.pop(receipt, None)
            if held is not None:
                del held.receipts[receipt]
        self._drop_empty()

    def due(self, now_ms: int, take_id: Callable[[], int]) -> list[Extend]:
        """Give what to ask for now; each is due again after a third of the lease, answered or not."""
        due = [held for held in self._held if now_ms >= held.extend_at_ms]
        commands = []
        for held in self._joined(due):
            if held.asked is not None:
                self._asked.pop(held.asked, None)
            held.asked = take_id()
            held.since_ms, held.extend_at_ms = now_ms, now_ms + self._every_ms()
            command = Extend(held.asked, tuple(held.receipts), self.lease_ms)
            self._asked[held.asked] = _Asked(held, command, now_ms)
            commands.append(command)
        return commands

    def on_extended(self, command_id: int, now_ms: int, *, expired: bool) -> tuple[str, ...] | None:
        """Take in the answer of an extension; None where the id is none of ours.

        Gives the receipts among which are some that stand for nothing any more; which ones is not known. Where some
        were settled while the answer was on its way, those will be the ones.
        """
        asked = self._asked.pop(command_id, None)
        if asked is None:
            return None
        held, receipts = asked.held, asked.command.receipts
        if expired and all(self._places.get(receipt) is held for receipt in receipts):
            return receipts
        held.lapses_at_ms = max(held.lapses_at_ms, asked.since_ms + asked.command.lease_ms)
        # An answer that comes after a standstill may be of an extension that is over as well.
        held.has_lapsed = held.has_lapsed and now_ms >= held.lapses_at_ms
        return ()

    def on_failed(self, command_id: int) -> bool:
        """Take in that an extension failed; the next one is due soon. False where the id is none of ours."""
        return self._asked.pop(command_id, None) is not None

    def lapsed(self, now_ms: int) -> tuple[str, ...]:
        """Give the receipts whose lease has run out by our own clock, once: others may have these messages now."""
        lapsed: list[str] = []
        for held in self._held:
            if not held.has_lapsed and now_ms >= held.lapses_at_ms:
                held.has_lapsed = True
                lapsed += held.receipts
        return tuple(lapsed)

    def deadline_ms(self) -> int | None:
        """Tell when to look again."""
        times = [held.extend_at_ms for held in self._held]
        times += [held.lapses_at_ms for held in self._held if not held.has_lapsed]
        return min(times, default=None)

    def _newest(self, now_ms: int) -> _Held:
        """Find where something that came now belongs. Joining others makes its extension early, never late."""
        together_ms = self.lease_ms // TOGETHER_SHARE
        for held in reversed(self._held):
            if not held.has_lapsed and now_ms - held.since_ms <= together_ms:
                return held
        held = _Held({}, now_ms, now_ms + self._every_ms(), now_ms + max(self.lease_ms, 1))
        self._held.append(held)
        return held

    def _joined(self, due: list[_Held]) -> list[_Held]:
        """Make one of those that are extended at the same time, but for those that have run out."""
        lasting = [held for held in due if not held.has_lapsed]
        for held in lasting[1:]:
            lasting[0].receipts.update(held.receipts)
            self._places.update(dict.fromkeys(held.receipts, lasting[0]))
            lasting[0].lapses_at_ms = min(lasting[0].lapses_at_ms, held.lapses_at_ms)
            held.receipts = {}
        self._drop_empty()
        return [held for held in due if held.receipts]

    def _drop_empty(self) -> None:
        if any(not held.receipts for held in self._held):
            for held in self._held:
                if not held.receipts and held.asked is not None:
                    self._asked.pop(held.asked, None)
            self._held = [held for held in self._held if held.receipts]

    def _every_ms(self) -> int:
        return max(self.lease_ms // 3, EXTEND_EVERY_MS_LEAST)
