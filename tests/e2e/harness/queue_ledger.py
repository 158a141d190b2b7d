"""What a function on a queue wrote down, read while it still writes, and what must be true of it in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

from brokers import until
from harness.orders import Order
from harness.tail import Tail


class Job(NamedTuple):
    """A message as the function was handed it."""

    order: Order
    message_id: str
    receive_count: int
    group: str | None


@dataclass(slots=True)
class Run:
    """One run of the function as it wrote it down. Times are seconds of the machine's monotonic clock."""

    request_id: str
    source: str
    jobs: list[Job]
    node: str
    pid: int
    began_s: float
    seen_s: float
    """Its last sign of life; of one that ended, its end."""
    outcome: str = ""
    """`returned`, `reported`, `raised`, or nothing while it runs, and when it was killed."""
    failed: set[int] = field(default_factory=set)
    """Which of its messages it reported, by their place in the batch."""

    @property
    def orders(self) -> list[Order]:
        """Which messages it was handed."""
        return [job.order for job in self.jobs]

    @property
    def numbers(self) -> list[int]:
        """Their numbers, where the key does not matter."""
        return [number for _, number in self.orders]

    @property
    def counts(self) -> list[int]:
        """Their receive counts."""
        return [job.receive_count for job in self.jobs]

    @property
    def handled(self) -> list[Order]:
        """The messages that were done."""
        is_done = self.outcome in {"returned", "reported"}
        return [order for place, order in enumerate(self.orders) if is_done and place not in self.failed]

    def __str__(self) -> str:
        return (
            f"{self.orders} by {self.node} (pid {self.pid}) "
            f"from {self.began_s:.3f} to {self.seen_s:.3f} {self.outcome or 'never ended'}"
        )


class QueueLedger:
    """One file that all environments of all nodes append to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._tail = Tail(path)
        self._runs: dict[str, Run] = {}

    # While it is written.

    def read(self) -> list[Run]:
        """Give all runs so far, in the order in which they began."""
        for line in self._tail.read():
            self._take_in(line)
        return sorted(self._runs.values(), key=lambda each: each.began_s)

    def wait_for(self, wanted: Callable[[list[Run]], bool], *, what: str, timeout_seconds: float = 60) -> list[Run]:
        """Wait until the runs are as wanted, and give them."""
        until(lambda: wanted(self.read()), what=what, timeout_seconds=timeout_seconds, every_seconds=0.01)
        return self.read()

    def wait_for_all(self, expected: Collection[Order], *, timeout_seconds: float = 60) -> None:
        """Wait until every message was done."""
        until(
            lambda: not self.missing(expected),
            what="every message was handled",
            timeout_seconds=timeout_seconds,
            every_seconds=0.1,
        )

    def release(self) -> None:
        """Let runs that hold go on."""
        self.path.with_name(self.path.name + ".release").touch()

    def _take_in(self, line: dict[str, Any]) -> None:
        if "begin" in line:
            jobs = [Job((key, number), *rest) for key, number, *rest in line["jobs"]]
            self._runs[line["begin"]] = Run(
                request_id=line["begin"],
                source=line["source"],
                jobs=jobs,
                node=line["node"],
                pid=line["pid"],
                began_s=line["at_s"],
                seen_s=line["at_s"],
            )
            return
        found = self._runs[line.get("alive") or line["end"]]
        found.seen_s = line["at_s"]
        found.outcome = line.get("outcome", "")
        found.failed = set(line.get("failed", ()))

    # When it is complete.

    def missing(self, expected: Collection[Order]) -> list[Order]:
        """List the messages that no run handled."""
        handled = self.handled().keys()
        return [order for order in expected if order not in handled]

    def handled(self) -> Counter[Order]:
        """Count how often each message was done."""
        return Counter(order for each in self.read() for order in each.handled)

    def handed_out(self) -> Counter[Order]:
        """Count how often each message was handed to the function."""
        return Counter(order for each in self.read() for order in each.orders)

    def receive_counts(self) -> dict[Order, list[int]]:
        """Give the receive counts with which each message was handed out, in the order of its runs."""
        counts: defaultdict[Order, list[int]] = defaultdict(list)
        for run in self.read():
            for job in run.jobs:
                counts[job.order].append(job.receive_count)
        return dict(counts)

    def out_of_order(self, *, given_up: Collection[Order] = ()) -> list[str]:
        """List what breaks the order of a group; see `group_problems`."""
        groups: defaultdict[str | None, list[Run]] = defaultdict(list)
        for run in self.read():
            for group in dict.fromkeys(job.group for job in run.jobs):
                groups[group].append(run)
        return [problem for group, runs in groups.items() for problem in group_problems(group, runs, given_up)]

    def most_at_once(self) -> int:
        """Tell how many runs there were at the same time, at the most."""
        runs = self.read()
        steps = sorted([(each.began_s, 1) for each in runs] + [(each.seen_s, -1) for each in runs])
        running = most = 0
        for _, step in steps:
            running += step
            most = max(most, running)
        return most


def group_problems(group: str | None, runs: list[Run], given_up: Collection[Order]) -> Iterator[str]:
    """Say what breaks the order of a message group: two runs at once, or a message before its predecessor is done.

    The messages of a group are numbered from 0 without a gap. What was done may come again after a crash; what was not
    is never passed over, unless it was given up.
    """
    for before, after in pairwise(runs):
        if after.began_s < before.seen_s:
            yield f"group {group}: {after} began while this one ran: {before}"
    frontier = 0
    for run in runs:
        places = [place for place, job in enumerate(run.jobs) if job.group == group]
        is_going_on = bool(run.outcome) and run.outcome != "raised"
        expected: int | None = None
        for place in places:
            key, number = run.jobs[place].order
            while (key, frontier) in given_up:
                frontier += 1
            while expected is not None and expected < number and (key, expected) in given_up:
                expected += 1
            if number > frontier and expected is None:
                yield f"group {group}: {run} passes over {frontier}"
            if expected is not None and number != expected:
                yield f"group {group}: {run} has {number} where {expected} comes next"
            expected = number + 1
            is_going_on = is_going_on and place not in run.failed
            if is_going_on:
                frontier = max(frontier, number + 1)
