"""The command itself: make the project, run the node, send, watch, add up."""

import asyncio
import json
import shutil
import tempfile
from contextlib import ExitStack
from importlib import resources
from pathlib import Path

import click

from penstock.cli.demo.node import DemoNode, run_node
from penstock.cli.demo.screen import Screen, make_screen
from penstock.cli.demo.tally import Tally
from penstock.cli.demo.traffic import INVOICES, ORDERS, send
from penstock.configuration import load
from penstock.plugins import load_plugins

REFRESH_S = 0.15


@click.command(
    epilog="""\b
Example:
  penstock demo --keep shop
"""
)
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Make the project in this new folder, and leave it there."
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as JSON on stdout, and nothing else there.")
def demo(*, keep: Path | None, as_json: bool) -> None:
    """Show the engine at work on a stream and a queue that need no broker.

    Sends a few thousand records, one of which can not be processed and one of which is slow, and shows what happens to
    them. Ends by itself, with 0 when every record is accounted for.
    """
    if keep is not None and keep.exists():
        raise click.UsageError(f"--keep: {keep} exists; name a folder that does not")
    with ExitStack() as stack:
        folder = (
            keep.resolve() if keep else Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="penstock-demo-")))
        )
        project_files = stack.enter_context(resources.as_file(resources.files("penstock.cli.demo") / "project"))
        shutil.copytree(project_files, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("__pycache__"))
        tally = Tally()
        node_code, ledger_lines, problems = asyncio.run(_run(folder, tally, quiet=as_json))
    _sum_up(tally, node_code, ledger_lines, problems, as_json=as_json, kept=keep)


async def _run(folder: Path, tally: Tally, *, quiet: bool) -> tuple[int, int, list[str]]:
    project = load(folder / "penstock.yaml", load_plugins())
    ledger = folder / "ledger"
    async with run_node(project.file, project.settings.data_dir, ledger) as node:
        if quiet:
            await asyncio.gather(_watch(node, tally, None), send(project))
        else:
            with make_screen(tally) as screen:
                await asyncio.gather(_watch(node, tally, screen), send(project))
        code = await node.wait()
    lines = sum(len(file.read_text().splitlines()) for file in ledger.glob("*-*"))
    return code, lines, node.other_lines


async def _watch(node: DemoNode, tally: Tally, screen: Screen | None) -> None:
    loop = asyncio.get_running_loop()
    refreshed_s = 0.0
    async for logged in node.log():
        story = tally.take_in(logged)
        if screen is None:
            continue
        if story is not None:
            screen.tell(story)
        elif loop.time() > refreshed_s + REFRESH_S:
            refreshed_s = loop.time()
            screen.refresh()


def _sum_up(
    tally: Tally, node_code: int, ledger_lines: int, problems: list[str], *, as_json: bool, kept: Path | None
) -> None:
    sent = ORDERS + INVOICES
    adds_up = node_code == 0 and sent == tally.processed + tally.given_up and ledger_lines == tally.processed
    figures = {"sent": sent, "processed": tally.processed, "givenUp": tally.given_up, "inTheLedger": ledger_lines}
    if as_json:
        click.echo(json.dumps({**figures, "addsUp": adds_up}))
    else:
        click.echo("")
        click.echo(f"sent {sent} = processed {tally.processed} + given up {tally.given_up}")
        click.echo(f"the functions wrote {ledger_lines} lines into their ledger")
        click.echo("")
        click.echo("Try next:  penstock init hello && cd hello && penstock up")
        more = f"cd {kept} && penstock up" if kept else "penstock demo --keep shop, and change its penstock.yaml"
        click.echo(f"      or:  {more}")
    if not adds_up:
        for line in problems:
            click.echo(line, err=True)
        raise click.ClickException(f"the figures do not add up (the node ended with {node_code})")
