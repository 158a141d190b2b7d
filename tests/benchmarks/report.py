"""What a benchmark prints and writes: the three figures of each path, their ratios, and what the node cost."""

import json
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import click
from rich.console import Console
from rich.table import Table

MB = 1024 * 1024
COLUMNS = (
    "path",
    "raw client",
    "bare pipeline",
    "reading ahead",
    "Penstock",
    "of raw",
    "of pipeline",
    "of it ahead",
    "node CPU µs",
    "pipeline CPU µs",
    "peak MB",
    "records/batch",
)


@dataclass(frozen=True, slots=True)
class Round:
    """One round: rates in records/s that were measured one after another, and what the two processes used."""

    raw: float
    pipeline: float
    pipeline_ahead: float
    penstock: float
    cpu_us_per_record: float
    pipeline_cpu_us_per_record: float
    memory_bytes_peak: int
    records_per_invocation: float

    def __str__(self) -> str:
        return (
            f"raw {self.raw:,.0f}/s, pipeline {self.pipeline:,.0f}/s, Penstock {self.penstock:,.0f}/s, "
            f"{self.penstock / self.pipeline:.2f} of the pipeline, "
            f"{self.penstock / self.pipeline_ahead:.2f} of it reading ahead"
        )


@dataclass(frozen=True, slots=True)
class Result:
    """All rounds of one path. Figures and ratios are medians; a ratio is taken within each round."""

    name: str
    rounds: tuple[Round, ...]

    def median_of(self, field: str) -> float:
        return float(median(getattr(each, field) for each in self.rounds))

    def ratio_to(self, field: str) -> float:
        return float(median(each.penstock / getattr(each, field) for each in self.rounds))

    def entries(self) -> list[dict[str, object]]:
        """The entries of `bench.json`: beside either form of the pipeline, and the memory with null for the rest."""
        rate = self._entry(self.name, "pipeline")
        memory = dict.fromkeys(rate) | {
            "name": f"{self.name}, node memory at its peak",
            "unit": "bytes",
            "value": self.memory_bytes_peak,
        }
        return [rate, self._entry(f"{self.name}, beside a pipeline that reads ahead", "pipeline_ahead"), memory]

    @property
    def memory_bytes_peak(self) -> int:
        return max(each.memory_bytes_peak for each in self.rounds)

    def _entry(self, name: str, pipeline: str) -> dict[str, object]:
        return {
            "name": name,
            "unit": "records/s",
            "value": round(self.median_of("penstock")),
            "raw": round(self.median_of("raw")),
            "pipeline": round(self.median_of(pipeline)),
            "ratio_raw": round(self.ratio_to("raw"), 3),
            "ratio_pipeline": round(self.ratio_to(pipeline), 3),
            "cpu_us_per_record": round(self.median_of("cpu_us_per_record"), 2),
        }

    def cells(self) -> tuple[str, ...]:
        return (
            self.name,
            f"{self.median_of('raw'):,.0f}/s",
            f"{self.median_of('pipeline'):,.0f}/s",
            f"{self.median_of('pipeline_ahead'):,.0f}/s",
            f"{self.median_of('penstock'):,.0f}/s",
            f"{self.ratio_to('raw'):.2f}",
            f"{self.ratio_to('pipeline'):.2f}",
            f"{self.ratio_to('pipeline_ahead'):.2f}",
            f"{self.median_of('cpu_us_per_record'):.2f}",
            f"{self.median_of('pipeline_cpu_us_per_record'):.2f}",
            f"{self.memory_bytes_peak / MB:.0f}",
            f"{self.median_of('records_per_invocation'):.0f}",
        )


def show(results: list[Result], *, title: str) -> None:
    """Print a table in a terminal, and a line for each path elsewhere."""
    console = Console()
    if not console.is_terminal:
        click.echo(title)
        for result in results:
            click.echo(", ".join(f"{column} {cell}" for column, cell in zip(COLUMNS, result.cells(), strict=True)))
        return
    table = Table(title=title)
    for column in COLUMNS:
        table.add_column(column, justify="left" if column == "path" else "right")
    for result in results:
        table.add_row(*result.cells())
    console.print(table)


def write(results: list[Result], path: Path) -> None:
    """Write `bench.json`."""
    path.write_text(json.dumps([entry for result in results for entry in result.entries()], indent=2) + "\n")
