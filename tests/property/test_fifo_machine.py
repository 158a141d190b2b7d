"""A whole queue machine on a FIFO queue, against a model of one, with failures, lost answers and deaths."""

from __future__ import annotations

import heapq
import json
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any

import pytest

from penstock.api import FunctionFailed, Message, NotRun, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch
from penstock.core.queue_machine import QueueMachine
from penstock.core.settings import QueueSettings
from simulation.layout import PlainLayout

SEEDS = 100
FAULTS_MS = 120_000
DRAIN_MS = 4_000_000


@dataclass
class Held:
    """A message of the model queue. `runs` were begun by a function; `deaths` count what lost it in between."""

    number: int
    group: str
    visible_ms: int = 0
    owner: int = 0
    receipt: str = ""
    receive_count: int = 0
    runs: int = 0
    deaths: int = 0
    is_gone: bool = False
    is_dead: bool = False


class FifoQueue:
    """Gives the messages of a group in order, and none behind one that somebody else has or that is hidden."""

    def __init__(self, lease_ms: int) -> None:
        self.lease_ms = lease_ms
        self.messages: list[Held] = []
        self.by_receipt: dict[str, Held] = {}
        self._receipts = count()

    def receive(self, messages_max: int, owner: int, now_ms: int) -> list[Message]:
        blocked: set[str] = set()
        taken = []
        for held in self.messages:
            if held.is_gone or held.group in blocked:
                continue
            if held.visible_ms > now_ms:
                if held.owner != owner or not held.receipt:
                    blocked.add(held.group)
                continue
            if len(taken) == messages_max:
                break
            held.deaths += bool(held.receipt)
            held.receipt = f"r{next(self._receipts)}"
            held.owner, held.visible_ms = owner, now_ms + self.lease_ms
            held.receive_count += 1
            self.by_receipt[held.receipt] = held
            taken.append(
                Message(
                    f"m{held.number}", held.receipt, b"", held.receive_count, 0, 0, group=held.group,
                    sequence=str(held.number),
                )
            )  # fmt: skip
        return taken

    def settle(self, receipts: tuple[str, ...], act: Callable[[Held], None]) -> bool:
        """Act on those that are still valid; tells whether some were not."""
        valid = [held for each in receipts if (held := self.by_receipt[each]).receipt == each and not held.is_gone]
        for held in valid:
            act(held)
        return len(valid) < len(receipts)


