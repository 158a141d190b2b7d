"""`penstock peek`: what is on a source, without taking it."""

import asyncio
import base64
import datetime as dt
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from penstock.api import Message, PeeksByTaking, Record, SourceContext, SourceOperations, SourceType, Start
from penstock.cli.failures import Wrong
from penstock.cli.loading import context_of, load_project, operations_of, source_of
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.output import write_json_line
from penstock.cli.starts import read_start

LIMIT = 10


@command(
    "peek",
    example="""\
penstock peek orders
penstock peek orders --from 2026-01-31T12:00:00Z --limit 100 --json
penstock peek orders --from LATEST --follow""",
)
@click.argument("source", metavar="SOURCE")
@click.option("--limit", type=click.IntRange(min=1), help=f"The most to show.  [default: {LIMIT}; none with --follow]")
@click.option(
    "--from",
    "start",
    default="TRIM_HORIZON",
    show_default=True,
    metavar="TRIM_HORIZON|LATEST|TIME|POSITION",
    help="Where to begin: a TIME is as ISO 8601 has it, a POSITION is a number.",
)
@click.option("--follow", is_flag=True, help="Go on with what comes, until interrupted.")
@click.option(
    "--disturb",
    is_flag=True,
    help="Where a broker shows messages only by giving them out: take them, and give them back at the end.",
)
@file_option()
@data_dir_option
def peek(
    *,
    source: str,
    limit: int | None,
    start: str,
    follow: bool,
    disturb: bool,
    file: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Show what is on SOURCE. Nothing is taken, and no position moves.

    A queue of RabbitMQ can only be looked into by taking messages and giving them back: other readers miss them
    meanwhile, and the broker may count it as a delivery. It is done with --disturb alone.
    """
    project = load_project(file, data_dir)
    config = source_of(project, source)
    if config.type.operate is None:
        raise Wrong(f"a source of type {config.type.name} can not be looked into")
    where = read_start("--from", start)
    if disturb and follow:
        raise click.UsageError("--disturb gives back what it took at its end, so it does not go with --follow.")
    shown_max = limit if limit is not None or follow else LIMIT
    looking = _Looking(where, shown_max, follow, disturb)
    asyncio.run(_peek(config.type, context_of(project, config), looking, as_json=as_json))


@dataclass(frozen=True, slots=True)
class _Looking:
    start: Start | int
    limit: int | None
    follow: bool
    disturb: bool

    def found(self, operations: SourceOperations) -> AsyncIterator[tuple[str, Record] | Message]:
        if self.disturb and isinstance(operations, PeeksByTaking):
            return operations.peek_by_taking(limit=self.limit or LIMIT)
        return operations.peek(self.start, limit=self.limit, follow=self.follow)


async def _peek(
    source_type: SourceType,
    context: SourceContext,
    looking: _Looking,
    *,
    as_json: bool,
) -> None:
    operations = operations_of(source_type, context)
    try:
        async for found in looking.found(operations):
            described = _message(found) if isinstance(found, Message) else _record(*found)
            if as_json:
                write_json_line(described)
            else:
                click.echo(_line(described))
    finally:
        await operations.close()


def _record(shard: str, record: Record) -> dict[str, Any]:
    return {
        "shard": shard,
        "position": record.position,
        "time": _time(record.timestamp_ms),
        "key": _bytes(record.key),
        "value": _bytes(record.value),
        "headers": [[name, _bytes(value)] for name, value in record.headers],
    }


def _message(message: Message) -> dict[str, Any]:
    return {
        "messageId": message.message_id,
        "time": _time(message.sent_ms),
        "receiveCount": message.receive_count,
        "group": message.group,
        "body": _bytes(message.body),
        "attributes": {
            name: {
                "dataType": each.data_type,
                "value": _bytes(each.value) if isinstance(each.value, bytes) else each.value,
            }
            for name, each in message.attributes.items()
        },
    }


def _bytes(value: bytes | None) -> str | dict[str, str] | None:
    """Show bytes as text where they are text, else as `{"base64": …}`."""
    if value is None:
        return None
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"base64": base64.b64encode(value).decode()}


def _time(unix_time_ms: int) -> str:
    moment = dt.datetime.fromtimestamp(unix_time_ms / 1000, dt.UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _line(described: dict[str, Any]) -> str:
    if "messageId" in described:
        parts = [described["messageId"], described["time"], described["group"], described["body"]]
    else:
        parts = [described["shard"], described["position"], described["time"], described["key"], described["value"]]
    return "\t".join(_cell(part) for part in parts)


def _cell(part: Any) -> str:
    if part is None:
        return "-"
    text = f"base64:{part['base64']}" if isinstance(part, dict) else str(part)
    # One record is one line, and no control character reaches the terminal.
    return "".join(each if each.isprintable() else each.encode("unicode_escape").decode() for each in text)
