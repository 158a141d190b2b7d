"""What an order of invocations must be: of one shard, or of one key, as the function wrote it down."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from itertools import pairwise

from harness.invocation import Invocation
from harness.orders import Order

NEVER_S = float("inf")


def out_of_order(
    invocations: Sequence[Invocation], *, given_up: Collection[Order] = (), given_anew_s: float = NEVER_S
) -> Iterator[str]:
    """Say what breaks an order: a record passed over, or one repeated without a new owner.

    Nothing is ever passed over but what was given up. An owner goes on where it stands: behind what was done, and at
    what was not. A new owner goes on from the checkpoint, at or before what the old one did last; so does a node that
    was given a shard of its own once more, after `given_anew_s`.
    """
    order_of = {offset: order for each in invocations for offset, order in zip(each.offsets, each.records, strict=True)}
    universe = sorted(order_of)
    place_of = {offset: place for place, offset in enumerate(universe)}
    is_given_up = [order_of[offset] in given_up for offset in universe]

    def behind(place: int) -> int:
        """Tell where what follows begins, once whatever was given up here is."""
        while place < len(universe) and is_given_up[place]:
            place += 1
        return place

    next_place = 0
    before: Invocation | None = None
    for each in invocations:
        start = place_of[each.first]
        if each.offsets != universe[start : start + len(each.offsets)]:
            yield f"{each} leaves records out"
        if start > behind(next_place):
            yield f"{each} passes over what was not handled from {universe[next_place]} on"
        is_same_owner = before is not None and before.node == each.node
        if before is not None and is_same_owner and not before.began_s < given_anew_s <= each.began_s:
            expected = place_of[before.first] + before.done
            if not expected <= start <= behind(expected):
                yield f"{each} should begin at place {expected}, after {before}"
        next_place = max(next_place, start + each.done)
        before = each


def overlapping(invocations: Sequence[Invocation]) -> Iterator[str]:
    """Say which of these invocations ran at the same time."""
    for before, after in pairwise(invocations):
        if after.began_s < before.seen_s:
            yield f"{after} began while this one ran: {before}"
