"""The `DestinationConfig` of a mapping: where its invocation records go (D14).

An address is the name of a source or an ARN that names one, `file:FOLDER`, `function:NAME`, or begins with a scheme:
the one that the mapping's source has for its siblings, or one that a plugin registered. What could never take a record,
or would send it round in a circle, is refused here, without connecting to anything.
"""

import dataclasses
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from penstock.api import SettingsError, SourceContext, SourceType
from penstock.configuration.broken import broken_sentence, broken_source_type
from penstock.configuration.draft import Draft
from penstock.configuration.findings import Findings
from penstock.configuration.functions import Function
from penstock.configuration.names import find_source, source_arn
from penstock.configuration.project import DestinationConfig, NodeSettings, SourceConfig
from penstock.configuration.sources import Source
from penstock.configuration.tree import Section
from penstock.configuration.validator import nearest
from penstock.configuration.vocabulary import DESTINATIONS, NOT_YET
from penstock.plugins import Registry

_SECTION = "DestinationConfig"
_EVENTS = ("OnFailure", "OnSuccess")


@dataclass(frozen=True, slots=True)
class Destinations:
    """A mapping's destinations. `are_given` also where the one that is given is wrong."""

    on_failure: DestinationConfig | None = None
    on_success: DestinationConfig | None = None
    are_given: bool = False


@dataclass(frozen=True, slots=True)
class _Address:
    """An address to be understood, and whose it is: a mapping's of this function, or with none a queue's own."""

    own: Source
    function: str
    text: str
    shown: str
    line: int
    path: str


