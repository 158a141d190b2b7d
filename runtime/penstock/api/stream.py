"""What a stream source is: shards that are read in order, from a position that the engine owns.

The engine reads after a position, invokes, and commits a checkpoint. A plugin keeps no progress of its own: asking
again after the same position gives the same records, so a crash, a replay and a seek are all the same call.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import msgspec

from penstock.api.records import Checkpoint, Record, Start


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamCapabilities:
    """What a stream source can do. A mapping that asks for more is refused when it is made."""

    seekable_by_time: bool = False
    """AT_TIMESTAMP is honoured."""
    balanced: bool = False
    """The broker moves shards between nodes, and tells of it through `assignments`."""
    leased: bool = False
    """A shard is held under a lease with a token, and a late commit is refused by the store itself."""
    keyed: bool = False
    """Records carry a key."""


class Want(msgspec.Struct, frozen=True, gc=False):
    """Records wanted of one shard: those after position `after`, at most so many records and bytes of key and value.

    A record larger than `bytes_max` on its own is returned alone, never withheld.
    """

    shard: str
    after: int
    records_max: int
    bytes_max: int


class Gap(msgspec.Struct, frozen=True, gc=False):
    """Positions that the source no longer has (`D9`): the first and the last one missing."""

    first: int
    last: int


class Fetched(msgspec.Struct, frozen=True, gc=False):
    """What a fetch found in one shard.

    `records` follow `Want.after` in order. `position` is how far the reader has come: the last record's position, or
    beyond it where what follows holds no records (transaction markers, compacted or aborted records). It may move with
    no records at all. `bytes_count` is the size of the keys, values and headers. `lag` is how many positions are known
    to lie beyond `position`, or None where that is not known without asking the broker. `gap` says what was trimmed
    between `Want.after` and the first record.
    """

    shard: str
    records: list[Record]
    position: int
    bytes_count: int
    lag: int | None = None
    gap: Gap | None = None


class Backlog(msgspec.Struct, frozen=True, gc=False):
    """What waits at the source: how many positions beyond the one asked about, or messages, and the oldest one's age.

    `delayed` counts messages of a queue that are there and not yet visible, or held by someone.
    """

    count: int
    oldest_age_ms: int | None = None
    delayed: int = 0


class AssignedShard(msgspec.Struct, frozen=True, gc=False):
    """A shard that is ours from now on, with what was last committed for it.

    `appeared_later` tells that the mapping was already reading its source when this shard came into being: with no
    checkpoint it is then read from its oldest record, whatever the starting position (`D47`).
    """

    shard: str
    checkpoint: Checkpoint | None
    appeared_later: bool = False


@dataclass(frozen=True, slots=True)
class ShardsAssigned:
    """These shards are ours from now on; none, where a node has heard that there is nothing for it to read for now."""

    shards: tuple[AssignedShard, ...]


@dataclass(frozen=True, slots=True)
class ShardsRevoked:
    """These shards go to another node (`D10`). The engine has `grace_ms` to finish what runs; then it calls `release`.

    A plugin that waits for `release` waits no longer than the grace and a second.
    """

    shards: tuple[str, ...]
    grace_ms: int


@dataclass(frozen=True, slots=True)
class ShardsLost:
    """These shards are already another node's: nothing of them may be committed, and what runs is ended."""

    shards: tuple[str, ...]


Assignment = ShardsAssigned | ShardsRevoked | ShardsLost


class StreamSource(Protocol):
    """One mapping's reader of one stream.

    All methods run on the engine's loop and never block it; `penstock.api.Blocking` runs a blocking client for you.
    Every method may raise a `SourceError`; anything else is a bug of the plugin's, and stops the mapping loudly.
    `open` comes first, and after `close` nothing more is called. A source whose call failed stays usable: the engine
    calls again after a pause, or closes it and makes a new one.
    """

    async def open(self) -> None:
        """Connect and check what is needed to read. Raises the `SourceError` that says what is wrong."""

    async def close(self) -> None:
        """Let go of everything. Never raises for a broker that is gone. Called once, also after a failed `open`."""

    def assignments(self) -> AsyncIterator[Assignment]:
        """Yield which shards are ours, as that changes; called once. Ends only by cancelling, or raises SourceError."""

    async def resolve(self, shard: str, start: Start) -> int:
        """Tell the position to read *after* for a start: -1 or more. AT_TIMESTAMP needs `seekable_by_time`."""

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        """Read of the wanted shards what is there; wait up to `wait_ms` for the first of it.

        One fetch is outstanding per mapping. Shards with nothing new are left out. Being cancelled loses nothing: what
        was found is found again by the next fetch after the same position. Wants of shards that are not ours are
        passed over.
        """

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        """Store a checkpoint durably; when this returns, a crash will not undo it.

        Raises CommitRefused when the shard is no longer ours. One commit per shard is outstanding.
        """

    async def release(self, shards: Sequence[str]) -> None:
        """Hear that the engine is done with shards that were revoked, or that it lets go of on its own."""

    async def backlog(self, shard: str, after: int) -> Backlog:
        """Tell what waits beyond a position, as the broker says now; where it can tell, only what holds records."""


@runtime_checkable
class HoldsShards(Protocol):
    """What a source of shards that move between nodes offers besides: a word on whether one is ours at this moment.

    `ShardsLost` comes when the loss is known, and a process that was stopped, or slept with its machine, may have lost
    a shard long before it is told. The engine asks right before each invocation, and what is not surely ours is not run
    (`D10`: no two owners run one shard at a time); it tries again after a pause, and counts no attempt.
    """

    def holds(self, shard: str) -> bool:
        """Tell whether a shard is certainly ours now, at once and without asking anyone.

        False for a shard that was lost, released or never assigned, and for every shard from when this process stood
        still for as long as its session or lease might not have outlived, until the broker or store was heard again.
        Being wrong with False costs a moment, with True an invocation beside the new owner's.
        """


@runtime_checkable
class LeavesAtOnce(Protocol):
    """What a source offers besides whose place among the readers outlives it, so that a restarted node has it again.

    A node that ends keeps that place. One that goes on without the mapping (`mapping disable`) gives it up, so that the
    others need not wait for it to lapse.
    """

    async def leave(self) -> None:
        """Hear that the `close` that follows is no restart: everything is released, nobody here asks for it soon."""
