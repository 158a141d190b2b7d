"""Writes for ever, and says of each record that it was acknowledged. Arguments: the data directory, stream or queue."""

import asyncio
import sys
from pathlib import Path

from penstock.api import Outgoing, SourceContext
from penstock.embedded.plugin import QUEUE, STREAM


async def main(data_dir, kind):
    if kind == "stream":
        context = SourceContext(project="tests", name="orders", settings={}, data_dir=Path(data_dir))
        destination = STREAM.open_destination(context)
    else:
        context = SourceContext(project="tests", name="jobs", settings={}, data_dir=Path(data_dir))
        destination = QUEUE.open_destination(context)
    await destination.open()
    number = 0
    while True:
        count = 1 + number % 3
        await destination.send([Outgoing(value=str(number + index).encode()) for index in range(count)])
        number += count
        print(number, flush=True)  # noqa: T201 - how it speaks to the test


asyncio.run(main(*sys.argv[1:]))
