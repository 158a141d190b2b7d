"""What the file knows of streams: making one, finding one, writing to it and reading from it."""

import sqlite3
from collections.abc import Sequence
from typing import NamedTuple
from zlib import crc32

from penstock.api import Backlog, Fetched, Gap, Outgoing, Record, Start, Want
from penstock.embedded.commits import Transaction
from penstock.embedded.positions import position_of, row_of, segment_range, shard_name
from penstock.embedded.segments import SELECT, Segment, append, record_bytes, records_of


class Stream(NamedTuple):
    """A stream of a file. Its shards' ids follow one another, since all are made at once and never change."""

    id: int
    name: str
    shards_count: int
    shard_id_first: int

    @property
    def signal(self) -> str:
        """The key that is touched when records come."""
        return f"stream:{self.id}"


def find_stream(connection: sqlite3.Connection, name: str) -> Stream | None:
    """Look a stream up by its name."""
    row = connection.execute(
        "SELECT stream.id, stream.name, shards_count, min(shard.id) FROM stream JOIN shard ON stream_id = stream.id"
        " WHERE stream.name = ? GROUP BY stream.id",
        (name,),
    ).fetchone()
    return row and Stream(*row)


def create_stream(transaction: Transaction, name: str, shards_count: int) -> bool:
    """Make a stream unless it is there; tell whether one was made."""
    connection = transaction.connection
    if find_stream(connection, name) is not None:
        return False
    stream_id = connection.execute(
        "INSERT INTO stream (name, shards_count, created_ms) VALUES (?, ?, ?)", (name, shards_count, transaction.now_ms)
    ).lastrowid
    connection.executemany(
        "INSERT INTO shard (stream_id, number) VALUES (?, ?)", [(stream_id, number) for number in range(shards_count)]
    )
    return True


def append_records(transaction: Transaction, stream: Stream, records: Sequence[Outgoing]) -> None:
    """Write records in order. A key decides its record's shard (CRC-32); those without one go round (`D6`)."""
    connection = transaction.connection
    ((keyless,),) = connection.execute(
        "UPDATE stream SET records_count = records_count + ? WHERE id = ? RETURNING records_count - ?",
        (len(records), stream.id, len(records)),
    ).fetchall()
    by_number: dict[int, list[Outgoing]] = {}
    for index, record in enumerate(records, keyless):
        number = (index if record.key is None else crc32(record.key)) % stream.shards_count
        by_number.setdefault(number, []).append(record)
    for number, of_shard in by_number.items():
        shard_id = stream.shard_id_first + number
        # Times never go back along a shard, whatever the clock does, so that a time can be searched for.
        ((position_next, last_ms),) = connection.execute(
            "UPDATE shard SET position_next = position_next + ?, last_ms = max(last_ms, ?) WHERE id = ?"
            " RETURNING position_next - ?, last_ms",
            (len(of_shard), transaction.now_ms, shard_id, len(of_shard)),
        ).fetchall()
        append(connection, row_of(shard_id, position_next), of_shard, last_ms)
    transaction.touch(stream.signal)


def fetch_wanted(connection: sqlite3.Connection, stream: Stream, wants: Sequence[tuple[int, Want]]) -> list[Fetched]:
    """Read what is there of wanted shards (by number); shards with nothing new are left out."""
    positions_next = _positions_next(connection, stream)
    found = []
    for number, want in wants:
        if positions_next[number] - 1 > want.after:
            found.append(_fetch(connection, stream.shard_id_first + number, want, positions_next[number]))
    return found


def resolve(connection: sqlite3.Connection, stream: Stream, number: int, start: Start) -> int:
    """Tell the position to read after for a start."""
    position_next = _positions_next(connection, stream)[number]
    shard_id = stream.shard_id_first + number
    if start.position == "LATEST":
        return position_next - 1
    if start.position == "AT_TIMESTAMP":
        assert start.timestamp_ms is not None
        return _position_before(connection, shard_id, start.timestamp_ms, position_next)
    oldest = connection.execute(f"{SELECT} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1", segment_range(shard_id))
    row = oldest.fetchone()
    return position_next - 1 if row is None else position_of(row[0]) - row[1]


