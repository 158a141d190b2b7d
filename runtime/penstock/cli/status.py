"""`penstock status`: the node at a glance."""

from datetime import datetime
from typing import TYPE_CHECKING, Any

import click

from penstock.cli.options import command, endpoint_option

if TYPE_CHECKING:
    from collections.abc import Iterator

HEADERS = ("MAPPING", "STATE", "SOURCE", "SHARD", "LAG", "IN FLIGHT", "BLOCKED", "LAST RESULT")
"""With names of usual lengths the table fits into 100 columns; what is longer than a word stands below it."""
RESULTS = {"No records processed": "none yet"}


@command("status", example="penstock status\npenstock status --json | jq '.mappings[].last_result'")
@endpoint_option
def status(endpoint: str, as_json: bool) -> None:  # noqa: FBT001 - click passes flags by name
    """Show the node at a glance: mappings, states, shards or queues, lag, in flight, for how long blocked, last result.

    LAG is in records, with the age of the oldest one that was read and is not done. Below the table stand what was
    counted, open windows, and every problem with its shard, its attempts and its next try.
    """
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.output import write_json, write_table  # noqa: PLC0415

    found = ask(endpoint, "/penstock/v1/status")
    if as_json:
        write_json(found)
        return
    clock = _Clock(found)
    click.echo(
        f"{found['project']}: {found['state']}, up {_duration(found['uptime_s'])}, pid {found['pid']}, "
        f"{found['concurrency_in_use']} of {found['concurrency_max']} environments in use"
    )
    rows = [row for mapping in found["mappings"] for row in _rows(mapping, clock)]
    if rows:
        write_table(HEADERS, rows)
    for mapping in found["mappings"]:
        for line in (*_counted(mapping), *_problems(mapping, clock)):
            click.echo(line)


class _Clock:
    """The node's own time, which need not be ours."""

    def __init__(self, found: dict[str, Any]) -> None:
        self._now_s = datetime.fromisoformat(found["started"]).timestamp() + found["uptime_s"]

    def since(self, time: str) -> str:
        return _duration(self._now_s - datetime.fromisoformat(time).timestamp())

    def next_try(self, time: str | None) -> str:
        if time is None:
            return ""
        wait_s = datetime.fromisoformat(time).timestamp() - self._now_s
        return f"; next try in {_duration(wait_s)}" if wait_s > 0 else "; next try now"


def _rows(mapping: dict[str, Any], clock: _Clock) -> "Iterator[tuple[str, ...]]":
    head = (mapping["name"], mapping["state"], mapping["source"])
    result = mapping["last_result"]
    result = RESULTS.get(result, result.partition(":")[0])
    if not mapping["shards"]:
        yield (*head, "", "", str(mapping["in_flight"]), "", result)
    for number, shard in enumerate(mapping["shards"]):
        yield (
            *(head if number == 0 else ("", "", "")),
            shard["shard"],
            _lag(shard),
            _in_flight(shard),
            _blocked(shard, clock),
            result if number == 0 else "",
        )


def _lag(shard: dict[str, Any]) -> str:
    if shard["lag"] is None:
        return ""
    return str(shard["lag"]) + (
        f" ({_short(_duration(age_s))})" if (age_s := shard["oldest_age_s"]) is not None else ""
    )


def _in_flight(shard: dict[str, Any]) -> str:
    busy = sum(lane["in_flight"] is not None for lane in shard["lanes"])
    return str(shard["in_flight_records"]) + (f" ({busy} lanes)" if busy > 1 else "")


def _blocked(shard: dict[str, Any], clock: _Clock) -> str:
    if shard["state"] == "held":
        return "held"
    if shard["blocked_since"] is None:
        return ""
    return _short(clock.since(shard["blocked_since"]))


