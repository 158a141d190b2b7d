"""Reads a configuration file: YAML in, a `Project` out, or everything that is wrong with it at once."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from penstock.configuration.destinations import DestinationReader
from penstock.configuration.findings import ConfigurationError, Findings
from penstock.configuration.functions import Function, FunctionReader
from penstock.configuration.mappings import MappingReader, guessed_kind, refuse_second_readers
from penstock.configuration.masking import mask_function
from penstock.configuration.names import PROJECT_NAME, PROJECT_NAME_ALLOWED, project_name
from penstock.configuration.node import read_node_settings
from penstock.configuration.project import Finding, MappingConfig, NodeSettings, Project
from penstock.configuration.sources import Source, SourceReader
from penstock.configuration.tree import Entry, Scalar, Section, YamlError, parse
from penstock.configuration.validator import Validator, nearest
from penstock.plugins import Registry

SECTIONS = ("Name", "Connections", "Sources", "Functions", "Globals", "Settings")
NOTES = "x-notes"
"""Where a configuration as understood says how a value came about that is not the file's own."""
FILE_BYTES_MAX = 8_388_608


@dataclass(frozen=True, slots=True)
class _Read:
    """What the sections gave."""

    name: str
    settings: NodeSettings
    sources: dict[str, Source | None]
    functions: dict[str, Function]
    mappings: list[MappingConfig]
    masked: dict[str, Any]


def load(
    path: str | Path,
    registry: Registry,
    *,
    data_dir: Path | None = None,
    environ: Mapping[str, str] | None = None,
    clock: Callable[[], float] = time.time,
) -> Project:
    """Read and check a configuration without connecting to anything.

    `data_dir` is the command line's, which wins. `clock` gives Unix seconds. Raises ConfigurationError with every
    mistake at once; messages name the file as `path` does. A source whose plugin can not be loaded is none of them:
    see `Project.problems`.
    """
    findings = Findings(str(path))
    root = _parse(path, findings)
    folder = Path(os.path.abspath(path)).parent  # noqa: PTH100 - a link to the file does not move its folder
    validator = Validator(findings, environ=os.environ if environ is None else environ, folder=folder)
    read = _Reader(validator, registry, Path(path).parent, data_dir, clock).read(root)
    mask = mask_function(validator.secrets)
    findings.raise_errors(mask)
    return Project(
        name=read.name,
        file=folder / Path(path).name,
        folder=folder,
        settings=read.settings,
        sources={name: source.config for name, source in read.sources.items() if source is not None},
        functions={name: each.config for name, each in read.functions.items() if each.config is not None},
        mappings=tuple(read.mappings),
        warnings=findings.warnings(mask),
        masked=read.masked,
        secrets=frozenset(validator.secrets),
        problems=findings.problems(mask),
    )


