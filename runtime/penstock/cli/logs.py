"""`penstock logs`: what a function printed and logged."""

import json
import time
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click

from penstock.cli.failures import Wrong
from penstock.cli.loading import function_of, load_project
from penstock.cli.log_files import follow_lines, lines_so_far
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.session import session
from penstock.cli.times import since_ms, unix_ms

Wanted = Callable[[dict[str, Any]], bool]


@command("logs", example="penstock logs hello --tail 20\npenstock logs hello -f --since 10m")
@click.argument("function", metavar="FUNCTION")
@click.option("-f", "--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option("--since", metavar="TIME", help="From a time on (2026-01-31T12:00:00Z), or from so long ago (10m, 2h).")
@click.option("--tail", type=click.IntRange(min=0), metavar="N", help="Only the last N lines of what is there.")
@click.option("--request-id", metavar="ID", help="Only the lines of one invocation.")
@file_option(short=False)
@data_dir_option
def logs(
    *,
    function: str,
    follow: bool,
    since: str | None,
    tail: int | None,
    request_id: str | None,
    file: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Show the log lines of FUNCTION."""
    project = load_project(file, data_dir)
    name = function_of(project, function).spec.name
    path = project.settings.data_dir / "logs" / f"{name}.log"
    wanted = _filter(since, request_id)
    if not follow and not path.exists():
        session().say(f"'{name}' has no log in {path.parent} yet")
        return
    found, position = lines_so_far(path)
    chosen = (line for line in found if wanted(_parsed(line)))
    for line in chosen if tail is None else deque(chosen, maxlen=tail):
        _write(line, as_json=as_json)
    if follow:
        _follow(follow_lines(path, position), wanted, as_json=as_json)


def _follow(lines: Iterator[str], wanted: Wanted, *, as_json: bool) -> None:
    for line in lines:
        if wanted(_parsed(line)):
            _write(line, as_json=as_json)


def _filter(since: str | None, request_id: str | None) -> Wanted:
    start_ms = None if since is None else since_ms(since, now_ms=time.time_ns() // 1_000_000)
    if since is not None and start_ms is None:
        raise Wrong(f"--since is '{since}'; a time such as 2026-01-31T12:00:00Z, or how long ago: 30s, 10m, 2h, 1d")

    def wanted(line: dict[str, Any]) -> bool:
        if request_id is not None and line.get("request_id") != request_id:
            return False
        return start_ms is None or (unix_ms(str(line.get("time", ""))) or 0) >= start_ms

    return wanted


def _parsed(line: str) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError:
        found = None
    return found if isinstance(found, dict) else {"message": line}


def _write(line: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(line)
        return
    fields = _parsed(line)
    head = [fields.get("time"), fields.get("request_id"), fields.get("level")]
    click.echo(" ".join(str(part) for part in (*head, fields.get("message", "")) if part))
