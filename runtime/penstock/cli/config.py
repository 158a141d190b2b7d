"""`penstock config`: the configuration as understood."""

from pathlib import Path

import click
import yaml

from penstock.cli.loading import load_project
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.output import write_json


@command("config", example="penstock config\npenstock config --json | jq .Settings")
@file_option()
@data_dir_option
def config(*, file: str, data_dir: Path | None, as_json: bool) -> None:
    """Show the configuration as understood: defaults included, secrets masked."""
    project = load_project(file, data_dir)
    if as_json:
        write_json(project.masked)
    else:
        click.echo(yaml.safe_dump(dict(project.masked), sort_keys=False, allow_unicode=True), nl=False)