def _counted(mapping: dict[str, Any]) -> "Iterator[str]":
    counters = mapping["counters"]
    if not counters["polled"]:
        return
    if mapping["queue"] is not None:
        figures = {"polled": "polled", "filtered": "filtered out", "invoked": "invoked"}
        figures |= {"processed": "processed", "dropped": "given up"}
        yield f"{mapping['name']}: " + ", ".join(f"{counters[name]} {word}" for name, word in figures.items())
        return
    parts = {"filtered": "filtered out", "invoked_first": "invoked", "dropped_before": "never invoked"}
    parts |= {"buffered": "buffered"} | ({"let_go": "let go of"} if counters["let_go"] else {})
    summands = " + ".join(f"{counters[name]} {word}" for name, word in parts.items())
    yield f"{mapping['name']}: {counters['polled']} polled = {summands}"
    figures = {"processed": "processed", "dropped": "given up"}
    rare = {"failed_invocations": "failed invocations", "delivered": "delivered", "late": "late", "lost": "lost"}
    figures |= {name: word for name, word in rare.items() if counters[name]}
    yield "    " + ", ".join(f"{counters[name]} {word}" for name, word in figures.items())


def _problems(mapping: dict[str, Any], clock: _Clock) -> "Iterator[str]":
    name = mapping["name"]
    if mapping["warning"]:
        yield f"{name}: {mapping['warning']}"
    if mapping["state_reason"]:
        yield f"{name}: {mapping['state_reason']}"
    if mapping["last_result"].startswith("PROBLEM: ") and not _is_said(mapping):
        error = mapping["last_error"]
        yield f"{name}: {mapping['last_result']}" + (f": {error}" if error not in mapping["last_result"] else "")
    for shard in mapping["shards"]:
        where = f"{name}, shard {shard['shard']}"
        yield from _shard_problems(where, shard, clock)
    queue = mapping["queue"]
    if queue is not None and queue["last_error"]:
        yield f"{name}: {queue['last_error']}{clock.next_try(queue['next_try'])}"


def _is_said(mapping: dict[str, Any]) -> bool:
    """The problem has a line of its own, with its shard or queue."""
    if mapping["last_result"] == f"PROBLEM: {mapping['state_reason']}":
        return True
    parts = [mapping["queue"]] if mapping["queue"] is not None else mapping["shards"]
    return any(part["last_error"] for part in parts) or mapping["delivering"] > 0


def _shard_problems(where: str, shard: dict[str, Any], clock: _Clock) -> "Iterator[str]":
    window = shard["window"]
    if window is not None:
        closing = ", closing early" if window["closing"] else ""
        yield f"{where}: window {window['start']} to {window['end']}, {window['state_bytes']} bytes of state{closing}"
    if shard["state"] == "held":
        yield f"{where}: held: {shard['last_error']}"
        return
    lanes = [lane for lane in shard["lanes"] if lane["last_error"] or lane["delivering"] is not None]
    has_many = len(shard["lanes"]) > 1
    for lane in lanes:
        yield from _lane_problems(f"{where}, lane {lane['lane']}" if has_many else where, lane, clock)
    if shard["last_error"] and not any(lane["last_error"] for lane in lanes):
        yield f"{where}: {shard['last_error']}{clock.next_try(shard['next_try'])}"


def _lane_problems(where: str, lane: dict[str, Any], clock: _Clock) -> "Iterator[str]":
    waiting = lane["delivering"]
    if waiting is not None:
        what = _span(waiting)
        if not waiting["last_error"]:
            yield f"{where}: {what} on the way to its destination for {clock.since(waiting['since'])}"
        else:
            verb = "refused" if waiting["refused"] else "not taken"
            yield (
                f"{where}: waits for its destination for {clock.since(waiting['since'])}: {what} {verb}: "
                f"{waiting['last_error']}{clock.next_try(waiting['next_try'])}"
            )
        return
    tries = f", {lane['attempts']} attempts" if lane["attempts"] > 1 else ""
    since = f"blocked for {clock.since(lane['blocked_since'])}{tries}: " if lane["blocked_since"] is not None else ""
    yield f"{where}: {since}{lane['last_error']}{clock.next_try(lane['next_try'])}"


def _span(waiting: dict[str, Any]) -> str:
    what = f"{waiting['condition']} of "
    if waiting["records"] == 1:
        return what + f"record {waiting['first']}"
    return what + f"{waiting['records']} records, {waiting['first']} to {waiting['last']},"


def _duration(seconds: float) -> str:
    from penstock.shell.wall_clock import duration  # noqa: PLC0415 - `--help` needs none of it

    return duration(seconds)


def _short(duration: str) -> str:
    """Keep the larger unit."""
    return " ".join(duration.split()[:2])
