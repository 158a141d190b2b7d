"""What each feature of a stream mapping costs when it is on and nothing fails: a node with it beside one without any.

Everything runs on one topic, with one function process, and the plain node of the same round is what a rate is compared
with.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from kafka_paths import KafkaBench
from node import PLAIN, NodeRun, Setup, run_node
from variant import Variant

OFF = "features off"
_BISECT = {"BisectBatchOnFunctionError": True, "MaximumRetryAttempts": 3}
_PARTIAL = {"FunctionResponseTypes": ["ReportBatchItemFailures"]}
_AGE = {"MaximumRecordAgeInSeconds": 604_800}
_FILTERS = {"FilterCriteria": {"Filters": [{"Pattern": {"value": {"number": [{"numeric": [">=", 0]}]}}}]}}


@dataclass(frozen=True, slots=True)
class Cost:
    """One feature in all rounds: its rates, their parts of the plain node's, and the CPU that either took."""

    name: str
    runs: tuple[NodeRun, ...]
    plain: tuple[NodeRun, ...]

    @property
    def part(self) -> float:
        """How much of the plain node's rate is left; a ratio is taken within each round."""
        pairs = zip(self.runs, self.plain, strict=True)
        return float(median(run.records_per_s / plain.records_per_s for run, plain in pairs))

    @property
    def cpu_us_per_record(self) -> float:
        return float(median(run.cpu_us_per_record for run in self.runs))

    def line(self) -> str:
        rate = median(run.records_per_s for run in self.runs)
        more_us = self.cpu_us_per_record - median(run.cpu_us_per_record for run in self.plain)
        return (
            f"{self.name}: {rate:,.0f}/s, {self.part:.2f} of {OFF}, "
            f"node CPU {self.cpu_us_per_record:.2f} µs a record ({more_us:+.2f})"
        )

    def entry(self, what: str) -> dict[str, object]:
        """The entry of `bench.json`."""
        return {
            "name": f"{what}, {self.name}",
            "unit": f"of {OFF}",
            "value": round(self.part, 3),
            "raw": None,
            "pipeline": None,
            "ratio_raw": None,
            "ratio_pipeline": None,
            "cpu_us_per_record": round(self.cpu_us_per_record, 2),
        }


def setups(bench: KafkaBench) -> dict[str, Setup]:
    """Name what is measured, the plain node first."""
    on_failure = {"DestinationConfig": {"OnFailure": {"Destination": f"kafka://{bench.dead_topic}"}}}
    # Of the seconds in which the records were written; so it is over, and closes, when the node has read them.
    window = {"TumblingWindowInSeconds": 5, "TumblingWindowIdleSeconds": 0}
    return {
        OFF: PLAIN,
        "4 lanes": Setup({"ParallelizationFactor": 4}),
        "bisect": Setup(_BISECT),
        "partial responses": Setup(_PARTIAL, response="partial"),
        "record age": Setup(_AGE),
        "on-failure destination": Setup(on_failure),
        "filter on one field": Setup(_FILTERS),
        "all of these": Setup(
            {"ParallelizationFactor": 4, **_BISECT, **_PARTIAL, **_AGE, **on_failure, **_FILTERS}, response="partial"
        ),
        "tumbling window": Setup(window, response="state"),
    }


def measure(
    bench: KafkaBench, variant: Variant, folder: Path, *, batch_size: int, rounds: int, say: Callable[[str], None]
) -> list[Cost]:
    """Run a node with each feature, in every round, in the other order in every second one."""
    wanted = setups(bench)
    runs: dict[str, list[NodeRun]] = {name: [] for name in wanted}
    for number in range(rounds):
        names = list(wanted)
        for name in reversed(names) if number % 2 else names:
            with tempfile.TemporaryDirectory(prefix="node-", dir=folder) as own:
                run = run_node(
                    bench.source(),
                    variant,
                    records=bench.records,
                    batch_size=batch_size,
                    folder=Path(own),
                    timeout_s=max(60.0, bench.records / 5_000),
                    setup=wanted[name],
                )
            runs[name].append(run)
            say(f"round {number + 1} of {rounds}, {name}: {run.records_per_s:,.0f}/s")
    plain = tuple(runs[OFF])
    return [Cost(name, tuple(found), plain) for name, found in runs.items()]


def show(costs: list[Cost], *, title: str) -> None:
    """Print a line for each."""
    click.echo(title)
    for cost in costs:
        click.echo(f"  {cost.line()}")


def write(costs: list[Cost], what: str, path: Path) -> None:
    """Add the entries to a `bench.json` that is there."""
    entries = json.loads(path.read_text()) if path.exists() else []
    path.write_text(json.dumps([*entries, *(cost.entry(what) for cost in costs)], indent=2) + "\n")
