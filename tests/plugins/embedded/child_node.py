"""A node in a process of its own: holds shards, says what is its own, and commits what it is told to on its stdin.

Arguments: the data directory, the node's name, the mapping's uuid. One word and its values per line, both ways.
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
    following = asyncio.create_task(follow(source))
    await obey(source)
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    await source.close()


asyncio.run(main(*sys.argv[1:]))
