"""Saves states for ever and says what is durable, as shards of a node would. Arguments: the store, how many shards."""

import asyncio
import itertools
import sys
from pathlib import Path

from penstock.shell.window_states import WindowStates


async def shard(states, name):
    before = None
    for number in itertools.count():
        version = f"{name}-{number}"
        store = await states.save("m", name, version, f"{version} ".encode() * 200)
        # From here on a checkpoint may name it; the one before is forgotten once that is said.
        print(store, name, version, flush=True)  # noqa: T201 - how it speaks to the test
        if before is not None:
            states.forget(before)
        before = version


async def main(path, shards_count):
    states = WindowStates(Path(path))
    async with asyncio.TaskGroup() as group:
        for number in range(int(shards_count)):
            group.create_task(shard(states, f"s-{number}"))


asyncio.run(main(*sys.argv[1:]))
