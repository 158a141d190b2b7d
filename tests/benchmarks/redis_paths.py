"""A Redis queue's three paths begin here: a filled stream, the raw client loop, and messages for the bare pipeline.

What is read is deleted, so each loop has a stream of its own, copied on the server from one that is written once. All
loops settle in one round trip for each batch: `XACK` and `XDEL`.
"""

import time
from collections import deque
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

from records import value_of
from redis import Redis

from penstock.api import Message
from penstock.core.events import Origin, queue_layout

GROUP = "bench"
WRITE_COUNT = 5_000
RAW_COUNT = 1_000
"""What the raw loop reads at a time."""

Entry = tuple[bytes, dict[bytes, bytes]]


class RedisBench:
    """A stream that is written once and copied for every loop; all are deleted at the end."""

    event_format = "sqs"

    def __init__(self, url: str, *, records: int) -> None:
        self.records = records
        self._url = url
        self._name = f"penstock-bench-{uuid4().hex[:8]}"
        self._written = f"{self._name}-written"
        self._key = ""
        self._numbers = iter(range(1_000_000))
        # The client and the parser of the plugin's, called the simplest way.
        self._client = Redis.from_url(url)
        self._unsettled: deque[list[bytes]] = deque()

    def fill(self) -> None:
        """Write every message: one field, a JSON value of 100 bytes."""
        for begin in range(0, self.records, WRITE_COUNT):
            pipe = self._client.pipeline(transaction=False)
            for number in range(begin, min(begin + WRITE_COUNT, self.records)):
                pipe.xadd(self._written, {b"body": value_of(number)})
            pipe.execute()

    def close(self) -> None:
        for key in self._client.scan_iter(f"*{self._name}*"):
            self._client.unlink(key)
        self._client.close()

    def source(self) -> dict[str, Any]:
        """Make a full stream; the `Sources` entry that a node reads it with."""
        self._renew()
        return {"Type": "redis-queue", "Url": self._url, "Key": self._key}

    def read_raw(self) -> float:
        """Run the raw loop over every message, touching body and id; returns the seconds from the first list on."""
        self._renew_with_group()
        left = self.records
        entries = self._read(RAW_COUNT)
        begin_s = time.perf_counter()
        while left:
            for id_, fields in entries:
                id_, fields[b"body"]
            left -= len(entries)
            self._settle([id_ for id_, _ in entries])
            entries = self._read(RAW_COUNT) if left else []
        return time.perf_counter() - begin_s

    def events(self, batch_size: int) -> Iterator[bytes]:
        """Build events of so many messages; the oldest that was not settled is settled by `settle`."""
        self._renew_with_group()
        layout = queue_layout("sqs", Origin(source_arn="arn:aws:sqs:us-east-1:000000000000:bench", region="us-east-1"))
        left = self.records
        while left:
            entries = self._read(min(batch_size, left))
            now_ms = time.time_ns() // 1_000_000
            left -= len(entries)
            self._unsettled.append([id_ for id_, _ in entries])
            yield layout.encode([message_of(entry, number, now_ms) for number, entry in enumerate(entries)])

    def settle(self) -> None:
        self._settle(self._unsettled.popleft())

    def _renew(self) -> None:
        if self._key:
            self._client.unlink(self._key)
        self._key = f"{self._name}-{next(self._numbers)}"
        self._client.copy(self._written, self._key)

    def _renew_with_group(self) -> None:
        self._renew()
        self._client.xgroup_create(self._key, GROUP, "0")

    def _read(self, count: int) -> list[Entry]:
        found: Any = self._client.xreadgroup(GROUP, "bench", {self._key: ">"}, count=count)
        if not found:
            raise SystemExit(f"{self._key} has fewer messages than were written")
        [(_, entries)] = found
        return list(entries)

    def _settle(self, ids: list[bytes]) -> None:
        pipe = self._client.pipeline(transaction=False)
        pipe.xack(self._key, GROUP, *ids)
        pipe.xdel(self._key, *ids)
        pipe.execute()


def message_of(entry: Entry, number: int, now_ms: int) -> Message:
    id_ = entry[0].decode()
    return Message(
        message_id=id_,
        receipt=f"{id_}@0123456789ab.{number}",
        body=entry[1][b"body"],
        receive_count=1,
        sent_ms=int(id_.partition("-")[0]),
        first_received_ms=now_ms,
    )
