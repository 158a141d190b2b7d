"""The `Events` of functions: each one a mapping, with Lambda's names translated into the core's."""

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from penstock.api import QueueCapabilities, Setting, SettingsError
from penstock.configuration.destinations import DestinationReader
from penstock.configuration.draft import Draft
from penstock.configuration.filters import read_criteria
from penstock.configuration.findings import Findings
from penstock.configuration.functions import Function
from penstock.configuration.names import FUNCTION_NAME, FUNCTION_NAME_ALLOWED, find_source, mapping_uuid
from penstock.configuration.project import MappingConfig, SourceConfig
from penstock.configuration.queue_mappings import queue_settings, warn_of_queue
from penstock.configuration.sources import Source
from penstock.configuration.starting import read_start
from penstock.configuration.stream_mappings import stream_settings, warn_of_stream
from penstock.configuration.tree import Entry, Scalar, Section
from penstock.configuration.validator import Part, Validator, nearest
from penstock.configuration.vocabulary import EVENT_FORMATS_LATER, EVENT_FORMATS_SUPPORTED, NOT_YET, mapping_table


class MappingReader:
    """Reads the events of all functions of one file."""

    def __init__(
        self,
        validator: Validator,
        project: str,
        sources: Mapping[str, Source | None],
        destinations: DestinationReader,
        *,
        clock: Callable[[], float],
    ) -> None:
        """Take the sources (None: known and wrong), who reads destinations, and the time, in Unix seconds."""
        self._validator = validator
        self._findings: Findings = validator.findings
        self._project = project
        self._sources = sources
        self._destinations = destinations
        self._clock = clock

    def read(self, name: str, function: Function) -> tuple[list[MappingConfig], dict[str, Any]]:
        """Check a function's events; gives the mappings and what may be shown of them."""
        entry = function.events
        if entry is None or (isinstance(entry.node, Scalar) and entry.node.value is None):
            return [], {}
        path = f"Functions.{name}.Events"
        if not isinstance(entry.node, Section):
            self._findings.error(entry.line, path, "is not an object", "a name and settings for each event")
            return [], {}
        mappings: list[MappingConfig] = []
        shown: dict[str, Any] = {}
        for event, each in entry.node.entries.items():
            mapping, part = self._mapping(f"{name}.{event}", f"{path}.{event}", event, each, function)
            shown[event] = part.shown
            if mapping is not None:
                mappings.append(mapping)
        return mappings, shown

    def _mapping(
        self, name: str, path: str, event: str, entry: Entry, function: Function
    ) -> tuple[MappingConfig | None, Part]:
        errors_before = self._findings.count()
        if not FUNCTION_NAME.match(event):
            self._findings.error(entry.line, path, f"the name is {event!r}", FUNCTION_NAME_ALLOWED)
        if not isinstance(entry.node, Section):
            self._findings.error(entry.line, path, "is not an object", "Source and other settings")
            return None, Part(path, entry.line)
        found = self._source(entry, path)
        if found is None:
            return None, self._checked_alone(entry, path)
        source, format_of_arn = found
        table = mapping_table(source.config.type.kind, source.config.type.mapping_settings)
        part = self._validator.section(entry.node, table, path=path, line=entry.line, free=source.broken)
        part = self._validator.complete(part, table)
        event_format = self._event_format(part, source.config, format_of_arn)
        self._check_own(part, source.config)
        draft = Draft(name, part, source, function, event_format)
        criteria = read_criteria(part, event_format, self._findings)
        made = self._stream(draft) if source.config.type.kind == "stream" else self._queue(draft)
        if self._findings.count() > errors_before or made is None:
            return None, part
        part.shown.update({"Source": source.config.name, "EventFormat": event_format})
        return dataclasses.replace(made, filter_criteria=criteria), part

    def _check_own(self, part: Part, source: SourceConfig) -> None:
        """Let the source's type refuse what it declared for mappings."""
        check = source.type.check_mapping_settings
        if check is None:
            return
        own = {setting.name for setting in source.type.mapping_settings}
        try:
            check(source.settings, {name: value for name, value in part.values.items() if name in own})
        except SettingsError as error:
            self._findings.error(*part.place(*error.path.split(".")), error.problem, error.allowed or "")

    def _stream(self, draft: Draft) -> MappingConfig | None:
        start = read_start(draft, self._findings, now_ms=self._clock() * 1000)
        destinations = self._destinations.read(draft)
        settings = stream_settings(draft, start, destinations, self._findings)
        warn_of_stream(draft, settings, self._findings)
        return self._made(
            draft, stream=settings, on_failure=destinations.on_failure, on_success=destinations.on_success
        )

    def _queue(self, draft: Draft) -> MappingConfig | None:
        target = self._destinations.dead_letter_target(draft.source.config)
        settings = queue_settings(draft, self._findings)
        warn_of_queue(draft, settings, self._findings)
        return self._made(draft, queue=settings, dead_letter_target=target)

    def _made(self, draft: Draft, **of_kind: Any) -> MappingConfig | None:
        if draft.function.config is None:  # wrong, and said so
            return None
        own = {setting.name for setting in draft.source.config.type.mapping_settings}
        return MappingConfig(
            name=draft.name,
            uuid=mapping_uuid(self._project, draft.name),
            function=draft.function.config,
            source=draft.source.config,
            event_format=draft.event_format,
            enabled=draft.part.values["Enabled"],
            settings={key: value for key, value in draft.part.values.items() if key in own},
            line=draft.part.line,
            **of_kind,
        )

    def _source(self, entry: Entry, path: str) -> tuple[Source, str | None] | None:
        assert isinstance(entry.node, Section)  # the caller looked
        reference = entry.node.entries.get("Source")
        if reference is None or not isinstance(reference.node, Scalar) or reference.node.value is None:
            return None
        made = self._validator.text(reference.node, f"{path}.Source", reference.line)
        if made is None:
            return None
        arns = {name: source.own_arn if source else None for name, source in self._sources.items()}
        names, event_format = find_source(made.text, arns)
        if len(names) == 1:
            source = self._sources[names[0]]
            return None if source is None else (source, event_format)
        problem = f"{made.shown!r} names {' and '.join(names)}" if names else f"there is no source {made.shown!r}"
        self._findings.error(
            reference.line,
            f"{path}.Source",
            problem,
            "name one of them" if names else nearest(made.text, self._sources),
        )
        return None

    def _checked_alone(self, entry: Entry, path: str) -> Part:
        """Check what can be checked of a mapping whose source is not known: its keys, by the kind they look like."""
        kind = guessed_kind(entry)
        part = self._validator.section(entry.node, mapping_table(kind, ()), path=path, line=entry.line, free=True)
        source = (Setting("Source", "text", required=True, doc="a name of the section Sources"),)
        return self._validator.complete(part, source)

    def _event_format(self, part: Part, source: SourceConfig, format_of_arn: str | None) -> str:
        chosen: str = part.values["EventFormat"] or format_of_arn or source.type.event_formats[0]
        place = part.place("EventFormat") if part.values["EventFormat"] else part.place("Source")
        offered = [name for name in source.type.event_formats if name in EVENT_FORMATS_SUPPORTED]
        if chosen in source.type.event_formats and chosen not in EVENT_FORMATS_SUPPORTED:
            self._findings.error(*place, f"the event format {chosen!r} {NOT_YET}", f"one of {', '.join(offered)}")
        elif chosen not in source.type.event_formats:
            later = f" {NOT_YET}" if chosen in EVENT_FORMATS_LATER else " is not one of this source's"
            allowed = f"a source of type {source.type.name} has {', '.join(offered)}"
            self._findings.error(*place, f"the event format {chosen!r}{later}", allowed)
        return chosen


def guessed_kind(entry: Entry) -> str:
    """Guess from a mapping's keys whether its source is a stream or a queue."""
    return "stream" if isinstance(entry.node, Section) and "StartingPosition" in entry.node.entries else "queue"


def refuse_second_readers(mappings: Iterable[MappingConfig], findings: Findings) -> None:
    """Refuse a second mapping on a FIFO queue that one receiver has as a whole: it would stand by for ever."""
    readers: dict[str, str] = {}
    for mapping in mappings:
        source = mapping.source
        capabilities = source.type.capabilities
        is_whole = isinstance(capabilities, QueueCapabilities) and capabilities.exclusive
        if not (is_whole and source.settings.get("FifoQueue") and mapping.enabled):
            continue
        first = readers.setdefault(source.name, mapping.name)
        if first != mapping.name:
            function, _, event = mapping.name.partition(".")
            path = f"Functions.{function}.Events.{event}.Source"
            problem = f"{source.name!r} is read by {first} already, and one mapping has the whole of this FIFO queue"
            findings.error(mapping.line, path, problem, "one mapping, or others with Enabled: false")
