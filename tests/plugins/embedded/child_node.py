"""A node in a process of its own: holds shards, says what is its own, and commits what it is told to on its stdin.

Arguments: the data directory, the node's name, the mapping's uuid. One word and its values per line, both ways. It
watches which shards it surely holds, and tells each change: `holds SHARD…`.
"""

import asyncio
import sys
from pathlib import Path

from penstock.api import (
    Checkpoint,
    CommitRefused,
    MappingContext,
    ShardsAssigned,
    ShardsLost,
    ShardsRevoked,
    SourceContext,
)
from penstock.embedded.plugin import STREAM
from penstock.embedded.positions import shard_name

SHARDS = tuple(shard_name(number) for number in range(4))


def say(*words):
    print(*words, flush=True)  # noqa: T201 - how it speaks to the test


async def follow(source):
    async for assignment in source.assignments():
        match assignment:
            case ShardsAssigned(shards):
                say("assigned", *(assigned.shard for assigned in shards))
            case ShardsLost(shards):
                say("lost", *shards)
            case ShardsRevoked(shards, _):
                say("revoked", *shards)
                await source.release(shards)


async def watch(source):
    said = None
    while True:
        holds = [shard for shard in SHARDS if source.holds(shard)]
        if holds != said:
            say("holds", *holds)
            said = holds
        await asyncio.sleep(0.01)


async def obey(source):
    lines = asyncio.StreamReader()
    loop = asyncio.get_running_loop()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(lines), sys.stdin)
    while line := await lines.readline():
        shard, position = line.decode().split()
        try:
            await source.commit(shard, Checkpoint(int(position), "child"))
            say("committed", shard)
        except CommitRefused:
            say("refused", shard)


async def main(data_dir, node, mapping_uuid):
    context = SourceContext(project="tests", name="orders", settings={"LeaseSeconds": 1}, data_dir=Path(data_dir))
    mapping = MappingContext(mapping="f.e", uuid=mapping_uuid, node=node, settings={}, buffer_bytes_max=1 << 20)
    source = STREAM.open_stream(context, mapping)
    await source.open()
    working = [asyncio.create_task(follow(source)), asyncio.create_task(watch(source))]
    await obey(source)
    for task in working:
        task.cancel()
    await asyncio.gather(*working, return_exceptions=True)
    await source.close()


asyncio.run(main(*sys.argv[1:]))