def _parse(path: str | Path, findings: Findings) -> Section:
    try:
        with Path(path).open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
        if len(content) > FILE_BYTES_MAX:
            raise _alone(findings, 0, f"is larger than {FILE_BYTES_MAX} bytes")
        return parse(content.decode("utf-8-sig"))
    except FileNotFoundError:
        raise _alone(
            findings, 0, "there is no such file", "name one with --file, or make one with `penstock init`"
        ) from None
    except OSError as error:
        raise _alone(findings, 0, f"can not be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise _alone(findings, line, "bad YAML: the file is not text in UTF-8") from None
    except YamlError as error:
        raise _alone(findings, error.line, error.problem, error.allowed) from None


def _alone(findings: Findings, line: int, problem: str, allowed: str = "") -> ConfigurationError:
    return ConfigurationError([Finding(file=findings.file, line=line, path="", problem=problem, allowed=allowed)])


class _Reader:
    """Reads the sections in the order in which they need each other."""

    def __init__(
        self,
        validator: Validator,
        registry: Registry,
        folder_shown: Path,
        data_dir: Path | None,
        clock: Callable[[], float],
    ) -> None:
        self._validator = validator
        self._findings = validator.findings
        self._registry = registry
        self._folder_shown = folder_shown
        self._data_dir = data_dir
        self._clock = clock

    def read(self, root: Section) -> _Read:
        self._check_sections(root)
        name = self._name(root)
        settings, settings_part = read_node_settings(
            self._validator, *self._section(root, "Settings"), data_dir=self._data_dir
        )
        functions_section, _ = self._section(root, "Functions")
        source_reader = SourceReader(self._validator, self._registry, settings)
        connections_shown = source_reader.read_connections(self._section(root, "Connections")[0])
        sources = source_reader.read_sources(self._section(root, "Sources")[0], _kinds(functions_section))
        function_reader = FunctionReader(self._validator, settings, folder_shown=self._folder_shown)
        function_reader.read_globals(self._section(root, "Globals")[0])
        functions = function_reader.read(functions_section)
        destinations = DestinationReader(
            self._findings,
            self._registry,
            project=name,
            folder=self._validator.folder,
            node=settings,
            sources=sources,
            functions=functions,
        )
        destinations.read_dead_letter_targets()
        mapping_reader = MappingReader(self._validator, name, sources, destinations, clock=self._clock)
        mappings: list[MappingConfig] = []
        for function_name, function in functions.items():
            found, shown = mapping_reader.read(function_name, function)
            mappings += found
            if shown:
                function.part.shown["Events"] = shown
        refuse_second_readers(mappings, self._findings)
        masked = {
            "Name": name,
            **({"Connections": connections_shown} if connections_shown else {}),
            "Sources": {name: source.part.shown for name, source in sources.items() if source},
            "Functions": {name: function.part.shown for name, function in functions.items()},
            "Settings": settings_part.shown,
            **({NOTES: notes} if (notes := self._findings.notes()) else {}),
        }
        return _Read(name, settings, sources, functions, mappings, _plain(masked))

    def _check_sections(self, root: Section) -> None:
        for key, entry in root.entries.items():
            if key not in SECTIONS and not key.startswith("x-"):
                self._findings.error(entry.line, key, "is not known", nearest(key, SECTIONS))

    def _section(self, root: Section, key: str) -> tuple[Section, int]:
        entry = root.entries.get(key)
        if entry is None:
            return Section({}, 1), 1
        if isinstance(entry.node, Section):
            return entry.node, entry.line
        if not isinstance(entry.node, Scalar) or entry.node.value is not None:
            self._findings.error(entry.line, key, "is not an object", "names, each with its settings")
        return Section({}, entry.line), entry.line

    def _name(self, root: Section) -> str:
        entry = root.entries.get("Name")
        if entry is None:
            return project_name(self._validator.folder.name)
        made = self._validator.text(entry.node, "Name", entry.line) if isinstance(entry.node, Scalar) else None
        if made is not None and PROJECT_NAME.match(made.text):
            return made.text
        shown = repr(made.shown) if made else "not a text"
        self._findings.error(entry.line, "Name", f"is {shown}", PROJECT_NAME_ALLOWED)
        return project_name(self._validator.folder.name)


def _kinds(functions: Section) -> dict[str, str]:
    """Guess which kind each source is, from the mappings that name it."""
    kinds: dict[str, str] = {}
    for entry in functions.entries.values():
        events = entry.node.entries.get("Events") if isinstance(entry.node, Section) else None
        if events is None or not isinstance(events.node, Section):
            continue
        for event in events.node.entries.values():
            source = _source_named(event)
            if source:
                kinds[source] = guessed_kind(event)
    return kinds


def _source_named(event: Entry) -> str:
    source = event.node.entries.get("Source") if isinstance(event.node, Section) else None
    return source.node.text if source is not None and isinstance(source.node, Scalar) else ""


def _plain(value: Any) -> Any:
    """Turn a tree into what YAML and JSON both know."""
    if isinstance(value, Mapping):
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    return value if value is None or isinstance(value, bool | int | float) else str(value)
