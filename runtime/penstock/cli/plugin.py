"""`penstock plugin list`: what is installed, and what is wrong with it."""

import dataclasses

import click

from penstock.api import API_VERSION
from penstock.cli.options import command, debug_option, example_text
from penstock.cli.output import write_json, write_table
from penstock.cli.session import session
from penstock.plugins import PluginInfo, load_plugins


@click.group(epilog=example_text("penstock plugin list"))
@debug_option
def plugin() -> None:
    """Show the plugins that are installed."""


@command("list", example="penstock plugin list\npenstock plugin list --json")
def list_plugins(*, as_json: bool) -> None:
    """List every plugin found: version, API version, source types, destinations, capabilities.

    One that failed to load is listed with the reason; the others work all the same.
    """
    plugins = load_plugins().plugins
    if as_json:
        write_json([{**dataclasses.asdict(each), "capabilities": dict(each.capabilities)} for each in plugins])
        return
    write_table(("PLUGIN", "VERSION", "API", "TYPE", "CAPABILITIES"), [row for each in plugins for row in _rows(each)])
    for each in plugins:
        if each.error:
            session().say(f"{each.name}: {each.error}")


plugin.add_command(list_plugins, "list")


def _rows(each: PluginInfo) -> list[tuple[str, str, str, str, str]]:
    api_version = "-" if each.api_version is None else str(each.api_version)
    head = (each.name, each.version or "-", api_version)
    if each.error:
        return [(*head, "failed to load", f"(this Penstock has API version {API_VERSION})")]
    parts = [
        *((name, ", ".join(each.capabilities[name])) for name in each.source_types),
        *((f"{scheme}:", "destination") for scheme in each.destinations),
        *((runtime, "executor") for runtime in each.executors),
    ]
    return [((*head, *part) if number == 0 else ("", "", "", *part)) for number, part in enumerate(parts)]
