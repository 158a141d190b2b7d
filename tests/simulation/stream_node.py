"""The commands of stream machines, carried out on the models around them, with everything that can go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from penstock.api import AssignedShard, InvocationResult
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.batch import RecordBatch
from penstock.core.stream_machine import StreamMachine
from simulation.destination import StateStore
from simulation.layout import PlainFilter, PlainLayout
from simulation.node import FUNCTION, Driven, Node
from simulation.responses import draw
from simulation.stream_checks import StreamChecks
from simulation.stream_source import Shard
from simulation.trace import Violation

if TYPE_CHECKING:
    from simulation.stream_world import StreamWorld

Answer = partial[facts.StreamFact | None]


class StreamNode(Node):
    """Hosts one machine per shard that it owns."""

    world: StreamWorld
    store: StateStore
    wall_offset_ms: int

    def host(self, shard: Shard, number: int) -> None:
        # The shards are those of two mappings, so that there is something to be fair about.
        mapping = f"mapping-{int(shard.name[-1]) % 2}"
        self.concurrency.join(mapping, FUNCTION)
        self.machines[number] = DrivenStream(self, shard, number, mapping)


class DrivenStream(Driven):
    """One machine of one shard, as `StreamShard` is in the shell."""

    _world: StreamWorld

    def __init__(self, node: StreamNode, shard: Shard, number: int, mapping: str) -> None:
        world = node.world
        # Before anything else it hears what time it is.
        world.clock.after(0, self.step, facts.ClockChanged(node.wall_offset_ms))
        super().__init__(node, number, f"{node.name}#{number} {shard.name}")
        self.shard = shard
        self.mapping = mapping
        self._asked = -1
        self.machine = StreamMachine(
            AssignedShard(shard.name, shard.stored),
            world.settings,
            PlainLayout(),
            jitter=world.chance.jitter,
            request_ids=self.request_ids(),
            buffer_bytes_max=world.buffer_bytes_max,
            record_filter=PlainFilter() if world.scenario.is_filtered else None,
        )
        self.checks: StreamChecks = StreamChecks(
            self.machine,
            shard,
            number,
            scenario=world.scenario,
            settings=world.settings,
            bounds=world.bounds,
            stores=world.stores,
        )
        self._deliveries: set[int] = set()

    def on_crashed(self) -> None:
        self.shard.waiting = None
        for key in [key for key in self.shard.active if key[0] == self.number]:
            del self.shard.active[key]

    def request_ids(self) -> Iterator[str]:
        """Name requests and states so that a note's text shows which it names."""
        count = 0
        while True:
            count += 1
            yield f"{self.number:05d}-{count:06d}"

    def perform(self, command: do.StreamCommand) -> None:  # noqa: C901, PLR0912 - one arm for each command
        match command:
            case do.Resolve():
                self._ask(command.id, partial(self._resolved, command))
            case do.Fetch():
                self._ask(command.id, partial(self._fetched, command))
            case do.RequestEnvironment():
                self.node.request(self.number, command.id, self.mapping)
            case do.ReturnEnvironment():
                self.node.give_back(self.number, command.id)
            case do.Invoke():
                self._invoke(command)
            case do.Cancel():
                self._cancel(command)
            case do.Commit():
                self._commit(command)
            case do.Deliver():
                self._deliver(command)
            case do.SaveState():
                self.node.store.save(command.id, command.version, command.state, self._world.faults, self.post)
            case do.LoadState():
                self.node.store.load(command.id, command.store, command.version, self._world.faults, self.post)
            case do.ForgetState():
                self.node.store.forget(command.version)
            case do.Announce(report=reports.Held()):
                self._world.on_held(self)
            case do.Release():
                self.is_released = True
                self._world.on_released(self)
            case do.Prepare() | do.Announce():
                pass

    def _ask(self, command_id: int, answer: Answer) -> None:
        chance, faults = self._world.chance, self._world.faults
        self._asked = command_id
        if chance.happens(faults.ask_lost):
            return
        delay_ms = chance.between(60_000, 100_000) if chance.happens(faults.ask_late) else chance.between(1, 40)
        if chance.happens(faults.ask_failed):
            self.post(facts.SourceFailed(command_id, "the broker is away"), delay_ms)
        elif chance.happens(0.5):
            # Found at once, told late; or found late: an outdated answer differs.
            self._look(answer, delay_ms)
        else:
            self._world.clock.after(delay_ms, self._look, answer, 0)

    def _look(self, answer: Answer, delay_ms: int) -> None:
        if self.node.is_alive and self.shard.owner == self.number:
            fact = answer()
            if fact is not None:
                self.post(fact, delay_ms + self._world.chance.between(0, 2))

    def _resolved(self, command: do.Resolve) -> facts.StreamFact:
        return facts.Resolved(command.id, self.shard.resolve(command.start))

    def _fetched(self, command: do.Fetch) -> facts.StreamFact | None:
        if command.id != self._asked:
            return None
        if not self.shard.has_news(command.after):
            # It stands until there is something, as a fetch does in the shell.
            self.shard.waiting = partial(self._look, partial(self._fetched, command), 1)
            return None
        return facts.RecordsFetched(command.id, self.shard.read(command.after, command.records_max, command.bytes_max))

    def _commit(self, command: do.Commit) -> None:
        chance, faults = self._world.chance, self._world.faults
        if chance.happens(faults.store_lost):
            return
        if chance.happens(faults.store_failed):
            self.post(facts.CommitFailed(command.id, "the broker is away"), chance.between(1, 50))
        else:
            self._world.clock.after(chance.between(1, 30), self._store, command)

    def _store(self, command: do.Commit) -> None:
        chance, faults = self._world.chance, self._world.faults
        if self.shard.owner != self.number:
            self.post(facts.CommitFailed(command.id, "the shard is another's", refused=True), 1)
            return
        self.shard.store(command.checkpoint, self.checks.snapshot(command))
        self._world.trace.add(self.where, f"STORED {command.checkpoint}")
        if chance.happens(faults.store_reply_lost):
            return
        delay_ms = chance.between(29_000, 60_000) if chance.happens(faults.store_reply_late) else chance.between(1, 20)
        if chance.happens(faults.store_reply_wrong):
            self.post(facts.CommitFailed(command.id, "the connection broke"), delay_ms)
        else:
            self.post(facts.Committed(command.id), delay_ms)

    def _invoke(self, command: do.Invoke) -> None:
        batch, shard = command.batch, self.shard
        assert isinstance(batch, RecordBatch)
        others = [key for key in shard.active if key[0] != self.number]
        rivals = [key for key in others if not self._world.is_excused(key[0])]
        if rivals and shard.owner == self.number:
            raise Violation(f"{self.where} invokes while {rivals} run: two machines have the shard")
        shard.active[self.number, command.id] = command.request_id
        raising, reported = self._poisons(batch)
        respond = partial(self._respond, command, reported)
        self.run(command, is_poisoned=bool(raising), respond=respond, on_ended=self._ended)

    def _poisons(self, batch: RecordBatch) -> tuple[list[int], list[int]]:
        """Divide the poisoned records of a batch into those that raise and those that are reported."""
        world = self._world
        if world.is_healed:
            return [], []
        poisoned = {one.position: self.shard.at(one.position).poison for one in batch.records}
        reports_them = world.settings.reports_item_failures
        reported = [position for position, poison in poisoned.items() if poison == "reported" and reports_them]
        raising = [position for position, poison in poisoned.items() if poison and position not in reported]
        return raising, reported

    def _respond(self, command: do.Invoke, reported: list[int]) -> bytes:
        chance, faults = self._world.chance, self._world.faults
        assert isinstance(command.batch, RecordBatch)
        return draw(
            chance,
            [record.position for record in command.batch.records],
            reported=reported,
            reports=self._world.settings.reports_item_failures,
            is_odd=chance.happens(faults.odd_response),
            state=command.window.state if command.window is not None else None,
            pads_state=chance.happens(faults.state_too_large / 10),
        )

    def _ended(self, command: do.Invoke, _result: InvocationResult | None) -> None:
        del self.shard.active[self.number, command.id]

    def _deliver(self, command: do.Deliver) -> None:
        self._deliveries.add(command.id)
        self._world.destination.deliver(
            command.id, self.shard.name, command.record, self._world.faults, self._tell_delivered
        )

    def _tell_delivered(self, fact: Any, delay_ms: int) -> None:
        self._deliveries.discard(fact.id)
        self.post(fact, delay_ms)

    def _cancel(self, command: do.Cancel) -> None:
        """End an invocation or a delivery; what has been written by then stays written."""
        if command.id in self._deliveries:
            self._deliveries.discard(command.id)
            self.post(facts.DeliveryFailed(command.id, "ended by the node"), self._world.chance.between(1, 50))
        else:
            self.cancel_run(command.id)
