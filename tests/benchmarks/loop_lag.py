"""How late a node's event loop is while a broker does not answer: a Redis that is stopped in its tracks for 5 s.

A whole node runs in this process: one mapping on that Redis, and one on an embedded queue that has work all the time.
A probe in the same loop asks to be woken every millisecond and notes how much too late it was. It does so for as long
before the Redis is stopped as while it is, since other processes on the machine make it late too.
"""

import asyncio
import io
import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import yaml

from penstock.api import Outgoing, SourceContext
from penstock.configuration import Project
from penstock.configuration.load import load
from penstock.embedded.plugin import QUEUE
from penstock.plugins import Registry, load_plugins
from penstock.shell.data_dir import DataDir
from penstock.shell.logs import make_log
from penstock.shell.node import Node

# A broker that a benchmark may stop is a test's.
_TESTS = Path(__file__).resolve().parent.parent
sys.path += [str(_TESTS), str(_TESTS.parent / "docker")]

from brokers.private_redis import PrivateRedis  # noqa: E402 - it is found only now

HELD_S = 5.0
EVERY_S = 0.001
WARM_S = 2.0
WANTED_MS = 50
KEPT_READY = 2_000
PATIENCE_S = 30.0
FUNCTION = "def handler(event, context):\n    return None\n"


@dataclass(frozen=True, slots=True)
class Lag:
    """How late the probe was, and what the other mapping did meanwhile."""

    name: str
    late_ms: tuple[float, ...]
    messages: int

    def quantile_ms(self, share: float) -> float:
        """Tell how late it was at the most in this share of all cases."""
        ordered = sorted(self.late_ms)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    def line(self) -> str:
        """Say it."""
        shares = ", ".join(f"p{100 * share:g} {self.quantile_ms(share):.1f} ms" for share in (0.5, 0.99, 0.999))
        return f"{self.name}: {shares}, at most {max(self.late_ms):.1f} ms; the other mapping did {self.messages:,}"


def run(folder: Path, path: Path, *, say: Callable[[str], None]) -> None:
    """Measure, print, and add to a `bench.json`."""
    with PrivateRedis(persistent=False) as redis:
        project, registry = _project(folder, redis.url)
        lags = asyncio.run(_measure(project, registry, redis, folder, say))
    click.echo(f"loop lag, a broker held for {HELD_S:g} s (wanted at p99.9: below {WANTED_MS} ms)")
    for lag in lags:
        click.echo(f"  {lag.line()}")
    entries = json.loads(path.read_text()) if path.exists() else []
    entries += [
        {
            "name": f"loop lag, {lag.name}",
            "unit": "ms at p99.9",
            "value": round(lag.quantile_ms(0.999), 2),
            "raw": None,
            "pipeline": None,
            "ratio_raw": None,
            "ratio_pipeline": None,
            "cpu_us_per_record": None,
        }
        for lag in lags
    ]
    path.write_text(json.dumps(entries, indent=2) + "\n")


def _project(folder: Path, url: str) -> tuple[Project, Registry]:
    (folder / "app.py").write_text(FUNCTION)
    events = {name: {"Source": name, "BatchSize": 10} for name in ("held", "busy")}
    configuration = {
        "Name": "lag",
        "Sources": {
            "held": {"Type": "redis-queue", "Url": url, "Key": "held"},
            "busy": {"Type": "sqlite-queue", "Path": str(folder / "busy.db")},
        },
        "Functions": {"work": {"CodeUri": ".", "Handler": "app.handler", "Events": events}},
    }
    file = folder / "penstock.yaml"
    file.write_text(yaml.safe_dump(configuration))
    registry = load_plugins()
    return load(file, registry, data_dir=folder / "data"), registry


async def _measure(
    project: Project, registry: Registry, redis: PrivateRedis, folder: Path, say: Callable[[str], None]
) -> list[Lag]:
    log = make_log(log_format="json", level="info", stream=io.StringIO())
    with DataDir(project.settings.data_dir) as data_dir:
        node = Node(project, registry, data_dir=data_dir, log=log, log_level="info")
        running = asyncio.create_task(node.run(None))
        filling = asyncio.create_task(_keep_filled(folder))
        try:
            async with asyncio.timeout(PATIENCE_S):
                while not _processed(node) and not running.done():  # noqa: ASYNC110 - a counter has no event
                    await asyncio.sleep(0.05)
            await asyncio.sleep(WARM_S)
            say(f"measuring for {HELD_S:g} s with all brokers well")
            well = await _probe("all brokers well", node)
            redis.freeze()
            say(f"measuring for {HELD_S:g} s with Redis stopped")
            try:
                held = await _probe("one broker held", node)
            finally:
                redis.thaw()
        finally:
            filling.cancel()
            node.stop("measured")
            await asyncio.wait({running, filling}, timeout=PATIENCE_S)
        return [well, held]


async def _probe(name: str, node: Node) -> Lag:
    late_ms: list[float] = []
    before = _processed(node)
    ends_s = time.perf_counter() + HELD_S
    while (begin_s := time.perf_counter()) < ends_s:
        await asyncio.sleep(EVERY_S)
        late_ms.append(max(0.0, (time.perf_counter() - begin_s - EVERY_S) * 1000))
    return Lag(name, tuple(late_ms), _processed(node) - before)


def _processed(node: Node) -> int:
    return sum(mapping.counters.processed for mapping in node.status().mappings)


async def _keep_filled(folder: Path) -> None:
    """Keep the other mapping at work, with a few thousand messages ahead of it."""
    context = SourceContext(
        project="lag", name="busy", settings={"Path": str(folder / "busy.db")}, data_dir=folder / "data"
    )
    assert QUEUE.operate is not None
    assert QUEUE.open_destination is not None
    operations = QUEUE.operate(context)
    await operations.create()
    await operations.close()
    destination = QUEUE.open_destination(context)
    await destination.open()
    try:
        while True:
            await destination.send([Outgoing(value=b"{}") for _ in range(KEPT_READY // 10)])
            await asyncio.sleep(0.1)
    finally:
        await destination.close()
