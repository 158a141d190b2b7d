"""Measures one path of Penstock beside its two limits, in one run and on the same records.

`make bench WHAT=kafka`, `redis` or `embedded`; `README.md` beside this file says what is measured, and how.
`WHAT=kafka` also prints what each feature of a mapping costs, `WHAT=redis` how long a single message takes,
`WHAT=lanes` what lanes bring where a function is slow, `WHAT=lag` how late the loop is while a broker is silent, and
`WHAT=filters` what filters cost, without a broker.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click
import features
import filters
import lanes
import latency
import loop_lag
from embedded_paths import EmbeddedBench
from kafka_paths import KafkaBench
from node import NodeRun, run_node
from pipeline import run_pipeline
from redis_paths import RedisBench
from report import Result, Round, show, write
from variant import Variant, variants

BATCH_SIZE = 1000
Bench = KafkaBench | EmbeddedBench | RedisBench


def main(what: str) -> None:
    if what == "filters":
        filters.run(Path("bench.json"))
    elif what == "lanes":
        measure_lanes(Path("bench.json"))
    elif what == "lag":
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            loop_lag.run(Path(folder), Path("bench.json"), say=say)
    else:
        measure_path(what, Path("bench.json"))
        if what == "redis":
            measure_latency(Path("bench.json"))


def measure_lanes(path: Path) -> None:
    bench = KafkaBench(kafka_address(), records=int(os.environ.get("RECORDS", "4000")), partitions=1)
    try:
        bench.fill()
        lanes.run(bench, Path(sys.executable), path, rounds=int(os.environ.get("ROUNDS", "3")), say=say)
    finally:
        bench.close()


def measure_latency(path: Path) -> None:
    messages = int(os.environ.get("MESSAGES", "200"))
    if messages:
        with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
            latency.run(redis_url(), variants(Path(folder))[-1], path, messages=messages, say=say)


def measure_path(what: str, path: Path) -> None:
    records = int(os.environ.get("RECORDS", "500000"))
    rounds = int(os.environ.get("ROUNDS", "7"))
    partitions = int(os.environ.get("PARTITIONS", "1"))
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        kinds = variants(Path(folder))
        measured: dict[Variant, list[Round]] = {kind: [] for kind in kinds}
        bench = open_bench(what, Path(folder), records=records, partitions=partitions)
        try:
            say(f"writing {records:,} records")
            bench.fill()
            for number in range(rounds):
                backwards = number % 2 == 1
                for kind in reversed(kinds) if backwards else kinds:
                    measured[kind].append(run_round(bench, kind, Path(folder), backwards=backwards))
                    say(f"round {number + 1} of {rounds}, {kind.name}: {measured[kind][-1]}")
            costs = measure_features(bench, kinds[-1], Path(folder))
        finally:
            bench.close()
    shards = f" over {partitions} shards" if what != "redis" else ""
    results = [Result(f"{what} {kind.name}", tuple(rounds_of)) for kind, rounds_of in measured.items()]
    show(
        results,
        title=f"{what}: {records:,} records of 100 bytes{shards}, batches of {BATCH_SIZE:,}, median of {rounds} rounds",
    )
    write(results, path)
    if costs:
        features.show(
            costs, title=f"features: the same records, {kinds[-1].name}, median of {len(costs[0].runs)} rounds"
        )
        features.write(costs, f"{what} {kinds[-1].name}", path)


def measure_features(bench: Bench, variant: Variant, folder: Path) -> list[features.Cost]:
    rounds = int(os.environ.get("FEATURE_ROUNDS", "3"))
    if not isinstance(bench, KafkaBench) or not rounds:
        return []
    return features.measure(bench, variant, folder, batch_size=BATCH_SIZE, rounds=rounds, say=say)


def open_bench(what: str, folder: Path, *, records: int, partitions: int) -> Bench:
    if what == "embedded":
        return EmbeddedBench(folder / "sources.db", records=records, shards=partitions)
    if what == "redis":
        return RedisBench(redis_url(), records=records)
    if what != "kafka":
        raise SystemExit(f"WHAT is '{what}'; there are benchmarks of kafka, redis, lanes, lag, embedded and filters")
    return KafkaBench(kafka_address(), records=records, partitions=partitions)


def kafka_address() -> str:
    address = os.environ.get("PENSTOCK_TEST_KAFKA")
    if not address:
        raise SystemExit("PENSTOCK_TEST_KAFKA=host:port names no broker; `make brokers` starts one and prints it")
    return address


def redis_url() -> str:
    url = os.environ.get("PENSTOCK_TEST_REDIS")
    if not url:
        raise SystemExit("PENSTOCK_TEST_REDIS=redis://… names no server; `make brokers` starts one and prints it")
    return url


def run_round(bench: Bench, variant: Variant, folder: Path, *, backwards: bool) -> Round:
    """Run every loop once, one after another: what a ratio compares lies close together in time."""
    done: dict[str, Any] = {}

    def run_raw() -> None:
        done["raw"] = bench.records / bench.read_raw()

    def run_bare(name: str, *, ahead: bool) -> None:
        with tempfile.TemporaryDirectory(prefix="pipeline-", dir=folder) as own:
            done[name] = run_pipeline(bench, variant, batch_size=BATCH_SIZE, folder=Path(own), ahead=ahead)

    def run_penstock() -> None:
        with tempfile.TemporaryDirectory(prefix="node-", dir=folder) as own:
            done["node"] = run_node(
                bench.source(),
                variant,
                records=bench.records,
                batch_size=BATCH_SIZE,
                folder=Path(own),
                timeout_s=max(60.0, bench.records / 5_000),
            )

    loops: list[Callable[[], None]] = [
        run_raw,
        partial(run_bare, "pipeline", ahead=False),
        run_penstock,
        partial(run_bare, "ahead", ahead=True),
    ]
    for loop in reversed(loops) if backwards else loops:
        loop()
    node: NodeRun = done["node"]
    return Round(
        raw=done["raw"],
        pipeline=done["pipeline"].records_per_s,
        pipeline_ahead=done["ahead"].records_per_s,
        penstock=node.records_per_s,
        cpu_us_per_record=node.cpu_us_per_record,
        pipeline_cpu_us_per_record=done["pipeline"].cpu_us_per_record,
        memory_bytes_peak=node.memory_bytes_peak,
        records_per_invocation=node.records_per_invocation,
    )


def say(text: str) -> None:
    click.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: bench.py kafka|redis|lanes|lag|embedded|filters")
    main(sys.argv[1])
