"""A mapping's reader in a process of its own, for tests that kill, stop and wake it.

    python node.py ADDRESS TOPIC GROUP NODE SETTINGS

It reads, commits whenever it has read more (or always, where `restless` is set), and writes what happens as JSON lines;
so it does with which shards it surely holds, at each change (`holds`) and whenever it has stood still (`woke`).
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from small_engine import Kafka, Reading

from penstock.api import Checkpoint, SourceError

STOOD_STILL_S = 2


def say(**facts: Any) -> None:
    sys.stdout.write(json.dumps(facts) + "\n")
    sys.stdout.flush()


async def watch(reading: Reading) -> None:
    said: list[str] = []
    while True:
        holds = [shard for shard in sorted(reading.assigned) if reading.reader.holds(shard)]
        if holds != said:
            say(holds=holds)
            said = holds
        before_s = time.monotonic()
        await asyncio.sleep(0.01)
        if time.monotonic() - before_s > STOOD_STILL_S:
            say(woke=[shard for shard in sorted(reading.assigned) if reading.reader.holds(shard)])


async def run(address: str, topic: str, group: str, node: str, settings: dict[str, Any]) -> None:
    restless = settings.pop("restless", False)
    with tempfile.TemporaryDirectory() as folder:
        on_kafka = Kafka(address, Path(folder))
        on_kafka.group = group
        async with on_kafka.reading(topic, node=node, mapping=settings) as reading:
            watching = asyncio.create_task(watch(reading))
            told: set[str] = set()
            while reading.failure is None:
                found = await reading.fetch(wait_ms=20)
                for shard in set(reading.positions) - told:
                    say(assigned=shard, after=reading.assigned[shard].checkpoint and reading.positions[shard])
                told = set(reading.positions)
                for shard in reading.lost:
                    say(lost=shard)
                reading.lost.clear()
                for shard, position in list(reading.positions.items()):
                    if restless or any(one.shard == shard and one.records for one in found):
                        try:
                            await reading.reader.commit(shard, Checkpoint(position, node))
                        except SourceError as error:
                            say(refused=shard, why=type(error).__name__)
                        else:
                            say(committed=shard, position=position)
            watching.cancel()
            say(failed=type(reading.failure).__name__, why=str(reading.failure))


if __name__ == "__main__":
    asyncio.run(run(*sys.argv[1:5], json.loads(sys.argv[5])))
