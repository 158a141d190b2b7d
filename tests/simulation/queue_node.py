"""The commands of queue machines, carried out on the model queue, with everything that can go wrong on the way."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from penstock.api import InvocationResult
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch
from penstock.core.queue_machine import QueueMachine
from simulation.layout import PlainLayout
from simulation.node import FUNCTION, Driven, Node
from simulation.queue_checks import QueueChecks
from simulation.trace import Violation

if TYPE_CHECKING:
    from simulation.queue_world import QueueWorld

POLL_MS = 50


class QueueNode(Node):
    """Hosts the one machine of its mapping, and after a stop the next one."""

    world: QueueWorld
    _was_free = 1

    def host(self, number: int) -> DrivenQueue:
        self.concurrency.join("mapping", FUNCTION)
        driven = DrivenQueue(self, number)
        self.machines[number] = driven
        self.world.clock.after(0, driven.step, facts.HeadroomChanged(self.concurrency.room(FUNCTION)))
        return driven

    def on_concurrency_changed(self) -> None:
        free = self.concurrency.room(FUNCTION)
        if free != self._was_free:
            self._was_free = free
            for driven in self.machines.values():
                self.world.clock.after(0, driven.step, facts.HeadroomChanged(free))


class DrivenQueue(Driven):
    """One machine, as `QueueMapping` is in the shell."""

    _world: QueueWorld

    def __init__(self, node: QueueNode, number: int) -> None:
        super().__init__(node, number, f"{node.name}#{number}")
        world = node.world
        self._polls: dict[int, do.Receive] = {}
        self.machine = QueueMachine(
            world.settings, PlainLayout(), jitter=world.chance.jitter, request_ids=self.request_ids()
        )
        self.checks = QueueChecks(self.machine, world.queue, world.settings, number)

    def perform(self, command: do.QueueCommand) -> None:  # noqa: C901 - one arm per command
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
            case do.Ack():
                self._settle(command.id, lambda queue, _now_ms: queue.ack(command.receipts))
            case do.Nack():
                self._settle(
                    command.id,
                    lambda queue, now_ms: queue.nack(
                        command.receipts, command.delay_ms, now_ms, counted=command.counted
                    ),
                )
            case do.Extend():
                self._settle(command.id, lambda queue, now_ms: queue.extend(command.receipts, command.lease_ms, now_ms))
            case do.Release():
                self.is_released = True
            case do.Announce():
                pass

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
        world = self._world
        if not self.node.is_alive or command.id not in self._polls:
            return
        messages, lapsed = world.queue.receive(command.messages_max, self.number, world.clock.now_ms)
        world.check_lapsed(lapsed)
        if messages or world.clock.now_ms >= until_ms:
            del self._polls[command.id]
            self.post(facts.Received(command.id, messages), world.chance.soon_ms())
        else:
            world.clock.after(POLL_MS, self._poll, command, until_ms)

    def _cancel(self, command_id: int) -> None:
        if not self.cancel_run(command_id) and self._polls.pop(command_id, None) is not None:
            self.post(facts.Received(command_id, ()), self._world.chance.between(0, 5))

    def _settle(self, command_id: int, act: Callable[..., bool]) -> None:
        chance, faults = self._world.chance, self._world.faults
        if chance.happens(faults.store_lost):
            return
        if chance.happens(faults.store_failed):
            self.post(facts.SettleFailed(command_id, "the broker is away"), chance.between(1, 50))
        else:
            self._world.clock.after(chance.between(1, 30), self._store, command_id, act)

    def _store(self, command_id: int, act: Callable[..., bool]) -> None:
        world, chance, faults = self._world, self._world.chance, self._world.faults
        if not self.node.is_alive:
            return
        expired = act(world.queue, world.clock.now_ms)
        if chance.happens(faults.store_reply_lost):
            return
        delay_ms = chance.between(29_000, 60_000) if chance.happens(faults.store_reply_late) else chance.between(1, 20)
        if chance.happens(faults.store_reply_wrong):
            self.post(facts.SettleFailed(command_id, "the connection broke"), delay_ms)
        else:
            self.post(facts.Settled(command_id, expired=expired), delay_ms)

    def _invoke(self, command: do.Invoke) -> None:
        world, batch = self._world, command.batch
        assert isinstance(batch, MessageBatch)
        for message in batch.messages:
            count = world.queue.at(message.receipt)
            # Nothing but being run, dying while it was held, or a return that got lost adds to the count (D20).
            if not world.is_storing_unreliable and message.receive_count > count.runs + count.lapses:
                raise Violation(f"{message.receipt} counts {message.receive_count} after {count.runs - 1} runs")
        is_poisoned = not world.is_healed and any(world.queue.at(one.receipt).is_poison for one in batch.messages)
        self.run(command, is_poisoned=is_poisoned, on_ended=partial(self._ended))

    def _ended(self, command: do.Invoke, result: InvocationResult | None) -> None:
        pass
