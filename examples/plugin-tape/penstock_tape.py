"""A source plugin in one file: a folder of text files is a stream, each file a shard, each line a record."""

import asyncio
import json
import os
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from penstock.api import (
    AssignedShard,
    Assignment,
    Backlog,
    Checkpoint,
    CommitRefused,
    Fetched,
    MappingContext,
    Record,
    Setting,
    ShardsAssigned,
    SourceContext,
    SourceMissing,
    SourceType,
    Start,
    StreamCapabilities,
    Want,
    hookimpl,
)

PENSTOCK_API_VERSION = 1
LOOK_S = 0.2


class TapeSource:
    """Reads the files of one folder. The position of a record is the number of its line, from 0."""

    capabilities = StreamCapabilities()

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._folder = Path(source.settings["Folder"])
        self._checkpoints = source.data_dir / f"tape-{mapping.uuid}"
        self._ours: set[str] = set()

    async def open(self) -> None:
        if not self._folder.is_dir():
            raise SourceMissing(f"the folder {self._folder} is not there")
        self._checkpoints.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        pass

    async def assignments(self) -> AsyncIterator[Assignment]:
        self._ours = {file.name for file in self._folder.glob("*.txt")}
        yield ShardsAssigned(
            tuple(AssignedShard(name, read_checkpoint(self._checkpoints / name)) for name in sorted(self._ours))
        )
        await asyncio.Event().wait()  # every shard stays ours until the mapping ends

    async def resolve(self, shard: str, start: Start) -> int:
        return position_before(self._folder / shard, start)

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + wait_ms / 1000
        while True:
            found = [fetched for want in wants if want.shard in self._ours and (fetched := self._read(want)).records]
            left_s = deadline_s - loop.time()
            if found or left_s <= 0:
                return found
            await asyncio.sleep(min(LOOK_S, left_s))

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        if shard not in self._ours:
            raise CommitRefused(f"the tape {shard} is not ours any more")
        write_checkpoint(self._checkpoints / shard, checkpoint)

    async def release(self, shards: Sequence[str]) -> None:
        self._ours.difference_update(shards)

    async def backlog(self, shard: str, after: int) -> Backlog:
        return Backlog(count=len(read_lines(self._folder / shard)) - 1 - after)

    def _read(self, want: Want) -> Fetched:
        first = want.after + 1
        lines = read_lines(self._folder / want.shard)
        # No line says when it was written; the newest one was when the file last changed.
        changed_ms = (self._folder / want.shard).stat().st_mtime_ns // 1_000_000
        records, bytes_count = [], 0
        for position, line in enumerate(lines[first : first + want.records_max], start=first):
            if records and bytes_count + len(line) > want.bytes_max:
                break
            records.append(Record(position, line, None, changed_ms))
            bytes_count += len(line)
        reached = want.after + len(records)
        return Fetched(want.shard, records, reached, bytes_count, lag=len(lines) - 1 - reached)


class TapePositions:
    """Moves a mapping's position while nobody reads. Each node has checkpoints of its own, so nobody else ever does."""

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._folder = Path(source.settings["Folder"])
        self._checkpoints = source.data_dir / f"tape-{mapping.uuid}"

    async def committed(self) -> Mapping[str, Checkpoint | None]:
        names = sorted(file.name for file in self._folder.glob("*.txt"))
        return {name: read_checkpoint(self._checkpoints / name) for name in names}

    async def resolve(self, shard: str, start: Start) -> int:
        return position_before(self._folder / shard, start)

    async def write(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        self._checkpoints.mkdir(parents=True, exist_ok=True)
        for shard, checkpoint in checkpoints.items():
            write_checkpoint(self._checkpoints / shard, checkpoint)

    async def close(self) -> None:
        pass


def read_lines(tape: Path) -> list[bytes]:
    # What follows the last newline is still being written.
    return tape.read_bytes().split(b"\n")[:-1]


def position_before(tape: Path, start: Start) -> int:
    return -1 if start.position == "TRIM_HORIZON" else len(read_lines(tape)) - 1


def read_checkpoint(file: Path) -> Checkpoint | None:
    try:
        return Checkpoint(*json.loads(file.read_text()))
    except FileNotFoundError:
        return None


def write_checkpoint(file: Path, checkpoint: Checkpoint) -> None:
    draft = file.with_suffix(".new")
    with draft.open("w") as out:
        json.dump([checkpoint.position, checkpoint.note], out)
        out.flush()
        os.fsync(out.fileno())
    draft.rename(file)
    folder = os.open(file.parent, os.O_RDONLY)
    os.fsync(folder)  # or a power cut could undo the renaming
    os.close(folder)


@hookimpl
def register_sources(register):
    register(
        SourceType(
            name="tape",
            kind="stream",
            doc="text files as shards, lines as records",
            capabilities=TapeSource.capabilities,
            settings=(Setting("Folder", "path", required=True, doc="where the .txt files are"),),
            event_formats=("kinesis",),
            open_stream=TapeSource,
            open_positions=TapePositions,
        )
    )
