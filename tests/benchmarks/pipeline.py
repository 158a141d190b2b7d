"""The bare pipeline: the same client, the same event bytes, the same function process, and no engine.

It is the limit that the engine is held to. It retries nothing, checks no size and commits no position; messages of a
queue are settled as soon as the function is through with them. It has two forms: one thing after another, and reading
ahead: while the function works on an event, the next one is read and built.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from function_process import FunctionProcess
from ledger import Ledger
from variant import Variant

from penstock.api import Record
from penstock.core.events import Origin, stream_layout


class Source(Protocol):
    def events(self, batch_size: int) -> Iterator[bytes]:
        """Build events of so many records, all there are."""

    def settle(self) -> None:
        """Settle the records of the oldest event that is not settled."""


class Stream(Protocol):
    event_format: str

    def shards(self) -> Iterator[tuple[int, list[Record]]]: ...

    def origin(self, shard: int) -> Origin: ...


@dataclass(frozen=True, slots=True)
class PipelineRun:
    records_per_s: float
    cpu_us_per_record: float


def run_pipeline(source: Source, variant: Variant, *, batch_size: int, folder: Path, ahead: bool) -> PipelineRun:
    """Run every record of a source through one function process; the rate is that of the function's ledger."""
    ledger = Ledger(folder / "ledger")
    with FunctionProcess(variant, environment={"LEDGER": str(ledger.path)}) as function:
        cpu_begin_s = time.process_time()
        in_flight = False
        for event in source.events(batch_size):
            if in_flight:
                function.receive()
            function.send(event)
            if in_flight:
                source.settle()
            in_flight = ahead
            if not ahead:
                function.receive()
                source.settle()
        if in_flight:
            function.receive()
            source.settle()
        cpu_s = time.process_time() - cpu_begin_s
    return PipelineRun(ledger.records_per_s(), cpu_s / ledger.records() * 1e6)


def events_of_stream(source: Stream, batch_size: int) -> Iterator[bytes]:
    """Build events of so many records of one shard each."""
    waiting: dict[int, list[Record]] = {}
    layouts = {}
    for shard, records in source.shards():
        if shard not in layouts:
            layouts[shard] = stream_layout(source.event_format, source.origin(shard))
            waiting[shard] = []
        buffer = waiting[shard]
        buffer += records
        while len(buffer) >= batch_size:
            yield layouts[shard].encode(buffer[:batch_size])
            del buffer[:batch_size]
    for shard, buffer in waiting.items():
        if buffer:
            yield layouts[shard].encode(buffer)
