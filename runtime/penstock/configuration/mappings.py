"""The `Events` of functions: each one a mapping, with Lambda's names translated into the core's."""

import dataclasses
import datetime as dt
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.api import Setting, SettingsError, Start, StreamCapabilities
from penstock.configuration.filters import read_criteria
from penstock.configuration.findings import Findings
from penstock.configuration.functions import Function
from penstock.configuration.names import FUNCTION_NAME, FUNCTION_NAME_ALLOWED, find_source, mapping_uuid
from penstock.configuration.project import FunctionConfig, MappingConfig, SourceConfig
from penstock.configuration.sources import Source
from penstock.configuration.tree import Entry, Scalar, Section
from penstock.configuration.validator import Part, Validator, nearest
from penstock.configuration.vocabulary import (
    BATCHING_WINDOW_MS_BY_FORMAT,
    EVENT_FORMATS_LATER,
    EVENT_FORMATS_SUPPORTED,
    NOT_YET,
    mapping_table,
)
from penstock.core.settings import QueueSettings, RetryBackoff, StreamSettings

VISIBILITY_TIMEOUT_MS = 30_000


@dataclass(frozen=True, slots=True)
class _Draft:
    """A mapping on its way: everything checked but how the settings go together."""

    name: str
    part: Part
    source: Source
    function: Function
    event_format: str


