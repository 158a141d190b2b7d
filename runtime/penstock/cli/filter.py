"""`penstock filter`: whether an event pattern matches, and why not."""

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import click

from penstock.api import Message, Start
from penstock.cli.failures import FAILED, Failure, Wrong
from penstock.cli.loading import context_of, load_project, operations_of, source_of
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.output import write_json
from penstock.cli.session import session
from penstock.configuration import Project, SourceConfig
from penstock.core.events import Origin
from penstock.core.patterns import (
    FRAMES,
    Explanation,
    FilterCriteria,
    PatternRefused,
    PatternWarning,
    RecordFilter,
    compile_patterns,
)
from penstock.core.patterns.shown_records import RecordNotShown, take_apart

STDIN = "-"
LIMIT = 100
INPUT_BYTES_MAX = 16 * 1024 * 1024


@command(
    "filter",
    example="""\
penstock filter '{"total": [{"numeric": [">", 100]}]}' '{"total": 250}'
penstock event kinesis '{"total": 7}' | penstock filter pattern.json - --event-format kinesis
penstock filter pattern.json --source orders --limit 1000""",
)
@click.argument("pattern", metavar="PATTERN")
@click.argument("event", metavar="[EVENT]", required=False)
@click.option(
    "--event-format",
    type=click.Choice(tuple(FRAMES)),
    help="Take EVENT as a record of this layout.  [with --source: the source's own]",
)
@click.option("--source", metavar="SOURCE", help="Try the oldest records of a source of the configuration instead.")
@click.option("--limit", type=click.IntRange(min=1), default=LIMIT, show_default=True, help="With --source: how many.")
@file_option()
@data_dir_option
def filter(  # noqa: A001 - it is the command's name
    *,
    pattern: str,
    event: str | None,
    event_format: str | None,
    source: str | None,
    limit: int,
    file: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Tell whether PATTERN matches EVENT, and where not, which field decided. Ends with 1 if it does not match.

    Each is JSON text, a file, or - for stdin.
    """
    if (event is None) == (source is None):
        raise Wrong("give EVENT or --source, and not both")
    if pattern == event == STDIN:
        raise Wrong("PATTERN and EVENT can not both be stdin")
    try:
        if source is not None:
            project = load_project(file, data_dir)
            criteria = _criteria_for(source_of(project, source), _text("PATTERN", pattern), event_format)
            _try_source(project, source_of(project, source), criteria, limit, as_json=as_json)
        elif event is not None:
            _try_event(_text("PATTERN", pattern), _json("EVENT", event), event_format, as_json=as_json)
    except PatternRefused as refused:
        raise Wrong(f"PATTERN: {refused.of_filter(None)}") from None


def _text(name: str, given: str) -> str:
    """Read an argument: it is JSON text if it looks like it, else it names a file."""
    if given != STDIN and given.lstrip()[:1] in {"{", "[", '"', ""}:
        return given
    try:
        if given == STDIN:
            content = sys.stdin.buffer.read(INPUT_BYTES_MAX + 1)
        else:
            with Path(given).open("rb") as file:
                content = file.read(INPUT_BYTES_MAX + 1)
    except OSError as error:
        raise Wrong(f"{name} is neither a JSON object nor a file: {given}: {error.strerror}") from None
    except ValueError:
        raise Wrong(f"{name} is neither a JSON object nor a file") from None
    if len(content) > INPUT_BYTES_MAX:
        raise Wrong(f"{name} has more than {INPUT_BYTES_MAX} bytes")
    try:
        return content.decode()
    except UnicodeDecodeError:
        raise Wrong(f"{name} is not UTF-8") from None


def _json(name: str, given: str) -> Any:
    try:
        return json.loads(_text(name, given))
    except (ValueError, RecursionError) as error:
        raise Wrong(f"{name} is not JSON: {error}") from None


def _try_event(pattern: str, event: Any, event_format: str | None, *, as_json: bool) -> None:
    if event_format is None:
        matcher = compile_patterns([pattern])
        _warn(matcher.warnings)
        if not isinstance(event, dict):
            raise Wrong("EVENT is no JSON object")
        _report(matcher.explain(event), as_json=as_json)
        return
    criteria = FilterCriteria([pattern], event_format)
    _warn(criteria.warnings)
    try:
        taken_apart = take_apart(event_format, event)
    except RecordNotShown as error:
        raise Wrong(f"EVENT {error}") from None
    _report(criteria.explain(*taken_apart), as_json=as_json)


def _warn(warnings: tuple[PatternWarning, ...]) -> None:
    for warning in warnings:
        session().say(f"warning: {warning.path}: {warning.text}")


def _report(explanation: Explanation, *, as_json: bool) -> None:
    reasons = [
        {"field": reason.field, "wanted": reason.wanted, "found": reason.found} for reason in explanation.reasons
    ]
    if as_json:
        write_json({"matches": explanation.matches, "reasons": reasons})
    elif explanation.matches:
        click.echo("match")
    else:
        for reason in reasons:
            click.echo(f"no match: {reason['field']}: wanted {reason['wanted']}; found {reason['found']}")
    if not explanation.matches:
        raise Failure(code=FAILED)


def _criteria_for(source: SourceConfig, pattern: str, event_format: str | None) -> FilterCriteria:
    offered = source.type.event_formats
    if event_format is not None and event_format not in offered:
        raise Wrong(f"--event-format is '{event_format}'; {source.name} has {' and '.join(offered)}")
    return FilterCriteria([pattern], event_format or offered[0])


def _try_source(project: Project, source: SourceConfig, criteria: FilterCriteria, limit: int, *, as_json: bool) -> None:
    if source.type.operate is None:
        raise Wrong(f"a source of type {source.type.name} can not be looked into")
    _warn(criteria.warnings)
    looked_at, matching = asyncio.run(_count(project, source, criteria, limit))
    if as_json:
        write_json({"source": source.name, "records": looked_at, "matching": matching})
    else:
        click.echo(f"{matching:,} of {looked_at:,} records of {source.name} match")
    if not matching:
        raise Failure(code=FAILED)


async def _count(project: Project, source: SourceConfig, criteria: FilterCriteria, limit: int) -> tuple[int, int]:
    operations = operations_of(source.type, context_of(project, source))
    filters: dict[str, RecordFilter[Any]] = {}
    looked_at = matching = 0
    try:
        async for found in operations.peek(Start("TRIM_HORIZON"), limit=limit, follow=False):
            shard, record = ("", found) if isinstance(found, Message) else found
            if shard not in filters:
                filters[shard] = criteria.record_filter(_origin(project, source, shard))
            looked_at += 1
            matching += filters[shard].keeps(record)
    finally:
        await operations.close()
    return looked_at, matching


def _origin(project: Project, source: SourceConfig, shard: str) -> Origin:
    facts = source.type.describe(source.settings) if source.type.describe is not None else {}
    servers = facts.get("bootstrapServers", "")
    topic, _, partition = shard.rpartition("-")
    return Origin(
        source_arn=source.arn,
        region=project.settings.region,
        role_arn=f"arn:aws:iam::{project.settings.account_id}:role/{source.name}",
        shard=shard,
        topic=topic if servers else "",
        partition=int(partition) if servers and partition.isdecimal() else 0,
        bootstrap_servers=servers,
        queue=facts.get("queue", ""),
        virtual_host=facts.get("virtualHost", "/"),
    )
