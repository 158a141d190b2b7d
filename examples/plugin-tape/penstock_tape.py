"""A source plugin in one file: a folder of text files is a stream, each file a shard, each line a record."""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from penstock.api import (
    AssignedShard,
    Assignment,
    Backlog,
    Checkpoint,
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

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._folder = Path(source.settings["Folder"])
        self._checkpoints = source.data_dir / f"tape-{mapping.uuid}"

    async def open(self) -> None:
        if not self._folder.is_dir():
            raise SourceMissing(f"the folder {self._folder} is not there")
        self._checkpoints.mkdir(parents=True, exist_ok=True)

    async def close(self) -> None:
        pass

    async def assignments(self) -> AsyncIterator[Assignment]:
        names = sorted(file.name for file in self._folder.glob("*.txt"))
        yield ShardsAssigned(tuple(AssignedShard(name, self._checkpoint(name)) for name in names))
        await asyncio.Event().wait()  # every shard stays ours until the mapping ends

    async def resolve(self, shard: str, start: Start) -> int:
        return -1 if start.position == "TRIM_HORIZON" else len(self._lines(shard)) - 1

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:
        async with asyncio.timeout(wait_ms / 1000) as patience:
            while True:
                found = [fetched for want in wants if (fetched := self._read(want)).records]
                if found or patience.when() < asyncio.get_running_loop().time() + LOOK_S:
                    return found
                await asyncio.sleep(LOOK_S)

    async def commit(self, shard: str, checkpoint: Checkpoint) -> None:
        file = self._checkpoints / shard
        draft = file.with_suffix(".new")
        with draft.open("w") as out:
            json.dump([checkpoint.position, checkpoint.note], out)
            out.flush()
            os.fsync(out.fileno())
        draft.rename(file)

    async def release(self, shards: Sequence[str]) -> None:
        pass

    async def backlog(self, shard: str, after: int) -> Backlog:
        return Backlog(count=len(self._lines(shard)) - 1 - after)

    def _read(self, want: Want) -> Fetched:
        first = want.after + 1
        lines = self._lines(want.shard)
        records, bytes_count = [], 0
        for position, line in enumerate(lines[first : first + want.records_max], start=first):
            if records and bytes_count + len(line) > want.bytes_max:
                break
            records.append(Record(position, line, None, int(time.time() * 1000)))
            bytes_count += len(line)
        reached = want.after + len(records)
        return Fetched(want.shard, records, reached, bytes_count, lag=len(lines) - 1 - reached)

    def _lines(self, shard: str) -> list[bytes]:
        return (self._folder / shard).read_bytes().splitlines()

    def _checkpoint(self, shard: str) -> Checkpoint | None:
        try:
            return Checkpoint(*json.loads((self._checkpoints / shard).read_text()))
        except FileNotFoundError:
            return None


@hookimpl
def register_sources(register):
    register(
        SourceType(
            name="tape",
            kind="stream",
            doc="text files as shards, lines as records",
            capabilities=StreamCapabilities(),
            settings=(Setting("Folder", "path", required=True, doc="where the .txt files are"),),
            event_formats=("kinesis",),
            open_stream=TapeSource,
        )
    )
