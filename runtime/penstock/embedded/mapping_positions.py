"""The checkpoints of one mapping in an embedded file, looked at and moved while no node reads for it."""

import sqlite3
from collections.abc import Mapping
from functools import partial

from penstock.api import Checkpoint, MappingContext, SourceContext, SourceMissing, Start, StillRead
from penstock.embedded.commits import Transaction
from penstock.embedded.file import SourceFile
from penstock.embedded.membership import is_alive
from penstock.embedded.positions import shard_name, shard_number
from penstock.embedded.settings import StreamSettings
from penstock.embedded.stream import open_stream
from penstock.embedded.streams import Stream, resolve


class EmbeddedPositions:
    """See `penstock.api.Positions`. Who reads is looked at in the transaction that moves the position."""

    def __init__(self, source: SourceContext, mapping: MappingContext) -> None:
        self._settings = StreamSettings.of(source)
        self._mapping = mapping
        self._file: SourceFile | None = None
        self._stream: Stream | None = None

    async def committed(self) -> Mapping[str, Checkpoint | None]:
        file, stream = await self._opened()
        return await file.read(partial(_committed, mapping=self._mapping.uuid, stream=stream))

    async def resolve(self, shard: str, start: Start) -> int:
        file, stream = await self._opened()
        return await file.read(partial(resolve, stream=stream, number=_number(shard, stream), start=start))

    async def write(self, checkpoints: Mapping[str, Checkpoint]) -> None:
        file, stream = await self._opened()
        by_number = {_number(shard, stream): checkpoint for shard, checkpoint in checkpoints.items()}
        await file.write(partial(_write, mapping=self._mapping, stream=stream, checkpoints=by_number))

    async def close(self) -> None:
        file, self._file = self._file, None
        if file is not None:
            await file.release()

    async def _opened(self) -> tuple[SourceFile, Stream]:
        if self._file is None:
            self._file = await SourceFile.acquire(self._settings.path)
        if self._stream is None:
            self._stream = await open_stream(self._file, self._settings)
        return self._file, self._stream


def _number(shard: str, stream: Stream) -> int:
    try:
        number = shard_number(shard)
    except ValueError:
        number = -1
    if not 0 <= number < stream.shards_count:
        known = f"{shard_name(0)} to {shard_name(stream.shards_count - 1)}"
        raise SourceMissing(f"stream {stream.name!r} has no shard {shard!r}; it has {known}")
    return number


def _committed(connection: sqlite3.Connection, mapping: str, stream: Stream) -> dict[str, Checkpoint | None]:
    rows = connection.execute(
        "SELECT shard_id, position, note FROM checkpoint WHERE mapping = ? AND shard_id BETWEEN ? AND ?",
        (mapping, stream.shard_id_first, stream.shard_id_first + stream.shards_count - 1),
    )
    found = {shard_id - stream.shard_id_first: Checkpoint(position, note) for shard_id, position, note in rows}
    return {shard_name(number): found.get(number) for number in range(stream.shards_count)}


def _write(
    transaction: Transaction, mapping: MappingContext, stream: Stream, checkpoints: Mapping[int, Checkpoint]
) -> None:
    # A member of this node's own is what a killed run has left.
    others = transaction.connection.execute(
        "SELECT node, lease_ms, expires_ms FROM member WHERE mapping = ? AND stream_id = ? AND node <> ?",
        (mapping.uuid, stream.id, mapping.node),
    ).fetchall()
    alive = [node for node, lease_ms, expires_ms in others if is_alive(expires_ms, lease_ms, transaction.now_ms)]
    if alive:
        who = " and ".join(f"the node {node}" for node in sorted(alive))
        raise StillRead(
            f"stream {stream.name!r} is still read for this mapping by {who}; "
            "disable the mapping there too, or wait for the lease of one that was killed to end"
        )
    transaction.connection.executemany(
        "INSERT INTO checkpoint (mapping, shard_id, position, note, committed_ms) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT (mapping, shard_id) DO UPDATE SET"
        " position = excluded.position, note = excluded.note, committed_ms = excluded.committed_ms",
        [
            (mapping.uuid, stream.shard_id_first + number, each.position, each.note, transaction.now_ms)
            for number, each in checkpoints.items()
        ],
    )
