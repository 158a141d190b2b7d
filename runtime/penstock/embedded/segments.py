"""Records in the file: rows of many records each, column by column.

One row per record would be read one step at a time, and each step lets other threads in: beside a busy event loop a
thousand rows took 0.8 s, where two segments take 1 ms. Columns decode into records without a loop of our own.
A segment's row number is made of its shard and its *last* position, so that the first row beyond a position is the one
that holds the next record.
"""

import sqlite3
from collections.abc import Sequence
from itertools import repeat
from typing import NamedTuple

import msgspec

from penstock.api import Outgoing, Record

SEGMENT_RECORDS_MAX = 500
SEGMENT_BYTES_MAX = 128 * 1024
_MERGED_BYTES_MAX = 4096
"""A segment this small is written again with what follows it: the page has to be written anyway."""
_MERGED_SPAN_MS = 10_000

Headers = tuple[tuple[str, bytes | None], ...]


class Columns(msgspec.Struct, array_like=True, gc=False):
    """The records of a segment. A column that says nothing (no keys, no headers, one time) is None."""

    values: list[bytes | None]
    keys: list[bytes | None] | None = None
    headers: list[Headers] | None = None
    delays_ms: list[int] | None = None
    """Milliseconds after the segment's first record."""


class Segment(NamedTuple):
    """A row of the table, as it is read."""

    row: int
    records_count: int
    bytes_count: int
    first_ms: int
    columns: bytes


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Columns).decode

SELECT = "SELECT id, records_count, bytes_count, first_ms, columns FROM segment"


def records_of(segment: Segment, position_last: int) -> list[Record]:
    """Make the records of a segment whose last one has this position."""
    columns = _decode(segment.columns)
    first_ms = segment.first_ms
    times = repeat(first_ms) if columns.delays_ms is None else (first_ms + delay for delay in columns.delays_ms)
    return list(
        map(
            Record,
            range(position_last - segment.records_count + 1, position_last + 1),
            columns.values,
            columns.keys or repeat(None),
            times,
            columns.headers or repeat(()),
            repeat("LOG_APPEND_TIME"),
        )
    )


def record_bytes(record: Record | Outgoing) -> int:
    """Tell the size of a record's key, value and headers."""
    size = len(record.value or b"") + len(record.key or b"")
    for name, value in record.headers:
        size += len(name) + len(value or b"")
    return size


def append(connection: sqlite3.Connection, row_next: int, records: Sequence[Outgoing], now_ms: int) -> None:
    """Store records of one shard, the first of them at this row; small ones join the segment before them."""
    before = connection.execute(
        f"{SELECT} WHERE id = ? AND bytes_count < ? AND records_count < ? AND first_ms >= ?",
        (row_next - 1, _MERGED_BYTES_MAX, SEGMENT_RECORDS_MAX, now_ms - _MERGED_SPAN_MS),
    ).fetchone()
    begin = 0
    while begin < len(records):
        segment = Segment(*before) if before else None
        end, bytes_count = _fill(records, begin, segment)
        _store(
            connection, row_next + end - 1, records[begin:end], bytes_count=bytes_count, now_ms=now_ms, before=segment
        )
        before, begin = None, end


def _fill(records: Sequence[Outgoing], begin: int, before: Segment | None) -> tuple[int, int]:
    """Tell how far the next segment reaches, and the size of what it gets."""
    room = SEGMENT_RECORDS_MAX - (before.records_count if before else 0)
    size = before.bytes_count if before else 0
    added = 0
    end = begin
    while end < len(records) and end - begin < room:
        record_size = record_bytes(records[end])
        if end > begin and size + added + record_size > SEGMENT_BYTES_MAX:
            break
        added += record_size
        end += 1
    return end, added


def _store(
    connection: sqlite3.Connection,
    row: int,
    records: Sequence[Outgoing],
    *,
    bytes_count: int,
    now_ms: int,
    before: Segment | None,
) -> None:
    columns = Columns([record.value for record in records])
    if any(record.key is not None for record in records):
        columns.keys = [record.key for record in records]
    if any(record.headers for record in records):
        columns.headers = [record.headers for record in records]
    if before is None:
        connection.execute(
            "INSERT INTO segment (id, records_count, bytes_count, first_ms, last_ms, columns)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (row, len(records), bytes_count, now_ms, now_ms, _encode(columns)),
        )
        return
    merged = _joined(_decode(before.columns), columns, delay_ms=now_ms - before.first_ms)
    connection.execute(
        "UPDATE segment SET id = ?, records_count = ?, bytes_count = ?, last_ms = ?, columns = ? WHERE id = ?",
        (row, len(merged.values), before.bytes_count + bytes_count, now_ms, _encode(merged), before.row),
    )


def _joined(left: Columns, right: Columns, *, delay_ms: int) -> Columns:
    columns = Columns([*left.values, *right.values])
    left_count, right_count = len(left.values), len(right.values)
    if left.keys or right.keys:
        columns.keys = [*(left.keys or [None] * left_count), *(right.keys or [None] * right_count)]
    if left.headers or right.headers:
        columns.headers = [*(left.headers or [()] * left_count), *(right.headers or [()] * right_count)]
    if left.delays_ms or delay_ms:
        columns.delays_ms = [*(left.delays_ms or [0] * left_count), *([delay_ms] * right_count)]
    return columns
