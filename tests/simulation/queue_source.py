"""Queues as brokers have them (`queue_scenario.Broker`): leases and counts survive every crash of a node."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from penstock.api import Message
from simulation.chance import Chance
from simulation.queue_scenario import Broker, QueueScenario

STUBBORN_MAX = 3
"""So few messages that fail for ever leave time for all others."""


@dataclass(slots=True, eq=False)
class Stored:
    """One message and its fate."""

    message_id: str
    number: int
    group: str | None
    body: bytes
    place: int
    sent_ms: int
    is_poison: bool = False
    is_stubborn: bool = False
    is_too_large: bool = False
    is_filtered: bool = False
    visible_ms: int = 0
    receipt: str = ""
    """Of the last delivery, while it is out; empty once it was returned."""
    owner: int = 0
    """The machine that has it, or had it last."""
    is_prefetched: bool = False
    """Its owner's client has it, and the machine does not know of it yet."""
    deliveries: int = 0
    receive_count: int = 0
    """What the broker says."""
    is_redelivered: bool = False
    runs: int = 0
    """Handed to a function, and not ended by the node."""
    given_to: set[int] = field(default_factory=set)
    """The nodes that had it."""
    deaths: int = 0
    """How often it was lost by whoever had it."""
    is_finished: bool = False
    """A machine was told that it is deleted."""
    is_deleted: bool = False
    has_vanished: bool = False
    returns: int = 0
    """How often a machine gave it back."""

    def __repr__(self) -> str:
        return f"{self.message_id} of {self.group} (runs {self.runs}, count {self.receive_count})"


