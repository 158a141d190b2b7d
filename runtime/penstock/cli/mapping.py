"""`penstock mapping …`: the mappings of a running node, by `<function>.<event>` or UUID."""

import time
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

import click

from penstock.cli.failures import Failure
from penstock.cli.mapping_explain import explain
from penstock.cli.mapping_seek import seek
from penstock.cli.options import command, debug_option, endpoint_option, example_text

PATH = "/penstock/v1/mappings"
TIMEOUT_S = 60.0
LOOK_S = 0.1
HEADERS = ("MAPPING", "STATE", "SOURCE", "FUNCTION", "LAG", "IN FLIGHT", "LAST RESULT")


@click.group(epilog=example_text("penstock mapping list\npenstock mapping explain billing.FromOrders"))
@debug_option
def mapping() -> None:
    """Look at a node's mappings; stop, move and start them."""


def path_of(name: str, what: str = "") -> str:
    """Write the endpoint's path of one mapping."""
    return f"{PATH}/{quote(name, safe='')}" + (f"/{what}" if what else "")


def _waiting(function: Callable[..., Any]) -> Callable[..., Any]:
    function = click.option(
        "--timeout",
        type=click.FloatRange(min=0),
        default=TIMEOUT_S,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait.",
    )(function)
    return click.option("--wait/--no-wait", default=True, show_default=True, help="Wait until it is so.")(function)


@command("list", example="penstock mapping list\npenstock mapping list --json | jq '.[].state'")
@endpoint_option
def list_mappings(*, endpoint: str, as_json: bool) -> None:
    """List the node's mappings: state, source, function, lag, what is in flight, and the last result."""
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these
    from penstock.cli.output import write_json, write_table  # noqa: PLC0415

    found = ask(endpoint, PATH)["mappings"]
    if as_json:
        write_json(found)
        return
    write_table(HEADERS, [_row(each) for each in found])
    for each in found:
        if each["state_reason"]:
            click.echo(f"{each['name']}: {each['state_reason']}")


@command("show", example="penstock mapping show billing.FromOrders")
@click.argument("name", metavar="ID")
@endpoint_option
def show(*, name: str, endpoint: str, as_json: bool) -> None:
    """Show one mapping: state, counters, and its settings as they are understood. ID is its name or its UUID."""
    import yaml  # noqa: PLC0415 - `--help` needs none of these

    from penstock.cli.asking import ask  # noqa: PLC0415
    from penstock.cli.output import write_json  # noqa: PLC0415

    found = ask(endpoint, path_of(name))
    if as_json:
        write_json(found)
        return
    shown = {
        "Name": found["name"],
        "UUID": found["uuid"],
        "State": found["state"],
        "StateTransitionReason": found["state_reason"] or None,
        "LastProcessingResult": found["last_result"],
        "Lag": found["lag"],
        "Settings": found["settings"],
        "Source": {found["source"]: found["source_settings"]},
        "Function": {found["function"]: found["function_settings"]},
        "Counters": found["counters"],
    }
    told = {key: value for key, value in shown.items() if value is not None}
    click.echo(yaml.safe_dump(told, sort_keys=False, allow_unicode=True), nl=False)


@command("enable", example="penstock mapping enable billing.FromOrders")
@click.argument("name", metavar="ID")
@_waiting
@endpoint_option
def enable(*, name: str, wait: bool, timeout: float, endpoint: str, as_json: bool) -> None:
    """Let a mapping run, from its checkpoint on. It stays enabled when the node is started again.

    Waits until it reads; ends with 1 where it has a problem, which the node goes on trying to overcome.
    """
    from penstock.cli.asking import command as do  # noqa: PLC0415 - `--help` needs none of these

    found = do(endpoint, path_of(name, "enable"))
    if wait:
        found = _until(endpoint, name, _has_begun, timeout)
    _tell(found, as_json=as_json)


@command(
    "disable",
    example="penstock mapping disable billing.FromOrders\npenstock mapping disable billing.FromOrders --no-wait",
)
@click.argument("name", metavar="ID")
@_waiting
@endpoint_option
def disable(*, name: str, wait: bool, timeout: float, endpoint: str, as_json: bool) -> None:
    """Stop reading at once, let what runs end and be settled, and let go. It stays disabled until it is enabled.

    The position is kept. Other nodes that run the mapping go on, and take over what this one had.
    """
    from penstock.cli.asking import command as do  # noqa: PLC0415 - `--help` needs none of these

    found = do(endpoint, path_of(name, "disable"))
    if wait:
        found = _until(endpoint, name, lambda each: each["state"] == "Disabled", timeout)
    _tell(found, as_json=as_json)


mapping.add_command(list_mappings, "list")
mapping.add_command(show, "show")
mapping.add_command(enable, "enable")
mapping.add_command(disable, "disable")
mapping.add_command(seek, "seek")
mapping.add_command(explain, "explain")


def _row(each: dict[str, Any]) -> tuple[str, ...]:
    lag = "" if each["lag"] is None else str(each["lag"])
    in_flight = str(each["in_flight"])
    return (each["name"], each["state"], each["source"], each["function"], lag, in_flight, each["last_result"])


def _has_begun(each: dict[str, Any]) -> bool:
    if each["state"] == "Enabled":
        return True
    if each["state"] == "Disabled" and each["state_reason"]:
        raise Failure(f"{each['name']} does not run: {each['state_reason']}")
    if each["last_result"].startswith("PROBLEM"):
        raise Failure(f"{each['name']} is {each['state']}, and is tried again: {each['last_result']}")
    return False


def _until(endpoint: str, name: str, is_done: Callable[[dict[str, Any]], bool], timeout_s: float) -> dict[str, Any]:
    from penstock.cli.asking import ask  # noqa: PLC0415 - `--help` needs none of these

    deadline_s = time.monotonic() + timeout_s
    while True:
        found: dict[str, Any] = ask(endpoint, path_of(name))
        if is_done(found):
            return found
        if time.monotonic() > deadline_s:
            raise Failure(f"{found['name']} is still {found['state']} after {timeout_s:g} s; the node goes on with it")
        time.sleep(LOOK_S)


def _tell(found: dict[str, Any], *, as_json: bool) -> None:
    from penstock.cli.output import write_json  # noqa: PLC0415 - `--help` needs none of these

    if as_json:
        write_json(found)
    else:
        click.echo(f"{found['name']} is {found['state']}")
