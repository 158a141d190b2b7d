"""What `validate --connect` does: every source that is used is looked at, every function is imported."""

import asyncio
import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from penstock.api import MappingContext, PenstockError, SourceMissing, SourceUnavailable
from penstock.cli.failures import FAILED, UNREACHABLE, WRONG, exit_code
from penstock.cli.loading import context_of, operations_of
from penstock.configuration import Finding, FunctionConfig, MappingConfig, Project, SourceConfig
from penstock.functions import FunctionHost, check_import

SOURCE_TIMEOUT_S = 60.0
FUNCTIONS_AT_ONCE = 4


@dataclass(frozen=True, slots=True)
class Checked:
    """Something that was found wrong by connecting, and the exit code that it stands for."""

    finding: Finding
    code: int


async def connect(project: Project, file: str) -> list[Checked]:
    """Look at the sources that mappings use, and load every function; gives what is wrong, by line."""
    used = {mapping.source.name: mapping.source for mapping in project.mappings}
    sources = asyncio.gather(*(_check_source(project, source, file) for source in used.values()))
    found, functions = await asyncio.gather(sources, _check_functions(project, file))
    everything = [*(each for checked in found for each in checked), *functions]
    return sorted(everything, key=lambda each: each.finding.line)


def worst_code(checked: Sequence[Checked]) -> int:
    """Give the exit code for all together: what is wrong weighs more than what could not be reached."""
    codes = {each.code for each in checked}
    return next((code for code in (WRONG, UNREACHABLE, FAILED) if code in codes), 0)


async def _check_source(project: Project, source: SourceConfig, file: str) -> list[Checked]:
    """Look at a source; when it is well, whether each mapping may read it in its own way."""
    place = Finding(file=file, line=source.line, path=f"Sources.{source.name}", problem="")
    found = await _look(project, source, None, place)
    if found:
        return found
    for mapping in project.mappings:
        if mapping.source.name == source.name:
            function, _, event = mapping.name.partition(".")
            place = Finding(file=file, line=mapping.line, path=f"Functions.{function}.Events.{event}", problem="")
            found += await _look(project, source, mapping, place)
    return found


async def _look(project: Project, source: SourceConfig, mapping: MappingConfig | None, place: Finding) -> list[Checked]:
    def wrong(problem: str, code: int) -> list[Checked]:
        return [Checked(dataclasses.replace(place, problem=problem), code)]

    if source.type.operate is None:
        return []
    try:
        async with asyncio.timeout(SOURCE_TIMEOUT_S):
            operations = operations_of(source.type, context_of(project, source))
            try:
                await operations.check(mapping=None if mapping is None else _context(mapping))
            finally:
                await operations.close()
    except SourceMissing as error:
        return [] if source.create else wrong(str(error), WRONG)
    except TimeoutError:
        return wrong(f"did not answer within {SOURCE_TIMEOUT_S:.0f} seconds", UNREACHABLE)
    except SourceUnavailable as error:
        return wrong(str(error), UNREACHABLE)
    except PenstockError as error:
        return wrong(str(error), exit_code(error))
    return []


def _context(mapping: MappingConfig) -> MappingContext:
    # Only looked at, never opened: no node's, and without room for records.
    return MappingContext(
        mapping=mapping.name, uuid=mapping.uuid, node="", settings=mapping.settings, buffer_bytes_max=0
    )


async def _check_functions(project: Project, file: str) -> list[Checked]:
    with tempfile.TemporaryDirectory(prefix="penstock-validate-") as folder:
        limit = asyncio.Semaphore(FUNCTIONS_AT_ONCE)
        # A folder of its own: what an import prints here does not belong into the function's log.
        async with FunctionHost(data_dir=Path(folder)) as host:

            async def check(config: FunctionConfig) -> Checked | None:
                async with limit:
                    return await _check_function(host, config, file)

            found = await asyncio.gather(*(check(config) for config in project.functions.values()))
    return [each for each in found if each is not None]


async def _check_function(host: FunctionHost, config: FunctionConfig, file: str) -> Checked | None:
    problem = await check_import(host, config.spec)
    if problem is None:
        return None
    path = f"Functions.{config.spec.name}.Handler"
    return Checked(Finding(file=file, line=config.handler_line, path=path, problem=problem), WRONG)