class Queue:
    """Times are the world's. `alive_until` tells when a machine was last seen; its node's index is `node_of`."""

    def __init__(
        self, broker: Broker, *, visibility_ms: int, node_of: dict[int, int], alive_until: Callable[[int], int]
    ) -> None:
        self.broker = broker
        self.visibility_ms = visibility_ms
        self.messages: list[Stored] = []
        self.owner: int | None = None
        self.endings = 0
        """How many machines' receivers were lost or taken away."""
        self._left: list[Stored] = []
        """Those that are not deleted, in their order."""
        self._by_receipt: dict[str, Stored] = {}
        self._prefetched: dict[int, deque[Stored]] = {}
        self._runs: dict[int, dict[str, int]] = {}
        """What each node's store knows."""
        self._counted: dict[str, int] = {}
        """What a node that counts itself knows of what it holds, by receipt."""
        self.late: set[str] = set()
        """What was told to a machine when it had been there for long, since its node stood still."""
        self._ended_ms: dict[str, int] = {}
        """When the leases ended by time of what somebody else has by now."""
        self._node_of = node_of
        self._alive_until = alive_until
        self._last_place = 0
        self._stubborn = 0

    def send(self, scenario: QueueScenario, chance: Chance, now_ms: int) -> None:
        for _ in range(chance.between(1, scenario.messages_per_send)):
            number = len(self.messages)
            is_large, is_filtered = chance.happens(scenario.too_large), chance.happens(scenario.filtered)
            is_large = is_large and not is_filtered
            body = (b"-" if is_filtered else b"+") + bytes(
                scenario.settings.event_bytes_max if is_large else chance.between(0, 120)
            )
            group = f"g{chance.between(1, scenario.groups)}" if self.broker.is_fifo else None
            stored = Stored(f"m{number}", number, group, body, self._new_place(), now_ms)
            stored.is_poison = chance.happens(scenario.poison)
            if self._stubborn < STUBBORN_MAX and chance.happens(scenario.stubborn):
                self._stubborn += 1
                stored.is_stubborn = True
            stored.is_too_large, stored.is_filtered = is_large, is_filtered and scenario.is_filtered
            stored.visible_ms = now_ms
            self.messages.append(stored)
            self._left.append(stored)

    def at(self, receipt: str) -> Stored:
        return self._by_receipt[receipt]

    def left(self) -> list[Stored]:
        return list(self._left)

    def is_valid(self, receipt: str) -> bool:
        stored = self._by_receipt[receipt]
        return stored.receipt == receipt and not stored.is_deleted

    def ended_ms(self, receipt: str) -> int | None:
        """Tell when its lease ended by time; None for one that ended otherwise, or did not end."""
        return self._ended_ms.get(receipt)

    def earlier_of_group(self, stored: Stored) -> list[Stored]:
        return [one for one in self._left if one.group == stored.group and one.number < stored.number]

    # Receiving.

    def receive(self, messages_max: int, to: int, now_ms: int, *, repeat: bool = False) -> list[Message]:
        """Deliver what may be delivered; `repeat` gives one that somebody has."""
        if self.broker.has_one_owner and not self._take_ownership(to, now_ms):
            return []
        if self.broker.by_connection:
            self._prefetch(to, now_ms)
            waiting = self._prefetched[to]
            found = [waiting.popleft() for _ in range(min(messages_max, len(waiting)))]
            for stored in found:
                stored.is_prefetched = False
            return [self._message(stored, to, now_ms) for stored in found]
        found = self._available(to, now_ms)[:messages_max]
        if repeat and len(found) < messages_max:
            found += [one for one in self._left if one.receipt and one.visible_ms > now_ms][:1]
        for stored in found:
            self._deliver(stored, to, now_ms)
        return [self._message(stored, to, now_ms) for stored in found]

    def _take_ownership(self, to: int, now_ms: int) -> bool:
        if self.owner in {None, to}:
            self.owner = to
            return True
        if self.broker.by_connection or now_ms < self._alive_until(self.owner or 0) + self.visibility_ms:
            return False
        self.lose(self.owner or 0, now_ms)
        self.owner = to
        return True

    def _available(self, to: int, now_ms: int) -> list[Stored]:
        if self.broker.by_connection:
            return [one for one in self._left if not one.receipt]
        visible = [one for one in self._left if one.visible_ms <= now_ms]
        if not self.broker.is_fifo:
            return visible
        blocked: dict[str | None, int] = {}
        for one in self._left:
            if one.visible_ms > now_ms and not (one.receipt and one.owner == to):
                blocked.setdefault(one.group, one.number)
        return [one for one in visible if one.number < blocked.get(one.group, one.number + 1)]

    def _prefetch(self, to: int, now_ms: int) -> None:
        waiting = self._prefetched.setdefault(to, deque())
        unacked = sum(one.owner == to and bool(one.receipt) for one in self._left)
        for stored in self._available(to, now_ms)[: max(0, self.broker.prefetch - unacked)]:
            self._deliver(stored, to, now_ms)
            stored.is_prefetched = True
            waiting.append(stored)

    def _deliver(self, stored: Stored, to: int, now_ms: int) -> None:
        if stored.receipt:
            stored.deaths += 1
            self._ended_ms[stored.receipt] = min(stored.visible_ms, now_ms)
        stored.deliveries += 1
        stored.given_to.add(self._node_of[to])
        if self.broker.is_counted:
            stored.receive_count += 1
        stored.receipt = f"{stored.message_id}/{stored.deliveries}"
        stored.owner = to
        stored.visible_ms = now_ms + self.visibility_ms
        self._by_receipt[stored.receipt] = stored

    def _message(self, stored: Stored, to: int, now_ms: int) -> Message:
        return Message(
            message_id=stored.message_id,
            receipt=stored.receipt,
            body=stored.body,
            receive_count=stored.receive_count if self.broker.is_counted else self._count_again(stored, to),
            sent_ms=stored.sent_ms,
            first_received_ms=now_ms,
            group=stored.group,
            sequence=None if stored.group is None else f"{stored.number:06}",
        )

    def _count_again(self, stored: Stored, to: int) -> int:
        """Do as the node's counting wrapper does (D22)."""
        count = 1
        if stored.is_redelivered:
            known = self._store_of(to).get(stored.message_id)
            says = stored.receive_count + 1 if self.broker.counts_deaths else 2
            count = says if known is None else known + 1
            self._store_of(to)[stored.message_id] = count
        self._counted[stored.receipt] = count
        return count

    # Settling; each tells whether a receipt was not valid any more.

    def ack(self, receipts: Sequence[str], _now_ms: int) -> bool:
        mine = self._valid(receipts)
        for stored in mine:
            stored.is_deleted = True
        self._forget(mine)
        return len(mine) < len(receipts)

    def nack(self, receipts: Sequence[str], now_ms: int, *, delay_ms: int, counted: bool) -> bool:
        mine = self._valid(receipts)
        for stored in mine:
            if not self.broker.is_counted:
                known = self._store_of(stored.owner)
                known[stored.message_id] = self._counted[stored.receipt] - (not counted)
                stored.is_redelivered = True
                stored.receive_count += counted and self.broker.counts_deaths
            else:
                stored.receive_count -= not counted
            stored.visible_ms = now_ms + (delay_ms if self.broker.is_delayed else 0)
            stored.receipt = ""
            stored.returns += 1
            if not self.broker.keeps_place:
                stored.place = self._new_place()
            self._vanish(stored)
        self._left.sort(key=lambda one: one.place)
        if mine and self.broker.by_connection and self.broker.is_fifo:
            # What its client has read ahead would overtake: it begins anew.
            self._return_prefetched(mine[0].owner)
        return len(mine) < len(receipts)

    def _return_prefetched(self, machine: int) -> None:
        for stored in self._prefetched.pop(machine, ()):
            stored.receipt, stored.is_prefetched = "", False

    def count(self, receipts: Sequence[str], _now_ms: int, *, receive_count: int) -> bool:
        mine = self._valid(receipts)
        for stored in mine:
            if self.broker.is_counted:
                stored.receive_count = max(stored.receive_count, receive_count)
            else:
                self._store_of(stored.owner)[stored.message_id] = self._counted[stored.receipt] = receive_count
        return len(mine) < len(receipts)

    def extend(self, receipts: Sequence[str], now_ms: int, *, lease_ms: int) -> bool:
        mine = self._valid(receipts)
        for stored in mine:
            stored.visible_ms = now_ms + lease_ms
        return len(mine) < len(receipts)

    # Losing.

    def lose(self, machine: int, now_ms: int) -> None:
        """Take everything from a machine whose connection, or ownership, is gone."""
        self.endings += 1
        self._prefetched.pop(machine, None)
        if self.owner == machine:
            self.owner = None
        for stored in self.left():
            if not stored.receipt or stored.owner != machine:
                continue
            stored.receipt, stored.visible_ms = "", now_ms
            stored.is_prefetched = False
            stored.deaths += 1
            stored.is_redelivered = True
            if not self.broker.is_counted and self.broker.counts_deaths:
                stored.receive_count += 1
            self._vanish(stored)

    def close(self, machine: int, now_ms: int) -> None:
        """Take a machine's receiver away that was released."""
        if self.broker.by_connection or self.broker.has_one_owner:
            self.lose(machine, now_ms)

    def crash(self, machine: int, now_ms: int) -> None:
        """Hear that a machine is dead. A lease by time lasts until its time."""
        if self.broker.by_connection:
            self.lose(machine, now_ms)

    def _vanish(self, stored: Stored) -> None:
        limit = self.broker.delivery_limit
        if limit is not None and stored.receive_count > limit:
            stored.has_vanished = stored.is_deleted = True
            self._forget([stored])

    def _valid(self, receipts: Sequence[str]) -> list[Stored]:
        return [self._by_receipt[receipt] for receipt in receipts if self.is_valid(receipt)]

    def _forget(self, gone: Sequence[Stored]) -> None:
        if gone:
            self._left = [stored for stored in self._left if not stored.is_deleted]

    def _store_of(self, machine: int) -> dict[str, int]:
        return self._runs.setdefault(self._node_of[machine], {})

    def _new_place(self) -> int:
        self._last_place += 1
        return self._last_place
