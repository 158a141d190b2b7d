"""Where a mapping stands in a stream, for who moves it while nobody reads: `penstock mapping seek`."""

from collections.abc import Mapping
from typing import Protocol

from penstock.api.records import Checkpoint, Start


class Positions(Protocol):
    """What is committed for one mapping, in every shard of its source, while the mapping is disabled on this node.

    Made by `SourceType.open_positions` with the same contexts as a reader. It connects when it is first asked, joins
    nothing and reads no records. All methods run on the engine's loop and never block it; every one may raise a
    `SourceError`. What is left of an earlier reader of this very node (`MappingContext.node`) is dead: the engine sees
    to it that the two never live at once.
    """

    async def committed(self) -> Mapping[str, Checkpoint | None]:
        """Tell for every shard of the source what is committed; None where nothing is. In the shards' own order."""

    async def resolve(self, shard: str, start: Start) -> int:
        """Tell the position to read *after* for a start, as `StreamSource.resolve` does."""

    async def write(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        """Commit for these shards, durably, in one step where the broker can: whoever reads them next begins there.

        Raises `StillRead`, and has changed nothing, when another node reads the stream for this mapping now. Who looks
        first and writes then must have the broker or store refuse a writer that was overtaken.
        """

    async def close(self) -> None:
        """Let go of everything. Called once."""
