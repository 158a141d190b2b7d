"""The commands of queue machines, carried out on the model queue, with everything that can go wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.api import InvocationResult
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch
from penstock.core.queue_machine import QueueMachine
from simulation.layout import PlainLayout, PlainMessageFilter
from simulation.node import FUNCTION, Driven, Node
from simulation.queue_checks import QueueChecks
from simulation.queue_responses import draw

if TYPE_CHECKING:
    from simulation.queue_world import QueueWorld

POLL_MS = 100


class QueueNode(Node):
    """Hosts the one machine of its mapping, and after a stop the next one."""

    world: QueueWorld
    index = 0
    offset_ms = 0
    still_since_ms: int | None = None
    """Since when it stands still: it hears nothing, and its functions go on."""
    still_until_ms = 0
    died_ms = 0
    _was_free = 1

    def host(self, number: int) -> DrivenQueue:
        self.concurrency.join("mapping", FUNCTION)
        driven = DrivenQueue(self, number)
        self.machines[number] = driven
        self.world.clock.after(0, driven.step, facts.ClockChanged(self.offset_ms))
        self.world.clock.after(0, driven.step, facts.HeadroomChanged(self.concurrency.room(FUNCTION)))
        return driven

    def stand_still(self, duration_ms: int) -> None:
        now_ms = self.world.clock.now_ms
        self.world.trace.add(self.name, f"STANDS STILL for {duration_ms} ms")
        if now_ms >= self.still_until_ms:
            self.still_since_ms, self.still_until_ms = now_ms, now_ms + duration_ms

    def set_clock(self, offset_ms: int) -> None:
        self.offset_ms = offset_ms
        for driven in list(self.machines.values()):
            driven.step(facts.ClockChanged(offset_ms))

    def seen_until_ms(self, now_ms: int) -> int:
        """Tell when it was last known to be alive."""
        if not self.is_alive:
            return self.died_ms
        if self.still_since_ms is not None and now_ms < self.still_until_ms:
            return self.still_since_ms
        return now_ms

    def on_concurrency_changed(self) -> None:
        free = self.concurrency.room(FUNCTION)
        if free != self._was_free:
            self._was_free = free
            for driven in self.machines.values():
                self.world.clock.after(0, driven.step, facts.HeadroomChanged(free))


class DrivenQueue(Driven):
    """One machine, as `QueueMapping` is in the shell."""

    _world: QueueWorld
    node: QueueNode

    def __init__(self, node: QueueNode, number: int) -> None:
        super().__init__(node, number, f"{node.name}#{number}")
        world = node.world
        self._polls: dict[int, do.Receive] = {}
        self.machine = QueueMachine(
            world.settings,
            PlainLayout(),
            jitter=world.chance.jitter,
            request_ids=self.request_ids(),
            record_filter=PlainMessageFilter() if world.scenario.is_filtered else None,
        )
        self.checks = QueueChecks(self.machine, world.queue, world.letters, world.settings, number)

    def step(self, fact: Any) -> None:
        wait_ms = self.node.still_until_ms - self._world.clock.now_ms
        if wait_ms <= 0:
            super().step(fact)
            return
        if isinstance(fact, facts.Received):
            self._world.queue.late.update(message.receipt for message in fact.messages)
        self._world.clock.after(wait_ms, self.step, fact)

    def on_crashed(self) -> None:
        self._world.ledger.kill(self.number)
        self._world.queue.crash(self.number, self._world.clock.now_ms)

    def perform(self, command: do.QueueCommand) -> None:
        match command:
            case do.Receive():
                self._receive(command)
            case do.RequestEnvironment():
                self.node.request(self.number, command.id, "mapping")
            case do.ReturnEnvironment():
                self.node.give_back(self.number, command.id)
            case do.Invoke():
                self._invoke(command)
            case do.Cancel():
                self._cancel(command.id)
            case do.Ack() | do.Nack() | do.Count() | do.Extend():
                self._settle(command)
            case do.SendAway():
                self._world.letters.send(command.id, command.letter, self._world.faults, self.post)
            case do.Release():
                self.is_released = True
                self._polls.clear()
                self._world.queue.close(self.number, self._world.clock.now_ms)
            case do.Announce():
                pass

    # Receiving.

    def _receive(self, command: do.Receive) -> None:
        chance, faults = self._world.chance, self._world.faults
        if chance.happens(faults.ask_lost):
            return
        delay_ms = chance.between(80_000, 100_000) if chance.happens(faults.ask_late) else chance.between(1, 40)
        if chance.happens(faults.ask_failed):
            self.post(facts.SourceFailed(command.id, "the broker is away"), delay_ms)
            return
        self._polls[command.id] = command
        self._world.clock.after(delay_ms, self._poll, command, self._world.clock.now_ms + delay_ms + command.wait_ms)

    def _poll(self, command: do.Receive, until_ms: int) -> None:
        world, now_ms = self._world, self._world.clock.now_ms
        if not self.node.is_alive or command.id not in self._polls:
            return
        if now_ms < self.node.still_until_ms:
            world.clock.after(self.node.still_until_ms - now_ms, self._poll, command, until_ms)
            return
        queue = world.queue
        repeat = queue.broker.repeats and world.chance.happens(world.faults.repeated)
        messages = queue.receive(command.messages_max, self.number, now_ms, repeat=repeat)
        if messages or now_ms >= until_ms:
            del self._polls[command.id]
            # An ordered queue gives again what it is not sure to have given, by the source's own promise.
            may_lose = not queue.broker.is_fifo and not queue.broker.by_connection
            if not (may_lose and messages and world.chance.happens(world.faults.received_and_lost)):
                self.post(facts.Received(command.id, messages), world.chance.soon_ms())
        else:
            world.clock.after(POLL_MS, self._poll, command, until_ms)

    def _cancel(self, command_id: int) -> None:
        if self.cancel_run(command_id):
            self._world.ledger.cancel(self.number, command_id)
        elif self._polls.pop(command_id, None) is not None:
            self.post(facts.Received(command_id, ()), self._world.chance.between(0, 5))

    # Settling.

    def _settle(self, command: do.Ack | do.Nack | do.Count | do.Extend) -> None:
        chance, faults = self._world.chance, self._world.faults
        if chance.happens(faults.store_lost):
            return
        if chance.happens(faults.store_failed):
            self.post(facts.SettleFailed(command.id, "the broker is away"), chance.between(1, 50))
        else:
            self._world.clock.after(chance.between(1, 30), self._store, command)

    def _store(self, command: do.Ack | do.Nack | do.Count | do.Extend) -> None:
        world, chance, faults = self._world, self._world.chance, self._world.faults
        if not self.node.is_alive or self.is_released:
            return
        is_ack = isinstance(command, do.Ack)
        if is_ack and world.queue.broker.by_connection and chance.happens(faults.ack_unwritten):
            expired = not all(map(world.queue.is_valid, command.receipts))
            world.clock.after(chance.between(0, 30), world.break_connection, self)
        else:
            expired = self._action(command)(world.clock.now_ms)
        if chance.happens(faults.store_reply_lost):
            return
        delay_ms = chance.between(29_000, 60_000) if chance.happens(faults.store_reply_late) else chance.between(1, 20)
        if chance.happens(faults.store_reply_wrong):
            self.post(facts.SettleFailed(command.id, "the connection broke"), delay_ms)
            return
        if is_ack and not expired:
            world.clock.after(delay_ms, self._finish, command.receipts)
        self.post(facts.Settled(command.id, expired=expired), delay_ms)

    def _action(self, command: do.Ack | do.Nack | do.Count | do.Extend) -> Callable[[int], bool]:
        queue = self._world.queue
        match command:
            case do.Ack(receipts=receipts):
                return partial(queue.ack, receipts)
            case do.Nack(receipts=receipts, delay_ms=delay_ms, counted=counted):
                return partial(queue.nack, receipts, delay_ms=delay_ms, counted=counted)
            case do.Count(receipts=receipts, receive_count=receive_count):
                return partial(queue.count, receipts, receive_count=receive_count)
            case do.Extend(receipts=receipts, lease_ms=lease_ms):
                return partial(queue.extend, receipts, lease_ms=lease_ms)

    def _finish(self, receipts: tuple[str, ...]) -> None:
        for receipt in receipts:
            self._world.queue.at(receipt).is_finished = True

    # Running.

    def _invoke(self, command: do.Invoke) -> None:
        world, batch = self._world, command.batch
        assert isinstance(batch, MessageBatch)
        scenario, chance = world.scenario, world.chance
        world.ledger.begin(self.number, command, world.clock.now_ms)
        ids = [message.message_id for message in batch.messages]
        failing = [one for one in ids if world.fails(one)]
        reports = self.checks.settings.reports_item_failures
        is_poisoned = bool(failing) and not (reports and chance.happens(scenario.reported if failing else 1))
        if world.is_healed and reports:
            is_poisoned = False
        if failing and chance.happens(0.3):
            # A function that stops at its first failure, and says that the rest is not done either.
            failing = ids[ids.index(failing[0]) :]
        is_odd = chance.happens(world.faults.odd_response)
        respond = partial(draw, chance, ids, reported=failing, is_odd=is_odd, delays=scenario.delays)
        self.run(command, is_poisoned=is_poisoned, on_ended=self._ended, respond=respond)

    def _ended(self, command: do.Invoke, _result: InvocationResult | None) -> None:
        self._world.ledger.end(self.number, command.id)
