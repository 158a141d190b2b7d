"""Moving the position of a mapping that stands still: where to, whether that is there, and then in all shards at once.

A position is told to people as that of the record that is read next, since that is what they look for; a checkpoint
holds the one before it. What was noted with a position (attempts, lanes, an open window) belongs to that position
alone, and is dropped with it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from penstock.api import (
    Checkpoint,
    MappingContext,
    PenstockError,
    Positions,
    SourceContext,
    SourceUnavailable,
    Start,
    StreamCapabilities,
)
from penstock.configuration import MappingConfig
from penstock.plugins import check_source
from penstock.shell.refusals import WrongRequest

ASK_S = 45.0
"""A plugin may have to wait until the session of a killed run of this node has ended."""
CLOSE_S = 5.0

Target = Start | int
"""Where to move to: a start, or the position of the record that is to be read next."""


@dataclass(frozen=True, slots=True)
class Move:
    """One shard's move. Positions are of the record that is read next; None: nothing of the shard was settled yet."""

    shard: str
    before: int | None
    after: int
    drops_note: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PositionsOf:
    """Opens the positions of a node's mappings."""

    project: str
    node: str
    data_dir: Path

    @asynccontextmanager
    async def opened(self, config: MappingConfig) -> AsyncIterator[Positions]:
        """Give a mapping's positions while this is entered. Raises WrongRequest where its source has none to move."""
        kind = config.source.type
        if kind.kind == "queue":
            raise WrongRequest(f"{config.name} reads the queue {config.source.name}, and a queue has no position")
        if kind.open_positions is None:
            raise WrongRequest(
                f"a source of type {kind.name} can not tell or move positions: its plugin has no `open_positions`"
            )
        source = SourceContext(
            project=self.project, name=config.source.name, settings=config.source.settings, data_dir=self.data_dir
        )
        # No records are read, so there is no room for any.
        mapping = MappingContext(
            mapping=config.name, uuid=config.uuid, node=self.node, settings=config.settings, buffer_bytes_max=0
        )
        positions = kind.open_positions(source, mapping)
        check_source(positions, Positions)
        try:
            async with asyncio.timeout(ASK_S):
                yield positions
        except TimeoutError:
            raise SourceUnavailable(f"the source {config.source.name} did not answer within {ASK_S:g} s") from None
        finally:
            # A broker that is gone is not waited for.
            with suppress(PenstockError, TimeoutError):
                async with asyncio.timeout(CLOSE_S):
                    await positions.close()


async def plan(config: MappingConfig, positions: Positions, target: Target, shards: Sequence[str]) -> list[Move]:
    """Tell what a seek would do; no shards stand for all. Raises WrongRequest for what is not there."""
    _check(config, target)
    committed = await positions.committed()
    moves = []
    for shard in _chosen(shards, committed):
        before = committed[shard]
        moves.append(
            Move(
                shard=shard,
                before=None if before is None else before.position + 1,
                after=await _next(positions, shard, target),
                drops_note=before is not None and bool(before.note),
            )
        )
    return moves


async def carry_out(positions: Positions, moves: Sequence[Move]) -> None:
    """Move. Raises StillRead, and has moved nothing, while another node reads there."""
    await positions.write({move.shard: Checkpoint(move.after - 1) for move in moves})


def _check(config: MappingConfig, target: Target) -> None:
    if isinstance(target, int) or target.position != "AT_TIMESTAMP":
        return
    capabilities = config.source.type.capabilities
    if not (isinstance(capabilities, StreamCapabilities) and capabilities.seekable_by_time):
        raise WrongRequest(f"a source of type {config.source.type.name} can not seek by time")
    assert target.timestamp_ms is not None
    if target.timestamp_ms > time.time() * 1000:
        raise WrongRequest("the time is in the future; LATEST stands for the end")


def _chosen(shards: Sequence[str], committed: Mapping[str, Checkpoint | None]) -> list[str]:
    unknown = [shard for shard in shards if shard not in committed]
    if unknown:
        near = get_close_matches(unknown[0], committed, n=1, cutoff=0.0)
        raise WrongRequest(f"there is no shard {unknown[0]}" + (f"; the nearest name is {near[0]}" if near else ""))
    return [shard for shard in committed if shard in shards or not shards]


async def _next(positions: Positions, shard: str, target: Target) -> int:
    if isinstance(target, Start):
        return await positions.resolve(shard, target) + 1
    oldest = await positions.resolve(shard, Start("TRIM_HORIZON")) + 1
    end = await positions.resolve(shard, Start("LATEST")) + 1
    if not oldest <= target <= end:
        raise WrongRequest(
            f"shard {shard} has no position {target}: its oldest record is at {oldest}, and its next one will be at "
            f"{end}; TRIM_HORIZON and LATEST stand for its ends, and --shard chooses among several"
        )
    return target
