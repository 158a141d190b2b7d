"""`penstock status`: the node at a glance."""

from typing import TYPE_CHECKING, Any

import click

from penstock.cli.options import command, endpoint_option

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = ("MAPPING", "STATE", "SOURCE", "SHARD", "LAG", "IN FLIGHT", "ATTEMPTS", "BLOCKED SINCE", "LAST RESULT")


@command("status", example="penstock status\npenstock status --json | jq '.mappings[].last_result'")
@endpoint_option
def status(endpoint: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Show the node at a glance: mappings, states, shards or queues, lag, in flight, blocked since, last result."""
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.output import write_json, write_table  # noqa: PLC0415

    found = ask(endpoint, "/penstock/v1/status")
    if as_json:
        write_json(found)
        return
    click.echo(
        f"{found['project']}: {found['state']}, up {_duration(found['uptime_s'])}, pid {found['pid']}, "
        f"{found['concurrency_in_use']} of {found['concurrency_max']} environments in use"
    )
    rows = [row for mapping in found["mappings"] for row in _rows(mapping)]
    if rows:
        write_table(HEADERS, rows)
    for line in (*_counted(found["mappings"]), *_troubles(found["mappings"])):
        click.echo(line)


def _rows(mapping: dict[str, Any]) -> "Iterator[tuple[str, ...]]":
    head = (mapping["name"], mapping["state"], mapping["source"])
    queue = mapping["queue"]
    if queue is not None:
        in_flight = sum(batch["records"] for batch in queue["in_flight"])
        yield (*head, "", "", str(in_flight), "", "", mapping["last_result"])
        return
    if not mapping["shards"]:
        yield (*head, "", "", "0", "", "", mapping["last_result"])
    for number, shard in enumerate(mapping["shards"]):
        yield (
            *(head if number == 0 else ("", "", "")),
            shard["shard"],
            "" if shard["lag"] is None else str(shard["lag"]),
            str(shard["in_flight"]["records"]) if shard["in_flight"] else "0",
            str(shard["attempts"]),
            shard["blocked_since"] or "",
            mapping["last_result"] if number == 0 else "",
        )


def _counted(mappings: list[dict[str, Any]]) -> "Iterator[str]":
    for mapping in mappings:
        counters = mapping["counters"]
        figures = {"polled": counters["polled"], "filtered out": counters["filtered"], "invoked": counters["invoked"]}
        figures |= {"processed": counters["processed"], "given up": counters["dropped"]}
        if counters["polled"]:
            yield f"{mapping['name']}: " + ", ".join(f"{count} {name}" for name, count in figures.items())


def _troubles(mappings: list[dict[str, Any]]) -> "Iterator[str]":
    for mapping in mappings:
        if mapping["warning"]:
            yield f"{mapping['name']}: {mapping['warning']}"
        for shard in mapping["shards"]:
            if shard["last_error"]:
                yield f"{mapping['name']}, shard {shard['shard']}: {shard['last_error']}{_next_try(shard)}"
        queue = mapping["queue"]
        if queue is not None and queue["last_error"]:
            yield f"{mapping['name']}: {queue['last_error']}{_next_try(queue)}"


def _next_try(part: dict[str, Any]) -> str:
    return f" (next try {part['next_try']})" if part["next_try"] else ""


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    parts = [f"{number} {unit}" for number, unit in ((days, "d"), (hours, "h"), (minutes, "min")) if number]
    return " ".join(parts[:2]) or f"{rest} s"
