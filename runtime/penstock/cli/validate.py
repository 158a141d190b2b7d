"""`penstock validate`: is the configuration right, and with `--connect`: does it work?"""

import asyncio
import dataclasses
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import click

from penstock.cli.failures import WRONG, Failure
from penstock.cli.loading import load_project
from penstock.cli.options import command, data_dir_option, file_option
from penstock.cli.output import write_json
from penstock.cli.session import session
from penstock.configuration import ConfigurationError, Finding, Project
from penstock.plugins import Registry, load_plugins


@command("validate", example="penstock validate\npenstock validate -f shop/penstock.yaml --connect")
@click.option(
    "--connect", is_flag=True, help="Also look at brokers, sources and destinations, and import every function."
)
@file_option()
@data_dir_option
def validate(*, connect: bool, file: str, data_dir: Path | None, as_json: bool) -> None:
    """Check a configuration, without connecting to anything unless --connect is given.

    Ends with 2 if something is wrong, and with 3 if nothing is but a broker can not be reached.
    """
    try:
        registry = load_plugins()
        project = load_project(file, data_dir, registry=registry)
    except ConfigurationError as error:
        _report(error.findings, (), None, as_json=as_json)
        raise Failure(code=WRONG) from None
    errors, code = list(project.problems), WRONG if project.problems else 0
    if connect:
        found, code = asyncio.run(_connected(project, registry, file, code))
        errors += found
    _report(errors, project.warnings, project, as_json=as_json)
    if code:
        raise Failure(code=code)


async def _connected(project: Project, registry: Registry, file: str, code: int) -> tuple[list[Finding], int]:
    # Imported here: without --connect nothing of the functions' machinery is needed.
    from penstock.cli.connecting import connect, worst_code  # noqa: PLC0415
    from penstock.cli.destination_check import check_destinations  # noqa: PLC0415

    found, of_destinations = await asyncio.gather(connect(project, file), check_destinations(project, registry, file))
    said = {finding.problem for finding in project.problems}
    checked = [each for each in (*found, *of_destinations) if each.finding.problem not in said]
    in_order = sorted((each.finding for each in checked), key=lambda finding: finding.line)
    return in_order, code or worst_code(checked)


def _report(errors: Sequence[Finding], warnings: Sequence[Finding], project: Project | None, *, as_json: bool) -> None:
    current = session()
    if as_json:
        write_json(
            {
                "valid": not errors,
                "errors": [_described(each, current.mask) for each in errors],
                "warnings": [_described(each, current.mask) for each in warnings],
            }
        )
        return
    for each in errors:
        current.say(str(each))
    for each in warnings:
        current.say(_warning(each))
    if not errors and project is not None:
        counts = (
            _count(len(project.sources), "source"),
            _count(len(project.functions), "function"),
            _count(len(project.mappings), "mapping"),
        )
        click.echo(f"{project.name} is valid: {', '.join(counts)}")


def _described(finding: Finding, mask: Callable[[str], str]) -> dict[str, Any]:
    return {key: mask(value) if isinstance(value, str) else value for key, value in dataclasses.asdict(finding).items()}


def _warning(finding: Finding) -> str:
    return str(dataclasses.replace(finding, path=f"warning: {finding.path}"))


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
