"""The commands of stream machines, carried out on the model source, with everything that can go wrong on the way."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from penstock.api import AssignedShard, InvocationResult
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import RecordBatch
from penstock.core.stream_machine import StreamMachine
from simulation.layout import PlainLayout
from simulation.node import FUNCTION, Driven, Node
from simulation.stream_checks import StreamChecks
from simulation.stream_source import Shard
from simulation.trace import Violation

if TYPE_CHECKING:
    from simulation.stream_world import StreamWorld

Answer = partial[facts.StreamFact | None]


class StreamNode(Node):
    """Hosts one machine per shard that it owns."""

    world: StreamWorld

    def host(self, shard: Shard, number: int) -> None:
        # The shards are those of two mappings, so that there is something to be fair about.
        mapping = f"mapping-{int(shard.name[-1]) % 2}"
        self.concurrency.join(mapping, FUNCTION)
        self.machines[number] = DrivenStream(self, shard, number, mapping)


class DrivenStream(Driven):
    """One machine of one shard, as `StreamShard` is in the shell."""

    _world: StreamWorld

    def __init__(self, node: StreamNode, shard: Shard, number: int, mapping: str) -> None:
        super().__init__(node, number, f"{node.name}#{number} {shard.name}")
        world = node.world
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
        )
        self.checks = StreamChecks(self.machine, shard, world.settings, world.bounds, number)

    def on_crashed(self) -> None:
        self.shard.waiting = None
        for key in [key for key in self.shard.active if key[0] == self.number]:
            del self.shard.active[key]

    def perform(self, command: do.StreamCommand) -> None:
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
                self.cancel_run(command.id)
            case do.Commit():
                self._commit(command)
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
        self.shard.store(command.checkpoint)
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
        rivals = [key for key in shard.active if not self._world.is_excused(key[0])]
        if rivals and shard.owner == self.number:
            raise Violation(f"{self.where} invokes while {rivals} run: two batches of a shard are in flight")
        shard.active[self.number, command.id] = command.request_id
        is_poisoned = not self._world.is_healed and any(shard.at(one.position).is_poison for one in batch.records)
        self.run(command, is_poisoned=is_poisoned, on_ended=self._ended)

    def _ended(self, command: do.Invoke, _result: InvocationResult | None) -> None:
        del self.shard.active[self.number, command.id]
