"""What must be true of each message group of a FIFO queue: one batch at a time, and in order."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from harness.orders import Order

from torture.queues.ledger import Run
from torture.queues.troubles import Troubles

Part = tuple[Run, list[int]]
"""A run, and the numbers that it was handed of one group."""


def by_group(runs: Sequence[Run]) -> dict[str, list[Part]]:
    """Give what each group saw, in the order in which it began."""
    groups: defaultdict[str, list[Part]] = defaultdict(list)
    for run in runs:
        numbers: defaultdict[str, list[int]] = defaultdict(list)
        for handed in run.messages:
            numbers[handed.order[0]].append(handed.order[1])
        for key, its in numbers.items():
            groups[key].append((run, its))
    return dict(groups)


def out_of_order(key: str, parts: Sequence[Part], given_up: Collection[Order]) -> Iterator[str]:
    """Say what passes over a message of its group that is neither done nor given up, or comes behind what is done."""
    done: set[int] = set()
    begun: set[int] = set()
    next_number = 0
    for run, numbers in parts:
        if numbers != sorted(set(numbers)):
            yield f"{run} has the numbers {numbers} of {key}"
        here: set[int] = set()
        for number in numbers:
            passed = [
                each
                for each in range(next_number, number)
                if each not in done and each not in here and not (each in begun and (key, each) in given_up)
            ]
            if passed:
                yield f"{run} passes over {passed[:5]} of {key} before {number}"
            if number not in done and any(each > number for each in done):
                yield f"{run} comes to {number} of {key} again, behind {max(done)}, which is done"
            here.add(number)
        begun |= here
        done |= {number for each, number in run.done if each == key}
        while next_number in done:
            next_number += 1


def overlapping(parts: Sequence[Part], troubles: Troubles) -> Iterator[str]:
    """Say which runs of a group were going on at the same time, but for what stood still when the other began."""
    for (before, _), (after, _) in pairwise(parts):
        if after.began_s < before.seen_s and not troubles.stood_still(before.node, before.began_s, after.began_s):
            yield f"{after} began while this one ran: {before}"
