"""What `validate --connect` does with destinations: is each one there, and would it take what is sent?

Nothing is written, and nothing stays. A function that is a destination is imported with all the others.
"""

import asyncio
import dataclasses
import os
import tempfile
from collections.abc import Awaitable, Iterator
from pathlib import Path

from penstock.api import PenstockError, SourceMissing, SourceUnavailable
from penstock.cli.connecting import SOURCE_TIMEOUT_S, Checked
from penstock.cli.failures import UNREACHABLE, WRONG, exit_code
from penstock.cli.loading import context_of, destination_of, operations_of
from penstock.configuration import DestinationConfig, Finding, Project, SourceConfig
from penstock.plugins import Registry

LOOKS_AT_ONCE = 8


async def check_destinations(project: Project, registry: Registry, file: str) -> list[Checked]:
    """Look at the destinations of all mappings; gives what is wrong, each at its own line."""
    limit = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def check(destination: DestinationConfig, place: Finding) -> Checked | None:
        async with limit:
            return await _checked(_look(project, registry, destination), place)

    found = await asyncio.gather(*(check(*each) for each in _destinations(project, file)))
    return [each for each in found if each is not None]


def _destinations(project: Project, file: str) -> Iterator[tuple[DestinationConfig, Finding]]:
    for mapping in project.mappings:
        function, _, event = mapping.name.partition(".")
        for key, destination in (("OnFailure", mapping.on_failure), ("OnSuccess", mapping.on_success)):
            if destination is not None:
                path = f"Functions.{function}.Events.{event}.DestinationConfig.{key}.Destination"
                yield destination, Finding(file=file, line=destination.line, path=path, problem="")


async def _checked(look: Awaitable[str], place: Finding) -> Checked | None:
    """Wait for a look, and blame what it raises on the setting that it was about."""
    try:
        async with asyncio.timeout(SOURCE_TIMEOUT_S):
            problem, code = await look, WRONG
    except TimeoutError:
        problem, code = f"did not answer within {SOURCE_TIMEOUT_S:.0f} seconds", UNREACHABLE
    except SourceUnavailable as error:
        problem, code = str(error), UNREACHABLE
    except PenstockError as error:
        problem, code = str(error), exit_code(error)
    return Checked(dataclasses.replace(place, problem=problem), code) if problem else None


async def _look(project: Project, registry: Registry, destination: DestinationConfig) -> str:
    """Say what is wrong with a destination (nothing: all is well), or raise it."""
    match destination:
        case DestinationConfig(kind="source", source=SourceConfig() as source):
            await _look_at_source(project, source)
        case DestinationConfig(kind="file", path=Path() as path):
            return _folder_problem(path)
        case DestinationConfig(kind="scheme", scheme=scheme):
            made = registry.destination_types[scheme]
            writer = made.open_destination(destination.text, {each.name: each.default for each in made.settings})
            try:
                await writer.open()
            finally:
                await writer.close()
    return ""


async def _look_at_source(project: Project, source: SourceConfig) -> None:
    context = context_of(project, source)
    looker = operations_of(source.type, context) if source.type.operate is not None else None
    writer = destination_of(source.type, context) if looker is None else None
    try:
        if looker is not None:
            await looker.check(write=True)
        elif writer is not None:
            await writer.open()
    except SourceMissing:
        if not source.create:
            raise
    finally:
        for each in (looker, writer):
            if each is not None:
                await each.close()


def _folder_problem(path: Path) -> str:
    """Tell why no document could be put into a folder, which may be made first."""
    there = next(each for each in (path, *path.parents) if os.path.lexists(each))
    if not there.is_dir():
        return f"{there} is not a folder"
    try:
        # Rights alone do not tell: of a file system that is read-only, or whose folders nobody can make.
        Path(tempfile.mkdtemp(prefix=".penstock-", dir=there)).rmdir()
    except OSError as error:
        return f"the folder {there} can not be written: {error.strerror}"
    return ""
