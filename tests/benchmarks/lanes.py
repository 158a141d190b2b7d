"""What lanes bring where a function is slow: one partition of 1,000 keys, 5 ms for each record, batches of 20.

A node with one lane and a node with ten run one after another on the same topic, each with as many function processes
as lanes. A lane has a hundred keys more or less, and the fullest decides when everything is done.
"""

import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from statistics import median

import click
from kafka_paths import KafkaBench
from node import NodeRun, Setup, run_node
from records import KEYS
from variant import Variant

BATCH_SIZE = 20
FACTORS = (1, 10)


def run(bench: KafkaBench, python: Path, path: Path, *, rounds: int, say: Callable[[str], None]) -> None:
    """Measure, print a line for each factor and their ratio, and write `bench.json`."""
    variant = Variant("sleep", "bench_function.sleep", python)
    runs: dict[int, list[NodeRun]] = {factor: [] for factor in FACTORS}
    for number in range(rounds):
        for factor in reversed(FACTORS) if number % 2 else FACTORS:
            runs[factor].append(_run(bench, variant, factor))
            say(f"round {number + 1} of {rounds}, {factor} lanes: {runs[factor][-1].records_per_s:,.0f}/s")
    few, many = FACTORS
    ratio = median(ten.records_per_s / one.records_per_s for one, ten in zip(runs[few], runs[many], strict=True))
    click.echo(
        f"lanes: {bench.records:,} records with {KEYS:,} keys in one partition, 5 ms for each record, batches of "
        f"{BATCH_SIZE}, median of {rounds} rounds"
    )
    rates = {factor: median(each.records_per_s for each in runs[factor]) for factor in FACTORS}
    for factor, rate in rates.items():
        click.echo(f"  ParallelizationFactor {factor}: {rate:,.0f} records/s")
    click.echo(f"  {ratio:.2f} times the throughput of one lane")
    cpu_us = {factor: round(median(each.cpu_us_per_record for each in runs[factor]), 2) for factor in FACTORS}
    entries = [_entry(f"lanes, factor {each}", "records/s", round(rates[each]), cpu_us[each]) for each in FACTORS]
    entries.append(_entry(f"lanes, factor {many} beside {few}", "times", round(ratio, 2), None))
    path.write_text(json.dumps(entries, indent=2) + "\n")


def _run(bench: KafkaBench, variant: Variant, factor: int) -> NodeRun:
    with tempfile.TemporaryDirectory(prefix="penstock-bench-") as folder:
        return run_node(
            bench.source(),
            variant,
            records=bench.records,
            batch_size=BATCH_SIZE,
            folder=Path(folder),
            timeout_s=bench.records / 50,
            setup=Setup({"ParallelizationFactor": factor}, environments=factor),
        )


def _entry(name: str, unit: str, value: float, cpu_us: float | None) -> dict[str, object]:
    none = dict.fromkeys(("raw", "pipeline", "ratio_raw", "ratio_pipeline"))
    return {"name": name, "unit": unit, "value": value, **none, "cpu_us_per_record": cpu_us}
