"""Kills nodes at random moments while messages are sent and brokers restart, and hands what is left to the books."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path

from harness import Node, Nodes

from brokers import create_topic, until
from brokers.clients import delete_topics
from torture.queues.books import Books
from torture.queues.flow import Flow
from torture.queues.kinds import Broker, Brokers, Kind
from torture.queues.letters import Letter, letters
from torture.queues.project import VISIBILITY_S, Mapping, QueueProject
from torture.queues.registry import KINDS
from torture.queues.troubles import How, Trouble, Troubles
from torture.strikes import Say, Strike, internal_errors

NODES = ("one", "two")
DRAIN_PART, STANDSTILL_PART = 0.2, 0.1
"""As often, before a kill, a node is asked to end instead, or stopped (SIGSTOP) for a while."""
SURGE_PART = 0.3
"""As often many messages are sent right before a kill; before a drain they always are."""
BUSY_S = 2.0
STANDSTILL_MS = (200, 4000)
OUTAGE_MS = (100, 4000)
SETTLE_S = 300.0
LETTERS_AT_ONCE = 4
LOST_LEASES = ("leases expired", "the lease of this node was over", "messages in hand that are dropped")
"""What the log of a node says when messages that it held were not its own any more."""
LOST_WITHIN_S = 5.0
"""So long before it says so a lease may have been lost."""


class QueueTorture:
    """One run with so many kills and restarts. The same seed kills at the same moments and sends the same messages."""

    def __init__(
        self,
        folder: Path,
        kinds: Sequence[str],
        *,
        kills: int,
        restarts: int,
        seed: int,
        say: Say,
        kafka: str | None = None,
        visibility_s: int = VISIBILITY_S,
    ) -> None:
        self._folder = folder
        self._names = kinds
        self._kills, self._restarts = kills, restarts
        self._seed = seed
        self._chance = random.Random(seed)
        self._say = say
        self._kafka = kafka
        self._visibility_s = visibility_s
        self._troubles: list[Trouble] = []
        self._internal_errors: list[str] = []

    def run(self) -> list[str]:
        """Torture nodes, and list what was wrong in the end."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with ExitStack() as stack:
            brokers = Brokers(self._folder, stack, kafka=self._kafka)
            self._kinds: list[Kind] = [KINDS[name](brokers) for name in self._names]
            self._project = QueueProject(self._folder / "torture", self._kinds, visibility_s=self._visibility_s)
            for mapping in self._project.mappings:
                mapping.kind.make(mapping.name)
            stack.enter_context(self._topics())
            return self._run(stack.enter_context(Nodes(self._project.folder)))

    def _run(self, nodes: Nodes) -> list[str]:
        self._flow = Flow(self._project.mappings, self._seed)
        running = [nodes.start(self._project, name=name) for name in NODES]
        with self._flow.running():
            for number in range(1, self._kills + 1):
                self._torment(nodes, running)
                self._strike(nodes, running, number)
                if number * self._restarts // self._kills > (number - 1) * self._restarts // self._kills:
                    self._restart_brokers()
        self._say(f"{self._flow.count:,} messages are sent; the backlog drains")
        for mapping in self._project.mappings:
            self._wait_settled(mapping)
        for node in running:
            self._drain(node)
        with ThreadPoolExecutor(LETTERS_AT_ONCE) as pool:
            dead = list(pool.map(partial(letters, self._project), self._project.mappings))
        problems = zip(self._project.mappings, dead, strict=True)
        return self._internal_errors + [problem for mapping, its in problems for problem in self._of(mapping, its)]

    # What is done to nodes and brokers.

    def _torment(self, nodes: Nodes, running: list[Node]) -> None:
        """Perhaps drain a node, or stop it for a while."""
        drains, stops = self._chance.random() < DRAIN_PART, self._chance.random() < STANDSTILL_PART
        place, standstill_s = self._chance.randrange(len(running)), self._chance.randint(*STANDSTILL_MS) / 1000
        node = running[place]
        if stops or drains:
            node.wait_log("node started", timeout_seconds=60)
        if stops:
            with self._trouble("stopped", node.name):
                node.freeze(everything=True)
                time.sleep(standstill_s)
                node.thaw()
            self._say(f"{node.name} stood still for {standstill_s:.1f} s")
        if drains:
            self._surge(node)
            self._drain(node)
            self._say(f"{node.name} drained")
            running[place] = nodes.restart(node)

    def _strike(self, nodes: Nodes, running: list[Node], number: int) -> None:
        place = self._chance.randrange(len(running))
        strike, node = Strike.draw(self._chance, orderly_part=0), running[place]
        surges = self._chance.random() < SURGE_PART
        strike.await_moment(node)
        if surges:
            self._surge(node)
        with self._trouble("killed", node.name):
            strike.end(node)
        self._hear(node)
        invocations = sum(len(mapping.ledger.read()) for mapping in self._project.mappings)
        self._say(
            f"{number} of {self._kills}: {node.name} {strike}; {self._flow.count:,} messages sent, "
            f"{invocations:,} invocations"
        )
        running[place] = nodes.restart(node)

    def _surge(self, node: Node) -> None:
        """Send many at once, and wait until a node is in the middle of them; one that stands by never is."""
        since_s = time.monotonic()
        self._flow.surge()
        while time.monotonic() < since_s + BUSY_S:
            runs = (run for mapping in self._project.mappings for run in reversed(mapping.ledger.read()))
            if any(run.node == node.name and run.began_s > since_s for run in runs):
                return
            time.sleep(0.01)

    def _restart_brokers(self) -> None:
        brokers: dict[int, tuple[Broker, list[str]]] = {}
        for kind in self._kinds:
            if kind.broker is not None:
                brokers.setdefault(id(kind.broker), (kind.broker, []))[1].append(kind.name)
        for broker, kinds in brokers.values():
            is_killed, outage_s = self._chance.random() < 0.5, self._chance.randint(*OUTAGE_MS) / 1000
            with ExitStack() as stack:
                stack.enter_context(self._flow.paused())
                for name in kinds:
                    stack.enter_context(self._trouble("restarted", name))
                (broker.kill if is_killed else broker.stop)()
                time.sleep(outage_s)
                broker.start()
                broker.wait_ready()
            how = "killed" if is_killed else "stopped"
            self._say(f"the broker of {', '.join(kinds)} was {how}, and gone for {outage_s:.1f} s")

    def _drain(self, node: Node) -> None:
        # One that has not come so far is not asked, but ended, by the system.
        node.wait_log("node started", timeout_seconds=60)
        with self._trouble("drained", node.name):
            node.terminate()
            code = node.wait()
        self._hear(node)
        assert code == 0, f"{node.name} ended with {code}:\n{node.stderr()[-4000:]}"

    @contextmanager
    def _trouble(self, how: How, who: str) -> Iterator[None]:
        from_s = time.monotonic()
        yield
        self._troubles.append(Trouble(how, who, from_s, time.monotonic()))

    def _hear(self, node: Node) -> None:
        """Take down what a run of a node said of bugs of its own, and of messages that it lost."""
        self._internal_errors += internal_errors(node)
        for line in node.log():
            if any(words in str(line.get("event")) for words in LOST_LEASES):
                said_s = datetime.fromisoformat(line["timestamp"]).timestamp() - time.time() + time.monotonic()
                self._troubles.append(Trouble("lost", node.name, said_s - LOST_WITHIN_S, said_s))

    # The end.

    def _wait_settled(self, mapping: Mapping) -> None:
        until(
            lambda: mapping.kind.count(mapping.name) == 0,
            what=f"{mapping.name} is empty",
            timeout_seconds=SETTLE_S,
            every_seconds=0.2,
        )
        until(
            lambda: mapping.kind.has_buried(mapping.name, len(NODES)),
            what=f"the dead are no longer known on {mapping.name}",
            timeout_seconds=SETTLE_S,
            every_seconds=0.2,
        )

    def _of(self, mapping: Mapping, dead: list[Letter]) -> list[str]:
        books = Books(
            self._flow.sent[mapping.name],
            mapping.ledger.read(),
            dead,
            Troubles(self._troubles, mapping.kind.name),
            is_fifo=mapping.kind.is_fifo,
        )
        self._say(f"{mapping.name}: {books.summary()}")
        problems = list(books.problems())
        problems += [f"at the broker is left: {each}" for each in mapping.kind.leftovers(mapping.name)]
        if count := mapping.kind.count(mapping.name):
            problems.append(f"{count} messages are left on the queue")
        return [f"{mapping.name}: {problem}" for problem in problems]

    @contextmanager
    def _topics(self) -> Iterator[None]:
        topics = self._project.topics()
        if not topics:
            yield
            return
        assert self._kafka is not None
        for topic in topics:
            create_topic(self._kafka, topic)
        try:
            yield
        finally:
            delete_topics(self._kafka, topics)