class MappingReader:
    """Reads the events of all functions of one file."""

    def __init__(
        self, validator: Validator, project: str, sources: Mapping[str, Source | None], *, clock: Callable[[], float]
    ) -> None:
        """Take the sources (None: known and wrong) and the time, in Unix seconds."""
        self._validator = validator
        self._findings: Findings = validator.findings
        self._project = project
        self._sources = sources
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
        draft = _Draft(name, part, source, function, event_format)
        criteria = read_criteria(part, event_format, self._findings)
        stream = self._stream(draft) if source.config.type.kind == "stream" else None
        queue = self._queue(draft) if source.config.type.kind == "queue" else None
        if self._findings.count() > errors_before or function.config is None:
            return None, part
        made = self._made(draft, function.config, stream, queue)
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

    def _made(
        self, draft: _Draft, function: FunctionConfig, stream: StreamSettings | None, queue: QueueSettings | None
    ) -> MappingConfig:
        draft.part.shown.update({"Source": draft.source.config.name, "EventFormat": draft.event_format})
        own = {setting.name for setting in draft.source.config.type.mapping_settings}
        mapping = MappingConfig(
            name=draft.name,
            uuid=mapping_uuid(self._project, draft.name),
            function=function,
            source=draft.source.config,
            event_format=draft.event_format,
            enabled=draft.part.values["Enabled"],
            settings={key: value for key, value in draft.part.values.items() if key in own},
            stream=stream,
            queue=queue,
            line=draft.part.line,
        )
        self._warn(draft, mapping)
        return mapping

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

    def _stream(self, draft: _Draft) -> StreamSettings:
        values = draft.part.values
        return StreamSettings(
            start=self._start(draft),
            batch_size=values["BatchSize"],
            batching_window_ms=self._window_ms(draft),
            retry_attempts_max=values["MaximumRetryAttempts"],
            backoff=self._backoff(draft),
            function_timeout_ms=draft.function.timeout_ms,
        )

    def _queue(self, draft: _Draft) -> QueueSettings:
        values = draft.part.values
        given: int | None = draft.source.config.settings.get("VisibilityTimeout")
        visibility_ms = max(VISIBILITY_TIMEOUT_MS, draft.function.timeout_ms) if given is None else given * 1000
        return QueueSettings(
            batch_size=values["BatchSize"],
            batching_window_ms=self._window_ms(draft),
            visibility_timeout_ms=visibility_ms,
            concurrency_max=(values["ScalingConfig"] or {}).get("MaximumConcurrency"),
            backoff=self._backoff(draft),
            function_timeout_ms=draft.function.timeout_ms,
            on_filtered=self._on_filtered(draft),
        )

    def _on_filtered(self, draft: _Draft) -> Literal["delete", "keep"]:
        chosen = draft.part.values["OnFiltered"]
        if chosen == "dead-letter":
            self._findings.error(*draft.part.place("OnFiltered"), f"is dead-letter, which {NOT_YET}", "delete or keep")
        return "keep" if chosen == "keep" else "delete"

    def _start(self, draft: _Draft) -> Start:
        part = draft.part
        position = part.values["StartingPosition"]
        timestamp = part.values["StartingPositionTimestamp"]
        place = part.place("StartingPositionTimestamp")
        if position is None:  # missing or wrong, and said so
            return Start("TRIM_HORIZON")
        if position != "AT_TIMESTAMP":
            if timestamp is not None:
                self._findings.error(*place, f"is given with StartingPosition {position}", "it belongs to AT_TIMESTAMP")
            return Start(position)
        capabilities = draft.source.config.type.capabilities
        if not (isinstance(capabilities, StreamCapabilities) and capabilities.seekable_by_time):
            problem = f"is AT_TIMESTAMP, and a source of type {draft.source.config.type.name} can not seek by time"
            self._findings.error(*part.place("StartingPosition"), problem, "TRIM_HORIZON or LATEST")
            return Start("TRIM_HORIZON")
        found_ms = None if timestamp is None else time_ms(timestamp)
        if timestamp is None:
            self._findings.error(
                *part.place("StartingPosition"), "is AT_TIMESTAMP", "StartingPositionTimestamp is missing"
            )
        elif found_ms is None:
            self._findings.error(*place, f"is {timestamp!s}", "Unix seconds, or a time such as 2026-01-31T12:00:00Z")
        elif found_ms > self._clock() * 1000:
            self._findings.error(*place, f"{timestamp!s} is in the future", "a time that has passed")
        else:
            part.shown["StartingPositionTimestamp"] = (
                timestamp if isinstance(timestamp, int | float) else str(timestamp)
            )
        return Start(position, found_ms)

    def _window_ms(self, draft: _Draft) -> int:
        part = draft.part
        seconds = part.values["MaximumBatchingWindowInSeconds"]
        milliseconds = part.values["MaximumBatchingWindowInMilliseconds"]
        if seconds is not None and milliseconds is not None:
            place = part.place("MaximumBatchingWindowInMilliseconds")
            self._findings.error(*place, "is given besides MaximumBatchingWindowInSeconds", "give one of the two")
        if seconds is not None:
            return int(seconds) * 1000
        window_ms: int = (
            BATCHING_WINDOW_MS_BY_FORMAT.get(draft.event_format, 0) if milliseconds is None else milliseconds
        )
        part.shown["MaximumBatchingWindowInMilliseconds"] = window_ms
        return window_ms

    def _backoff(self, draft: _Draft) -> RetryBackoff:
        given = draft.part.values["RetryBackoff"]
        if given is None:
            default = RetryBackoff()
            given = {
                "InitialMs": default.initial_ms,
                "MaximumMs": default.maximum_ms,
                "Multiplier": default.multiplier,
            }
            draft.part.shown["RetryBackoff"] = given
        if given["InitialMs"] > given["MaximumMs"]:
            place = draft.part.place("RetryBackoff", "MaximumMs")
            self._findings.error(
                *place, f"is {given['MaximumMs']}", f"at least InitialMs, which is {given['InitialMs']}"
            )
        return RetryBackoff(
            initial_ms=given["InitialMs"], maximum_ms=given["MaximumMs"], multiplier=float(given["Multiplier"])
        )

    def _warn(self, draft: _Draft, mapping: MappingConfig) -> None:
        if mapping.stream is not None and mapping.stream.retry_attempts_max < 0:
            self._findings.warning(
                *draft.part.place("MaximumRetryAttempts"),
                "a record that always fails blocks its shard for ever",
                "MaximumRetryAttempts bounds it",
            )
        if mapping.queue is None:
            return
        self._findings.warning(
            *draft.part.place("Source"),
            f"a message of {mapping.source.name!r} that always fails comes back for ever",
            f"an end to retries (RedrivePolicy) {NOT_YET}",
        )
        if mapping.queue.visibility_timeout_ms < mapping.queue.function_timeout_ms:
            self._findings.warning(
                *draft.source.part.place("VisibilityTimeout"),
                f"is shorter than the Timeout of the function {mapping.function.spec.name!r}",
                f"{mapping.queue.function_timeout_ms // 1000} seconds or more; leases are extended while it runs",
            )


def guessed_kind(entry: Entry) -> str:
    """Guess from a mapping's keys whether its source is a stream or a queue."""
    return "stream" if isinstance(entry.node, Section) and "StartingPosition" in entry.node.entries else "queue"


def time_ms(value: object) -> int | None:
    """Read Unix seconds or an ISO 8601 time (UTC where it names no zone) as Unix milliseconds, or None."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int | float):
        return int(value * 1000) if value >= 0 else None
    if isinstance(value, dt.date) and not isinstance(value, dt.datetime):
        value = dt.datetime(value.year, value.month, value.day, tzinfo=dt.UTC)
    if isinstance(value, str):
        return _text_ms(value.strip())
    if not isinstance(value, dt.datetime):
        return None
    moment = value if value.tzinfo else value.replace(tzinfo=dt.UTC)
    return int(moment.timestamp() * 1000)


def _text_ms(text: str) -> int | None:
    try:
        return (
            time_ms(float(text)) if text.replace(".", "", 1).isdecimal() else time_ms(dt.datetime.fromisoformat(text))
        )
    except ValueError:
        return None
