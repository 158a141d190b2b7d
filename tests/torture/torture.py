"""Kills a node at random moments while records are written, and hands what is left to the books."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Node, Nodes
from harness.project import ends_of

from brokers import committed_offsets, create_topic, until
from brokers.clients import delete_topics
from brokers.private_kafka import PrivateKafka
from torture.books import Books
from torture.flow import Flow
from torture.project import MAPPINGS, PARTITIONS, TICKS, TortureProject
from torture.strikes import Say, Strike, internal_errors

SETTLE_S = 600.0
LETTER_BYTES_MAX = 8_000


class Torture:
    """One run of so many kills. The same seed kills at the same moments and writes the same records.

    `letters` is a broker of its own for documents, which is cut off for `outage_s` after every tenth kill; without one
    they go to the broker that has the records.
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        *,
        kills: int,
        seed: int,
        say: Say,
        letters: PrivateKafka | None = None,
        outage_s: float = 30.0,
    ) -> None:
        self._kills = kills
        self._chance = random.Random(seed)
        self._say = say
        self._letters, self._outage_s = letters, outage_s
        self._project = TortureProject(folder / "torture", address, letters.address if letters else address)
        self._flow = Flow(self._project, seed)
        self._killed_s: dict[str, float] = {}
        self._internal_errors: list[str] = []
        self._has_late = False
        self._outage: threading.Thread | None = None

    def run(self) -> list[str]:
        """Torture a node, and list what was wrong in the end."""
        with self._topics(), Nodes(self._project.folder) as nodes:
            with self._flow.running():
                node = nodes.start(self._project)
                for number in range(1, self._kills + 1):
                    node = self._strike(nodes, node, number)
            if self._outage is not None:
                self._outage.join()
            self._say(f"{self._flow.written:,} records are written; the backlog drains")
            self._wait_settled(node)
            node.terminate()
            code = node.wait()
            self._hear(node)
            books = Books(self._project, self._flow, self._killed_s, has_late=self._has_late)
            problems = self._internal_errors + books.problems()
            problems += [f"the node ended with {code} in the end"] if code else []
            for line in books.summary():
                self._say(line)
            return problems

    def _strike(self, nodes: Nodes, node: Node, number: int) -> Node:
        """End a run of the node at some moment, and start the next one."""
        strike = Strike.draw(self._chance)
        cuts_off = self._letters is not None and number % 10 == 1
        strike.await_moment(node)
        if cuts_off:
            self._cut_off()
        if not strike.is_orderly:
            self._killed_s[node.name] = time.monotonic()
        strike.end(node)
        self._hear(node)
        self._say(
            f"{number} of {self._kills}: {strike}; {self._flow.written:,} records written, "
            f"{self._invocations():,} invocations{'; its letter box is cut off' if cuts_off else ''}"
        )
        return nodes.restart(node)

    def _hear(self, node: Node) -> None:
        """Take down what a run of the node said of bugs of its own, and whether records came late for their window."""
        self._has_late |= bool(node.log("records late"))
        self._internal_errors += internal_errors(node)

    def _invocations(self) -> int:
        return sum(len(ledger.read()) for ledger in self._project.ledgers.values())

    def _cut_off(self) -> None:
        """Take the documents' broker away for a while, in the background."""
        if self._outage is not None:
            self._outage.join()
        self._outage = threading.Thread(target=self._outage_of_letters)
        self._outage.start()

    def _outage_of_letters(self) -> None:
        assert self._letters is not None
        self._letters.stop()
        time.sleep(self._outage_s)
        self._letters.start()
        self._letters.wait_ready()

    def _wait_settled(self, node: Node) -> None:
        """Wait until everything is committed, and every window is closed."""
        project = self._project
        for mapping in MAPPINGS:
            topic, group = project.topic(mapping.source), project.group(mapping)
            ends = ends_of(project.address, topic)
            until(
                lambda topic=topic, group=group, ends=ends: (
                    {each: place for each, (place, _) in committed_offsets(project.address, group, topic).items()}
                    == ends
                ),
                what=f"{mapping.name} has committed {ends}",
                timeout_seconds=SETTLE_S,
                every_seconds=0.2,
            )
        (sums,) = (mapping for mapping in MAPPINGS if mapping.source == TICKS)

        def are_closed() -> bool:
            (found,) = (each for each in node.status()["mappings"] if each["function"] == sums.name)
            return all(shard["window"] is None for shard in found["shards"])

        until(are_closed, what="all windows are closed", timeout_seconds=SETTLE_S)

    @contextmanager
    def _topics(self) -> Iterator[None]:
        project = self._project
        sources = {project.topic(mapping.source) for mapping in MAPPINGS}
        wanted = {destination for mapping in MAPPINGS for destination in (mapping.letters, mapping.told)}
        documents = [project.topic(name) for name in wanted if name and ":" not in name]
        for topic in sources:
            create_topic(project.address, topic, partitions=PARTITIONS)
        for topic in documents:
            create_topic(project.letters_address, topic, config={"max.message.bytes": str(LETTER_BYTES_MAX)})
        try:
            yield
        finally:
            if self._outage is not None:
                self._outage.join()
            delete_topics(project.address, sorted(sources))
            delete_topics(project.letters_address, documents)