@dataclass
class Host:
    """One machine on one node. Commands are carried out late, some never; what it posted before its death is lost."""

    world: World
    owner: int
    machine: QueueMachine
    is_alive: bool = True
    runs: dict[int, do.Invoke] = field(default_factory=dict)
    receives: set[int] = field(default_factory=set)
    counting: set[str] = field(default_factory=set)
    """Receipts whose next run was to be counted, and whose machine does not know whether it is."""

    def step(self, fact: Any = None) -> None:
        world = self.world
        if not self.is_alive:
            return
        for command in self.machine.handle(fact, now_ms=world.now_ms):
            self.perform(command)
        deadline_ms = self.machine.next_deadline_ms()
        if deadline_ms is not None:
            assert deadline_ms > world.now_ms, f"{self.owner} would spin at {world.now_ms}"
            world.at(deadline_ms, lambda: self.ring(deadline_ms))

    def ring(self, deadline_ms: int) -> None:
        if self.machine.next_deadline_ms() == deadline_ms:
            self.step()

    def post(self, fact: Any) -> None:
        self.world.later(lambda: self.step(fact))

    def perform(self, command: Any) -> None:  # noqa: C901 - one arm per command
        world, queue = self.world, self.world.queue
        match command:
            case do.Receive():
                self.receives.add(command.id)
                world.later(lambda: self.poll(command, world.now_ms + command.wait_ms))
            case do.RequestEnvironment():
                self.post(facts.EnvironmentGranted(command.id))
            case do.Invoke():
                self.invoke(command)
            case do.Cancel() if command.id in self.runs:
                self.end(command, NotRun("ended by the node"))
            case do.Cancel() if command.id in self.receives:
                self.receives.discard(command.id)
                self.post(facts.Received(command.id, ()))
            case do.Ack():
                self.settle(command, lambda held: setattr(held, "is_gone", True))
            case do.Nack():
                for receipt in self.counting.intersection(command.receipts) if command.counted else ():
                    # Whoever has not heard that the next run is counted counts it again by giving the message back.
                    queue.by_receipt[receipt].deaths += 1
                self.settle(command, lambda held: self.hide(held, command))
            case do.Count():
                self.counting.update(command.receipts)
                self.settle(
                    command,
                    lambda held: setattr(held, "receive_count", max(held.receive_count, command.receive_count)),
                )
            case do.Extend():
                until_ms = command.lease_ms
                self.settle(command, lambda held: setattr(held, "visible_ms", world.now_ms + until_ms))
            case do.SendAway():
                self.send_away(command)
            case _:
                assert queue is not None

    def poll(self, command: do.Receive, until_ms: int) -> None:
        if command.id not in self.receives or not self.is_alive:
            return
        found = self.world.queue.receive(command.messages_max, self.owner, self.world.now_ms)
        if found or self.world.now_ms >= until_ms:
            self.receives.discard(command.id)
            self.post(facts.Received(command.id, found))
        else:
            self.world.at(self.world.now_ms + 200, lambda: self.poll(command, until_ms))

    def hide(self, held: Held, command: do.Nack) -> None:
        held.visible_ms = self.world.now_ms + command.delay_ms
        held.receipt = ""
        held.receive_count -= not command.counted

    def settle(self, command: Any, act: Callable[[Held], None]) -> None:
        world = self.world
        if world.fails(0.05):
            self.post(facts.SettleFailed(command.id, "away"))
            return
        if world.fails(0.03):
            return

        def carry_out() -> None:
            if not self.is_alive:
                return
            expired = world.queue.settle(command.receipts, act)
            if not world.fails(0.03):
                world.later(lambda: self.hear(command, expired))

        world.later(carry_out)

    def hear(self, command: Any, expired: bool) -> None:  # noqa: FBT001 - as the fact has it
        self.step(facts.Settled(command.id, expired))
        if isinstance(command, do.Count):
            self.counting.difference_update(command.receipts)

    def send_away(self, command: do.SendAway) -> None:
        world = self.world
        if world.fails(0.1):
            self.post(facts.DeliveryFailed(command.id, "away", refused=world.random.random() < 0.3))
            return
        held = world.queue.by_receipt[command.letter.message.receipt]
        assert command.letter.runs >= world.settings.receive_count_max
        held.is_dead = True
        self.post(facts.Delivered(command.id))

    def invoke(self, command: do.Invoke) -> None:
        self.runs[command.id] = command
        self.world.check_invoke(command)
        self.world.at(self.world.now_ms + self.world.random.randint(1, 900), lambda: self.answer(command))

    def answer(self, command: do.Invoke) -> None:
        if command.id not in self.runs or not self.is_alive:
            return
        self.end(command, self.world.draw_answer(command))

    def end(self, command: Any, result: Any) -> None:
        invoke = self.runs.pop(command.id)
        # What a machine ends itself was run, and counts: nobody stops here.
        if isinstance(result, NotRun) and not isinstance(command, do.Cancel):
            for message in invoke.batch.messages:
                self.world.queue.by_receipt[message.receipt].runs -= 1
        self.post(facts.Responded(command.id, result))

    def die(self) -> None:
        self.is_alive = False
        self.runs.clear()


