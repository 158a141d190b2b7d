"""`penstock mapping seek`: moves the position of a disabled mapping."""

import sys
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.failures import Failure, Wrong
from penstock.cli.options import command, endpoint_option

TIMEOUT_S = 60
"""The node waits for a session of its own that may have been left behind, before it says no."""
HEADERS = ("SHARD", "NEXT RECORD NOW", "NEXT RECORD THEN")


@command(
    "seek",
    example="""\
penstock mapping seek billing.FromOrders --to TRIM_HORIZON --dry-run
penstock mapping seek billing.FromOrders --to 2026-01-31T12:00:00Z --yes
penstock mapping seek billing.FromOrders --to 1057 --shard orders-0""",
)
@click.argument("name", metavar="ID")
@click.option(
    "--to",
    "target",
    required=True,
    metavar="TRIM_HORIZON|LATEST|TIME|POSITION",
    help="Where to go on: a TIME is as ISO 8601 has it, a POSITION is that of the record to read next.",
)
@click.option(
    "--shard", "shards", multiple=True, metavar="SHARD", help="Only this one; may be repeated.  [default: all]"
)
@click.option("--dry-run", is_flag=True, help="Show what would move, and change nothing.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@endpoint_option
def seek(
    *, name: str, target: str, shards: tuple[str, ...], dry_run: bool, yes: bool, endpoint: str, as_json: bool
) -> None:
    """Move the position of a disabled mapping, so that records are processed once more, or never.

    What is noted with a position is dropped: attempts, lanes and open windows start afresh. It is refused as long as
    any node reads for the mapping: disable it on each of them, and enable it again afterwards.
    """
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.asking import command as do  # noqa: PLC0415

    body = _body(target, shards)
    path = f"/penstock/v1/mappings/{quote(name, safe='')}"
    if not dry_run and not yes and not sys.stdin.isatty():
        raise Wrong("a seek repeats records or passes them over: say --yes where nobody can be asked")
    # What can never be done is said before anybody disables anything for it.
    found = do(endpoint, f"{path}/seek", {**body, "dry_run": True}, timeout_s=TIMEOUT_S)
    if dry_run:
        _tell(found, as_json=as_json)
        return
    state = ask(endpoint, path)["state"]
    if state != "Disabled":
        raise Failure(f"{name} is {state} on this node; disable it first: penstock mapping disable {name}")
    if not yes:
        _show(found, err=as_json)
        if not click.confirm("Move the position?", err=True):
            raise Failure("nothing was moved")
    found = do(endpoint, f"{path}/seek", body, timeout_s=TIMEOUT_S)
    if as_json or yes:
        _tell(found, as_json=as_json)
    if not as_json:
        click.echo(f"moved; {found['mapping']} goes on from there once it is enabled: penstock mapping enable {name}")


def _body(target: str, shards: tuple[str, ...]) -> dict[str, Any]:
    import datetime as dt  # noqa: PLC0415 - `--help` needs none of these

    from penstock.cli.starts import read_start  # noqa: PLC0415

    start = read_start("--to", target)
    body: dict[str, Any] = {"shards": list(shards)}
    if isinstance(start, int):
        return {**body, "to": "POSITION", "position": start}
    if start.timestamp_ms is not None:
        moment = dt.datetime.fromtimestamp(start.timestamp_ms / 1000, dt.UTC)
        return {**body, "to": start.position, "timestamp": moment.isoformat()}
    return {**body, "to": start.position}


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    from penstock.cli.output import write_json  # noqa: PLC0415 - `--help` needs none of these

    if as_json:
        write_json(found)
    else:
        _show(found, err=False)


def _show(found: dict[str, Any], *, err: bool) -> None:
    from penstock.cli.output import write_table  # noqa: PLC0415 - `--help` needs none of these

    rows = [
        (each["shard"], "none settled yet" if each["before"] is None else str(each["before"]), str(each["after"]))
        for each in found["shards"]
    ]
    if err:
        for row in rows:
            click.echo("  ".join(row), err=True)
    else:
        write_table(HEADERS, rows)
    noted = sum(1 for each in found["shards"] if each["drops_note"])
    if noted:
        shards = "1 shard" if noted == 1 else f"{noted} shards"
        click.echo(f"{shards} with attempts, lanes or a window under way: they start afresh", err=err)
