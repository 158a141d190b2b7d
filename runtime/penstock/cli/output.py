"""Results on stdout: JSON where it was asked for, a table on a terminal, plain lines elsewhere."""

import json
import sys
from collections.abc import Sequence
from typing import Any

import click


def write_json(value: Any) -> None:
    """Write one JSON document, indented."""
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))


def write_json_line(value: Any) -> None:
    """Write one JSON document in one line."""
    click.echo(json.dumps(value, ensure_ascii=False))


def write_table(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a table: drawn on a terminal, aligned columns elsewhere."""
    if sys.stdout.isatty():
        _write_drawn(headers, rows)
        return
    widths = [max(len(row[column]) for row in (headers, *rows)) for column in range(len(headers))]
    for row in (headers, *rows):
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _write_drawn(headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    # Imported here: rich costs as much to import as everything else together.
    from rich import box  # noqa: PLC0415
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    table = Table(*headers, box=box.SIMPLE_HEAD)
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)
