"""What the function wrote down, read while it still writes, and what must be true of it in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

from brokers import until
from harness import order
from harness.invocation import Invocation
from harness.orders import Order
from harness.tail import Tail


class Ledger:
    """One file that all environments of all nodes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = Tail(path)
        self._invocations: dict[str, Invocation] = {}

    # While it is written.

    def read(self) -> list[Invocation]:
        """Give all invocations so far, in the order in which they began."""
        for line in self._tail.read():
            self._take_in(line)
        return sorted(self._invocations.values(), key=lambda each: each.began_s)

    def wait_for(
        self, wanted: Callable[[list[Invocation]], bool], *, what: str, timeout_seconds: float = 30
    ) -> list[Invocation]:
        """Wait until the invocations are as wanted, and give them."""
        until(lambda: wanted(self.read()), what=what, timeout_seconds=timeout_seconds, every_seconds=0.01)
        return self.read()

    def wait_for_all(self, expected: Counter[Order], *, timeout_seconds: float = 60) -> None:
        """Wait until every record was done."""
        until(
            lambda: not self.missing(expected),
            what="every record was handled",
            timeout_seconds=timeout_seconds,
            every_seconds=0.1,
        )

    def release(self) -> None:
        """Let invocations that hold go on."""
        self.path.with_name(self.path.name + ".release").touch()

    def _take_in(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            found = Invocation.from_line(line)
            self._invocations[found.request_id] = found
            return
        found = self._invocations[line.get("alive") or line["end"]]
        found.seen_s = line["at_s"]
        found.outcome = line.get("outcome", "")
        found.done = line.get("done", 0)

    # When it is complete.

    def missing(self, expected: Collection[Order]) -> list[Order]:
        """List the records that no invocation handled to its end."""
        handled = self.handled().keys()
        return [order for order in expected if order not in handled]

    def handled(self) -> Counter[Order]:
        """Count how often each record was done."""
        return Counter(order for each in self.read() for order in each.handled)

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

    def by_key(self) -> dict[str, list[Invocation]]:
        """Give the invocations of each key in the order in which they began, with the key's own records alone."""
        keys: defaultdict[str, list[Invocation]] = defaultdict(list)
        for each in self.read():
            for key, part in each.by_key().items():
                keys[key].append(part)
        return dict(keys)

    def out_of_order(self, *, given_up: Collection[Order] = (), given_anew_s: float = order.NEVER_S) -> list[str]:
        """List what breaks the order of a shard; see `order.out_of_order`. For shards without lanes and windows."""
        return [
            problem
            for invocations in self.by_shard().values()
            for problem in order.out_of_order(invocations, given_up=given_up, given_anew_s=given_anew_s)
        ]

    def out_of_order_by_key(self, *, given_up: Collection[Order] = ()) -> list[str]:
        """List what breaks the order of a key."""
        return [
            problem
            for invocations in self.by_key().values()
            for problem in order.out_of_order(invocations, given_up=given_up)
        ]

    def overlapping(self) -> list[str]:
        """List invocations of one shard that ran at the same time."""
        return [each for invocations in self.by_shard().values() for each in order.overlapping(invocations)]

    def overlapping_by_key(self) -> list[str]:
        """List invocations with one key that ran at the same time."""
        return [each for invocations in self.by_key().values() for each in order.overlapping(invocations)]

    def window_states(self) -> dict[tuple[str, str], dict[str, Any]]:
        """Give the state that each window ended with, by shard and start: that of its last final invocation."""
        return {
            (each.shard, each.window.start): each.window.state
            for each in self.read()
            if each.window is not None and each.window.is_final and each.has_returned
        }

    def most_at_once(self) -> int:
        """Tell how many invocations ran at the same time, at the most."""
        steps = sorted([(each.began_s, 1) for each in self.read()] + [(each.seen_s, -1) for each in self.read()])
        running = most = 0
        for _, step in steps:
            running += step
            most = max(most, running)
        return most

    def rerun(self, node: str) -> Iterator[tuple[str, list[Invocation]]]:
        """For each shard of a node: what the node that had it before ran, and this one ran again, in part or whole."""
        for shard, invocations in self.by_shard().items():
            begun = next((place for place, each in enumerate(invocations) if each.node == node), 0)
            if begun:
                before, first = invocations[begun - 1].node, invocations[begun].first
                yield shard, [each for each in invocations[:begun] if each.node == before and each.last >= first]
