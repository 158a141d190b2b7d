"""`penstock mapping explain`: why a mapping is where it is, shard by shard and lane by lane."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.options import command, endpoint_option

TIMEOUT_S = 30
IDLE = "idle"


@command(
    "explain",
    example="penstock mapping explain billing.FromOrders\n"
    "penstock mapping explain billing.FromOrders --json | jq '.shards[].summary'",
)
@click.argument("name", metavar="ID")
@endpoint_option
def explain(*, name: str, endpoint: str, as_json: bool) -> None:
    """Say why a mapping is where it is: for each shard its position, the lag, the age of the oldest record, and lane by
    lane what is with the function, attempts, the last error, when it is tried next, and what waits for a destination.
    """
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.output import write_json  # noqa: PLC0415

    found = ask(endpoint, f"/penstock/v1/mappings/{quote(name, safe='')}/explain", timeout_s=TIMEOUT_S)
    if as_json:
        write_json(found)
        return
    for line in _lines(found):
        click.echo(line)


def _lines(found: dict[str, Any]) -> Iterator[str]:
    state = found["state"]
    summary = found["summary"]
    yield f"{found['name']}: {summary if summary.startswith(state) else f'{state}; {summary}'}"
    for shard in found["shards"]:
        yield f"  {shard['shard']}: {shard['summary']}"
        yield f"      {', '.join(_figures(shard))}"
        yield from _lanes(shard)
        yield from _window(shard)
        if shard["problem"]:
            yield f"      not all is known: {shard['problem']}"
    if found["queue"] is not None:
        yield from _queue(found["queue"])


def _figures(shard: dict[str, Any]) -> Iterator[str]:
    committed, reached, status = shard["committed"], shard["reached"], shard["status"]
    yield "nothing is settled yet" if committed is None or committed < 0 else f"settled up to record {committed}"
    if reached is not None and reached >= 0 and reached != committed:
        yield f"read up to {reached}"
    yield "lag not known" if shard["lag"] is None else f"lag {shard['lag']}"
    if shard["oldest_age_s"] is not None:
        from penstock.shell.wall_clock import duration  # noqa: PLC0415 - `--help` does not need it

        yield f"the oldest record is {duration(shard['oldest_age_s'])} old"
    if status is not None and status["buffered"]:
        yield f"{status['buffered']} records buffered"


def _lanes(shard: dict[str, Any]) -> Iterator[str]:
    if len(shard["lanes"]) < 2:
        return
    busy = [lane for lane in shard["lanes"] if lane["summary"] != IDLE]
    for lane in busy:
        yield f"      lane {lane['lane']}: {lane['summary']}"


def _window(shard: dict[str, Any]) -> Iterator[str]:
    window = (shard["status"] or {}).get("window")
    if window is not None:
        closing = ", which is being closed," if window["closing"] else ""
        span = f"from {window['start']} to {window['end']}"
        yield f"      the window {span}{closing} has {window['state_bytes']} bytes of state"


def _queue(queue: dict[str, Any]) -> Iterator[str]:
    from penstock.shell.wall_clock import duration  # noqa: PLC0415 - `--help` does not need it

    status, parts = queue["status"], []
    if queue["visible"] is not None:
        parts += [f"{queue['visible']} messages visible", f"{queue['delayed']} delayed or held by somebody"]
    if queue["oldest_age_s"] is not None:
        parts.append(f"the oldest is {duration(queue['oldest_age_s'])} old")
    if parts:
        yield f"  {', '.join(parts)}"
    for batch in status["in_flight"]:
        yield f"  {batch['records']} messages with the function since {batch['since']}, request {batch['request_id']}"
    if status["last_error"]:
        yield f"  last error: {status['last_error']}"
    if queue["problem"]:
        yield f"  not all is known: {queue['problem']}"
