"""`penstock send`: records onto a source."""

import asyncio
import contextlib
import itertools
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO

import click

from penstock.api import Destination, Outgoing, SourceContext, SourceType
from penstock.cli.failures import FAILED, Failure, Wrong
from penstock.cli.loading import context_of, destination_of, load_project, make_data_dir, operations_of, source_of
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.outgoing import Defaults, from_json_lines, from_texts, header
from penstock.cli.output import write_json
from penstock.cli.progress import Progress
from penstock.cli.session import session
from penstock.configuration import SourceConfig

RECORDS_PER_CALL = 1000
REFUSALS_SHOWN = 10
STDIN = "-"


class Sent:
    """What has been sent so far, and what was refused (its number from 1, and why)."""

    def __init__(self) -> None:
        self.count = 0
        self.refused: list[tuple[int, str]] = []


@command(
    "send",
    example="""\
penstock send orders '{"order": 7}' --key 7
penstock send orders --from-file orders.txt
kcat … | penstock send orders --jsonl -""",
)
@click.argument("source", metavar="SOURCE")
@click.argument("data", nargs=-1)
@click.option("--from-file", metavar="FILE", help="Send each line of a file; - is stdin.")
@click.option("--jsonl", is_flag=True, help="Each is a JSON object with data, key, headers, group, attributes.")
@click.option("--key", help="The key of every record.")
@click.option("--group", help="The message group of every record.")
@click.option("--header", "headers", multiple=True, metavar="NAME=VALUE", help="A header of every record; repeatable.")
@file_option()
@data_dir_option
def send(
    *,
    source: str,
    data: tuple[str, ...],
    from_file: str | None,
    jsonl: bool,
    key: str | None,
    group: str | None,
    headers: tuple[str, ...],
    file: str,
    data_dir: Path | None,
    as_json: bool,
) -> None:
    """Put records on SOURCE: each DATA, or each line of a file or of stdin."""
    project = load_project(file, data_dir)
    config = source_of(project, source)
    if config.type.open_destination is None:
        raise Wrong(
            f"nothing can be sent to '{config.name}': a source of type {config.type.name} does not take records"
        )
    defaults = Defaults(key=key, group=group, headers=tuple(header(each) for each in headers))
    if data == (STDIN,) and from_file is None:
        data, from_file = (), STDIN
    if bool(data) == (from_file is not None):
        raise Wrong("give DATA, or --from-file (- is stdin), and not both" if data else "give DATA or --from-file")
    with _lines(data, from_file) as (lines, name):
        outgoing = from_json_lines(lines, defaults, name=name) if jsonl else from_texts(lines, defaults)
        sent = Sent()
        make_data_dir(project.settings.data_dir)
        try:
            asyncio.run(_send(config, context_of(project, config), outgoing, sent))
        except BaseException:
            # What came before the failure was sent all the same.
            if sent.count or sent.refused:
                _report(sent, config.name, as_json=as_json)
            raise
    _report(sent, config.name, as_json=as_json)
    if sent.refused:
        raise Failure(code=FAILED)


@contextlib.contextmanager
def _lines(data: Sequence[str], from_file: str | None) -> Iterator[tuple[Iterable[str], str]]:
    if from_file is None:
        yield data, "DATA"
    elif from_file == STDIN:
        with click.open_file(STDIN, encoding="utf-8") as file:
            yield _without_newline(file), "stdin"
    else:
        try:
            opened = Path(from_file).open(encoding="utf-8", newline="\n")  # noqa: SIM115 - closed below
        except OSError as error:
            raise Wrong(f"{from_file}: {error.strerror}") from None
        with opened as file:
            yield _without_newline(file), from_file


def _without_newline(file: IO[str]) -> Iterator[str]:
    try:
        for line in file:
            yield line.removesuffix("\n").removesuffix("\r")
    except UnicodeDecodeError:
        raise Wrong("the input is not text in UTF-8; --jsonl takes what is none") from None


async def _send(config: SourceConfig, context: SourceContext, records: Iterator[Outgoing], sent: Sent) -> None:
    if config.create and config.type.operate is not None:
        await _create(config.type, context)
    destination = destination_of(config.type, context)
    try:
        await destination.open()
        with Progress("sent") as progress:
            while batch := list(itertools.islice(records, RECORDS_PER_CALL)):
                await _send_batch(destination, batch, sent)
                progress.update(sent.count)
    finally:
        await destination.close()


async def _create(source_type: SourceType, context: SourceContext) -> None:
    operations = operations_of(source_type, context)
    try:
        await operations.create()
    finally:
        await operations.close()


async def _send_batch(destination: Destination, batch: list[Outgoing], sent: Sent) -> None:
    first = sent.count + len(sent.refused) + 1
    refusals = await destination.send(batch)
    for number, refusal in enumerate(refusals, first):
        if refusal is not None:
            sent.refused.append((number, str(refusal)))
    sent.count += sum(refusal is None for refusal in refusals)


def _report(sent: Sent, source: str, *, as_json: bool) -> None:
    current = session()
    if as_json:
        refused = [{"record": number, "reason": current.mask(reason)} for number, reason in sent.refused]
        write_json({"source": source, "sent": sent.count, "refused": refused})
        return
    for number, reason in sent.refused[:REFUSALS_SHOWN]:
        current.say(f"record {number} was refused: {reason}")
    more = len(sent.refused) - REFUSALS_SHOWN
    if more > 0:
        current.say(f"and {more} more were refused")
    current.say(f"sent {sent.count:,} {'record' if sent.count == 1 else 'records'} to {source}")
