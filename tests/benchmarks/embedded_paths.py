"""The embedded stream's three paths begin here: a filled file, the raw loop in SQL, and records for the bare pipeline.

The raw loop reads the plugin's own rows, many records each, straight from SQLite on the plugin's kind of connection.
"""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline import events_of_stream
from records import KEYS, value_of

from penstock.api import Outgoing, Record, SourceContext
from penstock.core.events import Origin
from penstock.embedded.database import open_reader
from penstock.embedded.file import SourceFile
from penstock.embedded.plugin import STREAM
from penstock.embedded.positions import position_of, segment_range, shard_name
from penstock.embedded.segments import SELECT, Segment, records_of
from penstock.embedded.streams import find_stream

STREAM_NAME = "bench"
SEND_RECORDS = 10_000


class EmbeddedBench:
    """A file with one stream that is filled once and read by every round."""

    event_format = "kinesis"

    def __init__(self, path: Path, *, records: int, shards: int) -> None:
        self.records = records
        self._path = path
        self._shards = shards

    def fill(self) -> None:
        """Create the stream and write every record: a key, a JSON value of 100 bytes, no headers."""
        asyncio.run(self._fill())

    def close(self) -> None:
        """Leave the file to the folder that it is in."""

    def source(self) -> dict[str, Any]:
        """The `Sources` entry that a node reads the same file with."""
        return {"Type": STREAM.name, "Path": str(self._path), "Stream": STREAM_NAME, "Shards": self._shards}

    def origin(self, shard: int) -> Origin:
        return Origin(
            source_arn="arn:aws:kinesis:us-east-1:000000000000:stream/bench",
            region="us-east-1",
            role_arn="arn:aws:iam::000000000000:role/bench",
            shard=shard_name(shard),
        )

    def events(self, batch_size: int) -> Iterator[bytes]:
        return events_of_stream(self, batch_size)

    def settle(self) -> None:
        """Do nothing: a position is not committed."""

    def read_raw(self) -> float:
        """Run the raw loop over every record, touching all its parts; returns the seconds from the first list on."""
        lists = self.shards()
        first_list = next(lists)
        begin_s = time.perf_counter()
        records = first_list[1]
        while records:
            for record in records:
                record.key, record.value, record.position, record.timestamp_ms, record.headers  # noqa: B018 - touched
            _, records = next(lists, (0, []))
        return time.perf_counter() - begin_s

    def shards(self) -> Iterator[tuple[int, list[Record]]]:
        """Read every record: (shard, records) row by row."""
        connection = open_reader(self._path)
        try:
            stream = find_stream(connection, STREAM_NAME)
            assert stream is not None
            for number in range(self._shards):
                rows = connection.execute(
                    f"{SELECT} WHERE id BETWEEN ? AND ? ORDER BY id", segment_range(stream.shard_id_first + number)
                )
                for row in rows:
                    segment = Segment(*row)
                    yield number, records_of(segment, position_of(segment.row))
        finally:
            connection.close()

    async def _fill(self) -> None:
        settings = {key: value for key, value in self.source().items() if key != "Type"}
        context = SourceContext(project="bench", name="bench", settings=settings, data_dir=self._path.parent)
        file = await SourceFile.acquire(self._path, create=True)
        try:
            assert STREAM.operate is not None
            assert STREAM.open_destination is not None
            operations = STREAM.operate(context)
            await operations.create()
            await operations.close()
            destination = STREAM.open_destination(context)
            await destination.open()
            for begin in range(0, self.records, SEND_RECORDS):
                numbers = range(begin, min(begin + SEND_RECORDS, self.records))
                await destination.send(
                    [Outgoing(value_of(number), f"key-{number % KEYS}".encode()) for number in numbers]
                )
            await destination.close()
        finally:
            await file.release()
