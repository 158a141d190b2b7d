"""What the function wrote down, read while it still writes, and what must be true of it in the end."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path

from brokers import until
from harness.invocation import Invocation
from harness.orders import Order


class Ledger:
    """One file that all environments of all nodes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0
        self._rest = b""
        self._invocations: dict[str, Invocation] = {}

    # While it is written.

    def read(self) -> list[Invocation]:
        """Give all invocations so far, in the order in which they began."""
        if self.path.exists():
            with self.path.open("rb") as file:
                file.seek(self._offset)
                new = file.read()
            self._offset += len(new)
            *lines, self._rest = (self._rest + new).split(b"\n")
            for line in filter(None, lines):
                self._take_in(line)
        return sorted(self._invocations.values(), key=lambda each: each.began_s)

    def wait_for(
        self, wanted: Callable[[list[Invocation]], bool], *, what: str, timeout_seconds: float = 30
    ) -> list[Invocation]:
        """Wait until the invocations are as wanted, and give them."""
        until(lambda: wanted(self.read()), what=what, timeout_seconds=timeout_seconds, every_seconds=0.01)
        return self.read()

    def wait_for_all(self, expected: Counter[Order], *, timeout_seconds: float = 60) -> None:
        """Wait until every record was in an invocation that returned."""
        until(
            lambda: not self.missing(expected),
            what="every record was handled",
            timeout_seconds=timeout_seconds,
            every_seconds=0.1,
        )

    def release(self) -> None:
        """Let invocations that hold go on."""
        self.path.with_name(self.path.name + ".release").touch()

    def _take_in(self, text: bytes) -> None:
        try:
            line = json.loads(text)
        except ValueError:
            # Half a line: its process was killed while it wrote.
            return
        if "begin" in line:
            found = Invocation.from_line(line)
            self._invocations[found.request_id] = found
            return
        found = self._invocations[line.get("alive") or line["end"]]
        found.seen_s = line["at_s"]
        found.outcome = line.get("outcome", "")

    # When it is complete.

    def missing(self, expected: Counter[Order]) -> list[Order]:
        """List the records that no invocation handled to its end."""
        handled = {order for each in self.read() if each.has_returned for order in each.records}
        return [order for order in expected if order not in handled]

    def handed_out(self) -> Counter[Order]:
        """Count how often each record was handed to the function."""
        return Counter(order for each in self.read() for order in each.records)

    def repeats(self) -> int:
        """Count the times that a record was handed out once more."""
        return sum(count - 1 for count in self.handed_out().values())

    def by_shard(self) -> dict[str, list[Invocation]]:
        """Give the invocations of each shard in the order in which they began."""
        shards: defaultdict[str, list[Invocation]] = defaultdict(list)
        for each in self.read():
            shards[each.shard].append(each)
        return dict(shards)

    def out_of_order(self, *, given_anew_s: float | None = None) -> list[str]:
        """List what breaks the order of a shard: a record passed over, or one repeated without a new owner.

        Nothing is ever passed over. An owner goes on where it stands: behind a batch that returned, and at a batch that
        did not. A new owner goes on from the checkpoint, at or before what the old one did last; so does a node that
        was given a shard of its own once more, after `given_anew_s`.
        """
        problems: list[str] = []
        for invocations in self.by_shard().values():
            problems += _out_of_order(invocations, float("inf") if given_anew_s is None else given_anew_s)
        return problems

    def out_of_order_by_key(self) -> list[str]:
        """List the keys whose numbers were not first seen in ascending order."""
        newest: dict[str, int] = {}
        problems = []
        for each in self.read():
            for key, number in each.records:
                if number > newest.get(key, -1) + 1:
                    problems.append(f"{key}: number {number} came after {newest.get(key, 'none')}")
                newest[key] = max(number, newest.get(key, -1))
        return problems

    def overlapping(self) -> list[str]:
        """List invocations of one shard that ran at the same time."""
        problems = []
        for invocations in self.by_shard().values():
            for before, after in pairwise(invocations):
                if after.began_s < before.seen_s:
                    problems.append(f"{after} began while this one ran: {before}")
        return problems

    def rerun(self, node: str) -> Iterator[tuple[str, list[Invocation]]]:
        """For each shard of a node: what the node that had it before ran, and this one ran again, in part or whole."""
        for shard, invocations in self.by_shard().items():
            begun = next((place for place, each in enumerate(invocations) if each.node == node), 0)
            if begun:
                before, first = invocations[begun - 1].node, invocations[begun].first
                yield shard, [each for each in invocations[:begun] if each.node == before and each.last >= first]


def _out_of_order(invocations: list[Invocation], given_anew_s: float) -> Iterator[str]:
    universe = sorted({offset for each in invocations for offset in each.offsets})
    place = {offset: index for index, offset in enumerate(universe)}
    next_place = 0
    before: Invocation | None = None
    for each in invocations:
        start = place[each.first]
        if each.offsets != universe[start : start + len(each.offsets)]:
            yield f"{each} leaves records out"
        if start > next_place:
            yield f"{each} passes over what was not handled from {universe[next_place]} on"
        is_same_owner = before is not None and before.node == each.node
        if before is not None and is_same_owner and not before.began_s < given_anew_s <= each.began_s:
            expected = place[before.last] + 1 if before.has_returned else place[before.first]
            if start != expected:
                yield f"{each} should begin at place {expected} of its shard, after {before}"
        if each.has_returned:
            next_place = max(next_place, place[each.last] + 1)
        before = each
