"""Holding shards: which ones are ours, under which token, and what changes about that."""

import asyncio
import time
import uuid
from collections.abc import AsyncIterator, Collection, Sequence
from functools import partial

from penstock.api import (
    AssignedShard,
    Assignment,
    Checkpoint,
    CommitRefused,
    ShardsAssigned,
    ShardsLost,
    ShardsRevoked,
)
from penstock.embedded.file import SourceFile
from penstock.embedded.membership import (
    Changes,
    Membership,
    commit,
    is_alive,
    join,
    leave,
    let_go,
    rebalance,
)
from penstock.embedded.positions import shard_name
from penstock.embedded.streams import Stream

_RELEASE_PATIENCE_MS = 1000
"""How long after its grace a revoked shard is waited for before it is taken from the engine."""


class ShardLeases:
    """The shards that one node holds for one mapping, shared fairly with the other nodes of the mapping.

    Shards are known by their number within the stream. Nothing is asked of the file while nothing changes: members that
    come and go touch the mapping's key, and the end of the next lease is known beforehand.
    """

    def __init__(
        self, file: SourceFile, stream: Stream, *, mapping: str, node: str, lease_ms: int, grace_ms: int
    ) -> None:
        self._file = file
        self._me = Membership(mapping, node, uuid.uuid4().hex, lease_ms, stream)
        self._grace_ms = grace_ms
        self._held: dict[int, int] = {}
        self._revoked: dict[int, float] = {}
        self._declined: set[int] = set()
        self._expires_ms = 0
        self._is_told = False
        self._waiter = file.wakeups.waiter(self._me.signal)

    def holds(self, number: int) -> bool:
        """Tell whether a shard is ours, as far as we know."""
        return number in self._held

    def surely_holds(self, number: int) -> bool:
        """Tell whether a shard is ours and our lease goes on, so that nobody can have taken it."""
        now_ms = time.time_ns() // 1_000_000
        return number in self._held and is_alive(self._expires_ms, self._me.lease_ms, now_ms)

    async def assignments(self) -> AsyncIterator[Assignment]:
        """Become a member, and tell from then on what is ours."""
        await self._file.write(partial(join, me=self._me))
        self._file.heartbeat.join(
            self._me.session, lease_ms=self._me.lease_ms, on_renewed=self._on_renewed, on_gone=self._waiter.wake
        )
        while True:
            self._waiter.rearm()
            for number in (overdue := self._overdue()):
                del self._revoked[number]
            if overdue:
                await self._let_go(overdue)
                yield ShardsLost(_names(overdue))
            changes = await self._file.write(
                partial(rebalance, me=self._me, held=dict(self._held), declined=set(self._declined))
            )
            if changes is None:
                break
            for assignment in self._take_in(changes):
                yield assignment
            await self._waiter.wait(self._wait_ms(changes))
        # Another session of this node has everything now; only closing is left to do.
        if lost := _names(self._held):
            self._held.clear()
            yield ShardsLost(lost)
        await asyncio.get_running_loop().create_future()

    async def commit(self, number: int, checkpoint: Checkpoint) -> None:
        """Store a checkpoint, if the shard is still ours by the file's own word. Raises CommitRefused."""
        token = self._held.get(number)
        if token is None or not await self._file.write(
            partial(commit, me=self._me, number=number, token=token, checkpoint=checkpoint)
        ):
            raise CommitRefused(f"{shard_name(number)} of stream {self._me.stream.name!r} is no longer this node's")

    async def release(self, numbers: Collection[int]) -> None:
        """Free shards. One that nobody asked for back is not taken again by this session."""
        self._declined |= {number for number in numbers if number in self._held and number not in self._revoked}
        for number in numbers:
            self._revoked.pop(number, None)
        await self._let_go(numbers)

    async def close(self) -> None:
        """Leave at once, so that others need not wait for the lease to end."""
        self._file.heartbeat.leave(self._me.session)
        self._waiter.close()
        tokens = dict(self._held)
        self._held.clear()
        await self._file.write(partial(leave, me=self._me, tokens=tokens), relaxed=True)

    async def _let_go(self, numbers: Collection[int]) -> None:
        tokens = {number: self._held.pop(number) for number in numbers if number in self._held}
        if tokens:
            await self._file.write(partial(let_go, me=self._me, tokens=tokens))

    def _on_renewed(self, expires_ms: int) -> None:
        self._expires_ms = expires_ms

    def _overdue(self) -> list[int]:
        now = asyncio.get_running_loop().time()
        return [number for number, deadline in self._revoked.items() if deadline <= now]

    def _take_in(self, changes: Changes) -> Sequence[Assignment]:
        told: list[Assignment] = []
        self._expires_ms = changes.expires_ms
        # What was released while the tables were looked at is settled already.
        if lost := [number for number in changes.lost if number in self._held]:
            for number in lost:
                del self._held[number]
                self._revoked.pop(number, None)
            told.append(ShardsLost(_names(lost)))
            self._waiter.wake()  # part of what was lost may be free for us again
        give = [number for number in changes.give if number in self._held and number not in self._revoked]
        if give:
            deadline = asyncio.get_running_loop().time() + (self._grace_ms + _RELEASE_PATIENCE_MS) / 1000
            self._revoked.update(dict.fromkeys(give, deadline))
            told.append(ShardsRevoked(_names(give), self._grace_ms))
        if changes.taken or not self._is_told:
            # The first time also when there is nothing for us: then that is known.
            self._is_told = True
            self._held.update({taken.number: taken.token for taken in changes.taken})
            told.append(
                ShardsAssigned(
                    tuple(AssignedShard(shard_name(taken.number), taken.checkpoint) for taken in changes.taken)
                )
            )
        return told

    def _wait_ms(self, changes: Changes) -> float | None:
        now = asyncio.get_running_loop().time()
        waits_ms = [(deadline - now) * 1000 for deadline in self._revoked.values()]
        if changes.look_in_ms is not None:
            waits_ms.append(changes.look_in_ms + 1)
        return min(waits_ms) if waits_ms else None


def _names(numbers: Collection[int]) -> tuple[str, ...]:
    return tuple(shard_name(number) for number in sorted(numbers))
