"""`penstock source`: the sources of a configuration, and what is there on their brokers."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from penstock.api import ShowsSource, SourceContext, SourceType
from penstock.cli.loading import context_of, load_project, operations_of, source_of
from penstock.cli.options import command, data_dir_option, debug_option, example_text, file_option
from penstock.cli.output import write_json, write_table
from penstock.configuration import Project, SourceConfig
from penstock.plugins.registry import capability_names


@click.group(epilog=example_text("penstock source list\npenstock source show orders"))
@debug_option
def source() -> None:
    """Look at sources, and what is on their brokers."""


@command("list", example="penstock source list\npenstock source list --json")
@file_option()
@data_dir_option
def list_sources(*, file: str, data_dir: Path | None, as_json: bool) -> None:
    """List the sources of the configuration, with the mappings that read each. Connects to nothing."""
    project = load_project(file, data_dir)
    listed = [_listed(project, each) for each in project.sources.values()]
    if as_json:
        write_json(listed)
        return
    rows = [
        (each["name"], each["type"], each["kind"], ", ".join(each["mappings"]) or "-", each["arn"]) for each in listed
    ]
    write_table(("SOURCE", "TYPE", "KIND", "READ BY", "ARN"), rows)


@command("show", example="penstock source show orders\npenstock source show orders --json")
@click.argument("name", metavar="SOURCE")
@file_option()
@data_dir_option
def show_source(*, name: str, file: str, data_dir: Path | None, as_json: bool) -> None:
    """Show what SOURCE is: its settings, what its type can do, and what is there on its broker now.

    Nothing is taken or changed. Ends with 2 when the broker refuses, and with 3 when it can not be reached.
    """
    project = load_project(file, data_dir)
    config = source_of(project, name)
    shown = _listed(project, config) | {
        "settings": dict(project.masked["Sources"][config.name]),
        "can": list(capability_names(config.type.capabilities)),
        "event_formats": list(config.type.event_formats),
    }
    if not as_json:
        _write(shown)
    found = asyncio.run(_found(config.type, context_of(project, config)))
    if as_json:
        write_json(shown | {"found": None if found is None else dict(found)})
    elif found is None:
        click.echo(f"a source of type {config.type.name} does not tell what is there")
    else:
        _write({"found": found})


source.add_command(list_sources, "list")
source.add_command(show_source, "show")


def _listed(project: Project, config: SourceConfig) -> dict[str, Any]:
    return {
        "name": config.name,
        "type": config.type.name,
        "kind": config.type.kind,
        "arn": config.arn,
        "mappings": [mapping.name for mapping in project.mappings if mapping.source.name == config.name],
    }


async def _found(source_type: SourceType, context: SourceContext) -> Mapping[str, str] | None:
    if source_type.operate is None:
        return None
    operations = operations_of(source_type, context)
    try:
        return await operations.show() if isinstance(operations, ShowsSource) else None
    finally:
        await operations.close()


def _write(shown: Mapping[str, Any], indent: str = "") -> None:
    """Write names and values in lines of their own, a section below its name."""
    for name, value in shown.items():
        if isinstance(value, Mapping):
            click.echo(f"{indent}{name}:")
            _write(value, indent + "  ")
        else:
            click.echo(f"{indent}{name}: {_text(value)}")


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_text, value)) or "-"
    return str(value).lower() if isinstance(value, bool) else str(value)
