"""How long one message takes on an idle system: from the publish call to the first line of the function's handler.

Messages are sent one at a time, the next one when the function is through and everything has come to rest. A node of
its own works on the queue, with a function that is loaded; both clocks are the machine's monotonic one.
"""

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import quantiles
from typing import Any
from uuid import uuid4

import click
from ledger import Ledger
from node import node_command, write_configuration
from records import value_of
from redis.asyncio import Redis
from variant import Variant

from penstock.api import Outgoing, SourceContext
from penstock.embedded.plugin import QUEUE

REST_S = 0.1
"""Between a message's end and the next one, so that what settling it leaves to be done is over."""
POLL_S = 0.02
PATIENCE_S = 30.0
UNCOUNTED = 20
"""The first ones meet a node that is still warming up."""
WANTED_MS, AIM_MS = 5.0, 2.0

Publish = Callable[[bytes], Awaitable[object]]


@dataclass(frozen=True, slots=True)
class Latency:
    """All messages of one queue, in milliseconds."""

    name: str
    times_ms: tuple[float, ...]

    def percentile(self, percent: int) -> float:
        return quantiles(self.times_ms, n=100, method="inclusive")[percent - 1]

    def line(self) -> str:
        p50, p90, p99 = (self.percentile(percent) for percent in (50, 90, 99))
        return f"{self.name}: p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms, of {len(self.times_ms)} messages"

    def entry(self) -> dict[str, object]:
        """The entry of `bench.json`."""
        return {
            "name": f"{self.name}, publish call to handler, p50 of one message at a time",
            "unit": "ms",
            "value": round(self.percentile(50), 3),
            "raw": None,
            "pipeline": None,
            "ratio_raw": None,
            "ratio_pipeline": None,
            "cpu_us_per_record": None,
        }


def run(url: str, variant: Variant, path: Path, *, messages: int, say: Callable[[str], None]) -> None:
    """Measure Redis and the embedded queue, print both, and add them to a `bench.json`."""
    found = []
    with tempfile.TemporaryDirectory(prefix="penstock-latency-") as folder:
        for name, queue in (("redis", _redis_queue(url)), ("embedded", _embedded_queue(Path(folder)))):
            say(f"{name}: {messages} messages, one at a time")
            with tempfile.TemporaryDirectory(dir=folder) as own:
                found.append(Latency(name, asyncio.run(_measure(queue, variant, Path(own), messages=messages))))
    click.echo(f"one message at a time on an idle system (wanted: p50 below {WANTED_MS:g} ms; aim: {AIM_MS:g} ms)")
    for each in found:
        click.echo(f"  {each.line()}")
    entries = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*entries, *(each.entry() for each in found)], indent=2) + "\n")


async def _measure(
    queue: AbstractAsyncContextManager[tuple[dict[str, Any], Publish]],
    variant: Variant,
    folder: Path,
    *,
    messages: int,
) -> tuple[float, ...]:
    ledger = Ledger(folder / "ledger")
    async with queue as (source, publish):
        configuration = write_configuration(source, variant, ledger, {"BatchSize": 1})
        node = _start(node_command(configuration, folder), folder / "node.log")
        try:
            times_ms = []
            for number in range(UNCOUNTED + messages):
                await asyncio.sleep(REST_S)
                sent_ns = time.monotonic_ns()
                await publish(value_of(number))
                begin_ns = await _begin_of(number, ledger, node)
                times_ms.append((begin_ns - sent_ns) / 1e6)
        except SystemExit:
            click.echo((folder / "node.log").read_text(errors="replace")[-4000:], err=True)
            raise
        finally:
            node.terminate()
            node.wait()
    return tuple(times_ms[UNCOUNTED:])


def _start(command: list[str], log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output)


async def _begin_of(number: int, ledger: Ledger, node: subprocess.Popen[bytes]) -> int:
    """Wait until a message was handled; tell when its handler began."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        # Mostly when it is over, so that looking takes nothing from the node.
        await asyncio.sleep(POLL_S)
        begins_ns = ledger.begins_ns()
        if len(begins_ns) > number:
            return begins_ns[number]
        if node.poll() is not None or time.monotonic() > until_s:
            raise SystemExit(f"message {number} did not come; the node ended with {node.poll()}")


@asynccontextmanager
async def _redis_queue(url: str) -> Any:
    key = f"penstock-latency-{uuid4().hex[:8]}"
    client = Redis.from_url(url)

    async def publish(body: bytes) -> object:
        return await client.xadd(key, {b"body": body})

    try:
        yield {"Type": "redis-queue", "Url": url, "Key": key}, publish
    finally:
        async for each in client.scan_iter(f"*{key}*"):
            await client.unlink(each)
        await client.aclose()


@asynccontextmanager
async def _embedded_queue(folder: Path) -> Any:
    settings = {"Path": str(folder / "sources.db"), "Queue": "latency"}
    context = SourceContext(project="bench", name="bench", settings=settings, data_dir=folder)
    assert QUEUE.operate is not None
    assert QUEUE.open_destination is not None
    operations = QUEUE.operate(context)
    await operations.create()
    await operations.close()
    destination = QUEUE.open_destination(context)
    await destination.open()

    async def publish(body: bytes) -> object:
        return await destination.send([Outgoing(body)])

    try:
        yield {"Type": QUEUE.name, **settings}, publish
    finally:
        await destination.close()
