"""Shares the node's bytes for buffers out among the shards it has at the moment."""

import asyncio
from collections.abc import Callable

from penstock.core import facts
from penstock.core.budget import bytes_share


class Budget:
    """One per node; every machine of a shard joins it and hears when its share changes."""

    def __init__(self, *, bytes_max: int) -> None:
        """Take what all shards together may buffer."""
        self._bytes_max = bytes_max
        self._members: dict[object, Callable[[facts.BudgetChanged], None]] = {}
        self._told: int | None = None
        self._is_due = False

    def join(self, member: object, post: Callable[[facts.BudgetChanged], None]) -> int:
        """Count a shard in, and give its share."""
        self._members[member] = post
        self._tell_soon()
        return self._share()

    def leave(self, member: object) -> None:
        """Count it out."""
        if self._members.pop(member, None) is not None:
            self._tell_soon()

    def _share(self) -> int:
        return bytes_share(node_bytes_max=self._bytes_max, shards=len(self._members))

    def _tell_soon(self) -> None:
        # A thousand shards are usually assigned at once; each of them hears of it once.
        if not self._is_due:
            self._is_due = True
            asyncio.get_running_loop().call_soon(self._tell)

    def _tell(self) -> None:
        self._is_due = False
        share = self._share()
        if share != self._told:
            self._told = share
            for post in self._members.values():
                post(facts.BudgetChanged(share))