class World:
    """Two nodes on one queue."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.now_ms = 0
        self._agenda: list[tuple[int, int, Callable[[], None]]] = []
        self._order = count()
        self.settings = QueueSettings(
            batch_size=self.random.choice((1, 3, 10)),
            batching_window_ms=self.random.choice((0, 0, 500)),
            visibility_timeout_ms=self.random.choice((5_000, 30_000)),
            concurrency_max=self.random.choice((None, 1, 3)),
            is_fifo=True,
            reports_item_failures=True,
            group_failure_mode=self.random.choice(("group", "group", "aws")),
            receive_count_max=self.random.choice((3, 5)),
            has_dead_letters=True,
            held_max=self.random.choice((20, 10_000)),
        )
        self.queue = FifoQueue(self.settings.lease_ms)
        self.poison = {number for number in range(400) if self.random.random() < 0.05}
        self.is_faulty = True
        self.owners = count(1)
        self.hosts = [self.host() for _ in range(self.random.choice((1, 2)))]
        self.lost = 0

    def host(self) -> Host:
        machine = QueueMachine(
            self.settings, PlainLayout(), jitter=lambda: self.random.uniform(-1, 1), request_ids=map(str, count())
        )
        host = Host(self, next(self.owners), machine)
        self.later(lambda: host.step(facts.HeadroomChanged(4)))
        return host

    def at(self, time_ms: int, act: Callable[[], None]) -> None:
        heapq.heappush(self._agenda, (time_ms, next(self._order), act))

    def later(self, act: Callable[[], None]) -> None:
        self.at(self.now_ms + self.random.randint(1, 60), act)

    def fails(self, share: float) -> bool:
        return self.is_faulty and self.random.random() < share

    def run(self) -> None:
        for _ in range(200):
            self.at(self.random.randint(0, FAULTS_MS), self.send)
        for _ in range(self.random.choice((0, 2, 6))):
            self.at(self.random.randint(0, FAULTS_MS), self.crash)
        self.until(FAULTS_MS)
        self.is_faulty = False
        self.until(DRAIN_MS)
        left = [held for held in self.queue.messages if not held.is_gone]
        assert not left, f"did not drain: {left[:3]}"
        for host in self.hosts:
            counters = host.machine.counters
            known = counters.filtered + counters.invoked_first + counters.dropped_before + counters.returned
            assert counters.polled == known + host.machine.view().unrun
            assert host.machine.view().is_idle

    def until(self, end_ms: int) -> None:
        while self._agenda and self._agenda[0][0] <= end_ms:
            self.now_ms, _, act = heapq.heappop(self._agenda)
            act()
            if not self.is_faulty and all(held.is_gone for held in self.queue.messages):
                end_ms = min(end_ms, self.now_ms + 200_000)
        self.now_ms = end_ms

    def send(self) -> None:
        self.queue.messages.append(Held(len(self.queue.messages), self.random.choice("abcde"), self.now_ms))

    def crash(self) -> None:
        place = self.random.randrange(len(self.hosts))
        self.hosts[place].die()
        self.hosts[place] = self.host()

    def draw_answer(self, command: do.Invoke) -> Any:
        numbers = [self.queue.by_receipt[each.receipt].number for each in command.batch.messages]
        failing = [number for number in numbers if number in self.poison or self.fails(0.1)]
        if self.fails(0.05):
            return NotRun("too many requests")
        if failing and self.random.random() < 0.2:
            return FunctionFailed("ValueError", "no", b"{}", 1)
        items = [
            {"itemIdentifier": f"m{number}", **({"retryAfterSeconds": 0.2} if self.random.random() < 0.3 else {})}
            for number in failing
        ]
        return Returned(json.dumps({"batchItemFailures": items}).encode(), 1)

    def check_invoke(self, command: do.Invoke) -> None:
        """One batch of a group at a time, in order, and nothing before what comes before it is gone."""
        assert isinstance(command.batch, MessageBatch)
        assert len(command.batch.messages) <= self.settings.batch_size
        mine: dict[str, list[int]] = {}
        for message in command.batch.messages:
            held = self.queue.by_receipt[message.receipt]
            held.runs += 1
            assert held.receipt == message.receipt, f"{held} is not ours any more"
            mine.setdefault(held.group, []).append(held.number)
            assert message.receive_count <= held.runs + held.deaths, held
            if not held.deaths:
                assert message.receive_count == held.runs, held
        for group, numbers in mine.items():
            assert numbers == sorted(numbers)
            before = [one.number for one in self.queue.messages if one.group == group and not one.is_gone]
            assert before[: len(numbers)] == numbers, f"{numbers} overtake {before[:5]} at {self.now_ms}"
        for other in self.hosts:
            for run in other.runs.values():
                groups = {each.group for each in run.batch.messages}
                assert run is command or groups.isdisjoint(mine), f"a group of {mine} runs twice at {self.now_ms}"


@pytest.mark.parametrize("seed", range(SEEDS))
def test_a_fifo_queue_keeps_its_order_and_loses_nothing(seed: int):
    World(seed).run()