def backlog(connection: sqlite3.Connection, stream: Stream, number: int, after: int, now_ms: int) -> Backlog:
    """Tell how many records lie beyond a position, and how old the first of them is."""
    position_next = _positions_next(connection, stream)[number]
    shard_id = stream.shard_id_first + number
    row = connection.execute(
        f"{SELECT} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
        (row_of(shard_id, after + 1), segment_range(shard_id)[1]),
    ).fetchone()
    if row is None:
        return Backlog(0)
    segment = Segment(*row)
    last = position_of(segment.row)
    first = max(after + 1, last - segment.records_count + 1)
    record = next(record for record in records_of(segment, last) if record.position == first)
    return Backlog(position_next - first, max(0, now_ms - record.timestamp_ms))


def _positions_next(connection: sqlite3.Connection, stream: Stream) -> list[int]:
    # One step for all shards: each step of a statement lets other threads in.
    ((positions,),) = connection.execute(
        "SELECT group_concat(position_next) FROM (SELECT position_next FROM shard WHERE stream_id = ? ORDER BY number)",
        (stream.id,),
    ).fetchall()
    return [int(position) for position in positions.split(",")]


def _fetch(connection: sqlite3.Connection, shard_id: int, want: Want, position_next: int) -> Fetched:
    records: list[Record] = []
    bytes_count = 0
    rows = connection.execute(
        f"{SELECT} WHERE id BETWEEN ? AND ? ORDER BY id",
        (row_of(shard_id, want.after + 1), segment_range(shard_id)[1]),
    )
    for row in rows:
        segment = Segment(*row)
        last = position_of(segment.row)
        some = records_of(segment, last)
        is_whole = some[0].position > want.after
        if not is_whole:
            some = some[want.after + 1 - some[0].position :]
        if (
            is_whole
            and len(records) + len(some) <= want.records_max
            and bytes_count + segment.bytes_count <= want.bytes_max
        ):
            records += some
            bytes_count += segment.bytes_count
        else:
            bytes_count = _take(some, records, bytes_count, want)
            if records[-1].position < last:
                break
        if len(records) >= want.records_max:
            break
    rows.close()
    first = records[0].position if records else position_next
    return Fetched(
        shard=want.shard,
        records=records,
        position=records[-1].position if records else position_next - 1,
        bytes_count=bytes_count,
        lag=max(0, position_next - 1 - records[-1].position) if records else 0,
        gap=Gap(want.after + 1, first - 1) if first > want.after + 1 else None,
    )


def _take(some: list[Record], records: list[Record], bytes_count: int, want: Want) -> int:
    """Move records over until the want is filled; the very first one is taken whatever its size."""
    for record in some:
        size = record_bytes(record)
        if len(records) >= want.records_max or (records and bytes_count + size > want.bytes_max):
            break
        records.append(record)
        bytes_count += size
    return bytes_count


def shard_names(stream: Stream) -> list[str]:
    """Name all shards of a stream."""
    return [shard_name(number) for number in range(stream.shards_count)]


def _position_before(connection: sqlite3.Connection, shard_id: int, timestamp_ms: int, position_next: int) -> int:
    """Find the position before the first record at or after a time, by halving: times grow along a shard."""
    low, high = segment_range(shard_id)[0], row_of(shard_id, position_next)
    found: Segment | None = None
    while low < high:
        middle = (low + high) // 2
        row = connection.execute(
            "SELECT id, last_ms FROM segment WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
            (middle, row_of(shard_id, position_next)),
        ).fetchone()
        if row is None or row[1] >= timestamp_ms:
            high = middle
        else:
            low = row[0] + 1
    row = connection.execute(
        f"{SELECT} WHERE id BETWEEN ? AND ? ORDER BY id LIMIT 1",
        (low, segment_range(shard_id)[1]),
    ).fetchone()
    if row is None:
        return position_next - 1
    found = Segment(*row)
    for record in records_of(found, position_of(found.row)):
        if record.timestamp_ms >= timestamp_ms:
            return record.position - 1
    return position_next - 1
