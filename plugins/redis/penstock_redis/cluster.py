"""The way to the node of a Redis Cluster that has a queue's slot.

All keys of a queue are in one slot, so one node has the whole queue. It is found by asking any node, and by the word of
a node that has the slot no more.
"""

import random
from collections.abc import Mapping, Sequence
from typing import Any

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceUnavailable
from penstock_redis.address import InCluster, Node
from penstock_redis.asking import Answer, ask_each
from penstock_redis.errors import source_error
from penstock_redis.route import Search

ASKED_MAX = 5
KNOWN_MAX = 50


class ClusterRoute(Search):
    """Leads to the owner of one slot."""

    is_cluster = True
    words: Mapping[str, str] = {
        "READONLY": "the node is a replica by now; the cluster is asked again whose the slot is",
        "CLUSTERDOWN": "the cluster is down: nobody serves the queue's slot, or too many of its nodes are away",
        "TRYAGAIN": "the queue's slot is being moved to another node; it goes on when that is done",
        "UNBLOCKED": "the node let go of a waiting call, as one does that becomes a replica",
    }

    def __init__(self, address: InCluster, place: str) -> None:
        """Take the seeds and the slot; nobody is asked yet."""
        super().__init__(place, f"the node of its slot {address.slot}")
        self._seeds = address.seeds
        self._slot = address.slot
        self._known: dict[str, Node] = {}

    def follow(self, node: Node, host: str, port: int) -> Node | None:
        # A node that was told no name for another one means its own host.
        return self._settle(self._seeds[0].beside(host or node.options["host"], port))

    async def _look(self) -> Node:
        answers = await self._ask()
        told = next((answer for answer in answers if answer.error is None), None)
        if told is None:
            raise self._silence(answers)
        owner = self._read(told)
        if owner is None:
            raise SourceUnavailable(f"{self._place}: no node of the cluster serves the queue's slot {self._slot}")
        return owner

    async def _ask(self) -> list[Answer]:
        # Somebody else each time: one that was cut off answers too, and tells what was.
        known = {seed.shown: seed for seed in self._seeds} | self._known
        asked = random.sample(list(known.values()), min(ASKED_MAX, len(known)))
        answers = await ask_each(asked, ("CLUSTER", "SLOTS"), enough=1)
        rest = [node for node in known.values() if node not in asked]
        if rest and all(answer.error is not None for answer in answers):
            answers += await ask_each(
                random.sample(rest, min(2 * ASKED_MAX, len(rest))), ("CLUSTER", "SLOTS"), enough=1
            )
        return answers

    def _read(self, told: Answer) -> Node | None:
        """Note all nodes of the cluster; give the owner of the slot."""
        owner = None
        known: dict[str, Node] = {}
        for first, last, *nodes in told.reply:
            found = [self._node_of(entry, told.node) for entry in nodes]
            if first <= self._slot <= last and found:
                owner = found[0]
            known |= {node.shown: node for node in found}
        self._known = dict(random.sample(list(known.items()), min(KNOWN_MAX, len(known))))
        return owner

    def _node_of(self, entry: Sequence[Any], asked: Node) -> Node:
        host = (entry[0] or b"").decode()
        return self._seeds[0].beside(asked.options["host"] if host in {"", "?"} else host, entry[1])

    def _silence(self, answers: Sequence[Answer]) -> SourceError:
        """Say why nobody told anything: the reason that somebody has to mend counts before those that pass."""
        reasons = [_reason(answer) for answer in answers]
        for reason in reasons:
            if isinstance(reason, SourceDenied | SourceBroken):
                return type(reason)(f"{self._place}: {reason}")
        return SourceUnavailable(f"{self._place}: no node of the cluster answers: {'; '.join(map(str, reasons))}")


def _reason(answer: Answer) -> SourceError:
    who = f"node {answer.node.shown}"
    if "cluster support disabled" in str(answer.error):
        return SourceBroken(f"{who}: cluster mode is off there; leave out `Cluster`")
    return source_error(answer.error or TimeoutError(), who)
