"""A node that receives from a queue until it is killed: what tests kill and stop is a process.

Prints a line of JSON for each message received, then acks it when told to by a line on its standard input.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from pathlib import Path

from redis_queues import of_kind, on_server

from penstock.api import ReceiptExpired


def _say(what):
    sys.stdout.write(json.dumps(what) + "\n")
    sys.stdout.flush()


async def _main(kind: str, url: str, settings: str, node: str, lease_ms: str) -> None:
    subject = of_kind(kind, on_server(url, Path(tempfile.gettempdir()), **json.loads(settings)))
    async with subject.receiver(node, int(lease_ms)) as receiver:
        _say("ready")
        while True:
            for message in await receiver.receive(messages_max=10, wait_ms=20_000):
                _say([message.body.decode(), message.receive_count])
                extending = asyncio.create_task(_extend(receiver, message.receipt, int(lease_ms)))
                await asyncio.to_thread(sys.stdin.readline)
                extending.cancel()
                try:
                    await receiver.ack([message.receipt])
                    _say("acked")
                except ReceiptExpired:
                    _say("expired")


async def _extend(receiver, receipt, lease_ms):
    while True:
        await asyncio.sleep(lease_ms / 3000)
        try:
            await receiver.extend([receipt], lease_ms=lease_ms)
        except ReceiptExpired:
            return


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