class DestinationReader:
    """Reads the destinations of all mappings of one file."""

    def __init__(
        self,
        findings: Findings,
        registry: Registry,
        *,
        project: str,
        folder: Path,
        node: NodeSettings,
        sources: Mapping[str, Source | None],
        functions: Mapping[str, Function],
    ) -> None:
        """Take everything that an address can name; a source that is None is known and wrong."""
        self._findings = findings
        self._registry = registry
        self._project = project
        self._folder = folder
        self._node = node
        self._sources = sources
        self._functions = functions
        self._targets: dict[str, SourceConfig] = {}

    def read(self, draft: Draft) -> Destinations:
        """Check a mapping's destinations; what is wrong with one is among the findings, and it is None."""
        given = [event for event in _EVENTS if _is_written(draft, event)]
        shown = draft.part.shown.get(_SECTION, {})
        for event in set(shown).difference(given):
            del shown[event]  # Lambda writes `OnFailure: {}` for none
        on_failure, on_success = (self._destination(draft, event) if event in given else None for event in _EVENTS)
        return Destinations(on_failure, on_success, are_given=bool(given))

    def read_dead_letter_targets(self) -> None:
        """Find where the dead letters of every queue go, also of one that no mapping reads."""
        for name, source in self._sources.items():
            target = None if source is None else self._dead_letter_target(source)
            if target is not None:
                self._targets[name] = target

    def dead_letter_target(self, source: SourceConfig) -> SourceConfig | None:
        """Tell where the dead letters of a queue go; None also where that is wrong."""
        return self._targets.get(source.name)

    def _dead_letter_target(self, own: Source) -> SourceConfig | None:
        policy = own.config.settings.get("RedrivePolicy")
        text: str | None = policy and policy["deadLetterTargetArn"]
        if text is None:
            return None
        line, path = own.part.place("RedrivePolicy", "deadLetterTargetArn")
        shown = own.part.shown["RedrivePolicy"]["deadLetterTargetArn"]
        try:
            found = self._source(_Address(own, "", text, shown, line, path))
        except _Refused as refused:
            self._findings.error(line, path, refused.problem, refused.allowed)
            return None
        return None if found is None else found.source

    def _destination(self, draft: Draft, event: str) -> DestinationConfig | None:
        values = (draft.part.values[_SECTION] or {}).get(event)
        if values is None:  # wrong, and said so
            return None
        text: str | None = values["Destination"]
        line, path = draft.part.place(_SECTION, event, "Destination")
        if text is None:
            if not _is_written(draft, event, "Destination"):
                self._findings.error(line, path, "is missing", DESTINATIONS)
            return None
        shown = draft.part.shown[_SECTION][event]["Destination"]
        try:
            found = self._found(_Address(draft.source, draft.name.partition(".")[0], text, shown, line, path))
        except _Refused as refused:
            self._findings.error(line, path, refused.problem, refused.allowed)
            return None
        return found and dataclasses.replace(found, include_payload=values["IncludePayload"], line=line)

    def _found(self, address: _Address) -> DestinationConfig | None:
        if not address.text.strip():
            raise _Refused("is empty", DESTINATIONS)
        scheme, colon, rest = address.text.partition(":")
        if scheme == "arn" or not colon:
            return self._source(address)
        match scheme:
            case "file":
                return self._file(address, rest)
            case "function":
                return self._function(address, rest)
            case _:
                return self._scheme(address, scheme, rest)

    def _source(self, address: _Address) -> DestinationConfig | None:
        arns = {name: source.own_arn if source else None for name, source in self._sources.items()}
        names, _ = find_source(address.text, arns)
        if not names:
            raise _Refused(f"there is no source {address.shown!r}", nearest(address.text, self._sources))
        if len(names) > 1:
            raise _Refused(f"{address.shown!r} names {' and '.join(names)}", "name one of them")
        source = self._sources[names[0]]
        if source is None:  # wrong, and said so
            return None
        self._check(address, source.config)
        return _made_of(source.config, address)

    def _check(self, address: _Address, config: SourceConfig) -> None:
        """Refuse a source that can not take records, or whose records would come round again."""
        own = address.own.config
        if self._is_same(config, own):
            also = "" if config.name == own.name else f", where it is called {own.name!r}"
            problem = (
                f"{address.shown!r} is what the mapping reads{also}"
                if address.function
                else f"{address.shown!r} is the queue itself{also}"
            )
            raise _Refused(problem, "another one: what is sent there would come back for ever")
        if config.type.open_destination is None:
            problem = f"nothing can be written to {config.name!r}, a source of type {config.type.name}"
            raise _Refused(problem, self._writable_names(own))
        if config.settings.get("FifoQueue") and not own.settings.get("FifoQueue"):
            raise _Refused(
                f"{config.name!r} is a FIFO queue", "a standard one: what is given up is in no message group"
            )

    def _is_same(self, one: SourceConfig, other: SourceConfig) -> bool:
        compare = one.type.is_same
        if compare is None or one.name == other.name or one.type.name != other.type.name:
            return one.name == other.name
        return compare(self._context(one), self._context(other))

    def _context(self, config: SourceConfig) -> SourceContext:
        return SourceContext(
            project=self._project, name=config.name, settings=config.settings, data_dir=self._node.data_dir
        )

    def _writable_names(self, own: SourceConfig) -> str:
        configs = [source.config for source in self._sources.values() if source]
        writable = [each for each in configs if each.type.open_destination is not None]
        names = [each.name for each in writable if not self._is_same(each, own)]
        return f"what can be written is {', '.join(names)}" if names else "no source of this file can be written"

    def _file(self, address: _Address, rest: str) -> DestinationConfig:
        if not rest.strip("/ "):
            raise _Refused(f"{address.shown!r} names no folder", "file:FOLDER, relative to this file's folder")
        if rest.startswith("//") and not rest.startswith("///"):
            raise _Refused(f"{address.shown!r} names a host", "file:FOLDER or file:///FOLDER")
        path = Path(os.path.normpath(self._folder / rest))
        return DestinationConfig(kind="file", text=address.text, path=path)

    def _function(self, address: _Address, name: str) -> DestinationConfig:
        if name not in self._functions:
            raise _Refused(f"{address.shown!r} names no function that there is", nearest(name, self._functions))
        if name == address.function:
            problem = f"{address.shown!r} is the mapping's own function"
            raise _Refused(problem, "another one: it would be given what it fails at again and again")
        return DestinationConfig(kind="function", text=address.text, function=name)

    def _scheme(self, address: _Address, scheme: str, rest: str) -> DestinationConfig:
        own = address.own
        if scheme and scheme == own.config.type.destination_scheme:
            return self._sibling(address, rest)
        if scheme in self._registry.destination_types:
            needed = [each.name for each in self._registry.destination_types[scheme].settings if each.required]
            if needed:  # an address is all that a mapping can say of it
                raise _Refused(f"{address.shown!r} needs {', '.join(needed)}, which {NOT_YET}", "another destination")
            return DestinationConfig(kind="scheme", text=address.text, scheme=scheme)
        if own.broken:  # which addresses its type has is not known, and it says itself why the mapping can not run
            return _made_of(dataclasses.replace(own.config, name=address.text, create=False), address)
        return self._unknown(address, scheme)

    def _sibling(self, address: _Address, rest: str) -> DestinationConfig:
        """Understand an address such as `kafka://orders-failed`: the mapping's own source, but for one setting."""
        own = address.own.config
        setting, name = own.type.destination_setting, rest.removeprefix("//")
        if name == rest or not name:
            raise _Refused(f"{address.shown!r} names no {setting}", _sibling_form(own.type))
        settings = {**own.settings, setting: name}
        try:
            if own.type.check_settings is not None:
                own.type.check_settings(settings)
        except SettingsError as error:
            raise _Refused(f"{error.path} {error.problem}", error.allowed or "") from None
        arn = source_arn(
            name,
            kind=own.type.kind,
            event_format=own.type.event_formats[0],
            region=self._node.region,
            account_id=self._node.account_id,
        )
        config = SourceConfig(
            name=address.text, type=own.type, settings=settings, arn=arn, create=False, line=address.line
        )
        self._check(address, config)
        return _made_of(config, address)

    def _unknown(self, address: _Address, scheme: str) -> DestinationConfig:
        own = address.own.config
        for each in self._registry.source_types.values():
            if scheme and each.destination_scheme == scheme:
                problem = f"{address.shown!r} belongs beside a source of type {each.name}"
                raise _Refused(f"{problem}, and {own.name!r} is of type {own.type.name}", "name a source of this file")
        plugin = self._registry.failed_plugin_for(scheme)
        if plugin is None:
            sibling = [_sibling_form(own.type)] if own.type.destination_scheme else []
            schemes = [f"{each}:" for each in self._registry.destination_types]
            known = ["a source's name or ARN", "file:FOLDER", "function:NAME", *sibling, *schemes]
            raise _Refused(f"{address.shown!r} is not known", ", ".join(known))
        self._findings.problem(address.line, address.path, broken_sentence(plugin))
        broken = broken_source_type(scheme, "queue", plugin)
        config = SourceConfig(name=address.text, type=broken, settings={}, arn="", create=False, line=address.line)
        return _made_of(config, address)


class _Refused(Exception):
    """An address that can not be a destination: a problem and what is allowed."""

    def __init__(self, problem: str, allowed: str) -> None:
        super().__init__(problem)
        self.problem = problem
        self.allowed = allowed


def _sibling_form(source_type: SourceType) -> str:
    return f"{source_type.destination_scheme}://{source_type.destination_setting.upper()}"


def _made_of(source: SourceConfig, address: _Address) -> DestinationConfig:
    return DestinationConfig(kind="source", text=address.text, source=source)


def _is_written(draft: Draft, *keys: str) -> bool:
    """Tell whether something stands below `DestinationConfig`; an object with nothing in it is nothing."""
    origin = draft.part.origins.get(_SECTION)
    if origin is None:
        return False
    node = origin.node
    for key in keys:
        if not isinstance(node, Section) or key not in node.entries:
            return not isinstance(node, Section)
        node = node.entries[key].node
    return not isinstance(node, Section) or bool(node.entries)
