"""The sections `Connections` and `Sources`: each source checked against its type, with its connection filled in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.api import Setting, SettingsError, SourceType
from penstock.configuration.broken import broken_sentence, broken_source_type
from penstock.configuration.interpolation import Interpolated
from penstock.configuration.masking import MASK
from penstock.configuration.names import SOURCE_NAME, SOURCE_NAME_ALLOWED, source_arn
from penstock.configuration.project import NodeSettings, SourceConfig
from penstock.configuration.tree import Entry, Scalar, Section
from penstock.configuration.validator import Part, Validator, nearest
from penstock.configuration.vocabulary import CONNECTION, source_table
from penstock.plugins import PluginInfo, Registry

HINTS = {"kafka": 'pip install "penstock[kafka]"'}
_OURS = ("Type", "Connection", "Arn", "Create")


@dataclass(frozen=True, slots=True)
class Connection:
    """A connection as its section says it: settings that sources take over."""

    type_name: Interpolated
    part: Part


@dataclass(frozen=True, slots=True)
class Source:
    """A source, what is shown of it, and where its settings stand. `own_arn` is the one that the user gave.

    `broken` tells that its plugin can not be loaded, so that nothing is known of its settings.
    """

    config: SourceConfig
    part: Part
    own_arn: str | None
    broken: bool


class SourceReader:
    """Reads both sections of one file."""

    def __init__(self, validator: Validator, registry: Registry, node: NodeSettings) -> None:
        """Take the types there are, and the node's region and account for ARNs."""
        self._validator = validator
        self._findings = validator.findings
        self._registry = registry
        self._node = node
        self._connections: dict[str, Connection] = {}

    def read_connections(self, section: Section) -> dict[str, Any]:
        """Check every connection on its own; gives what may be shown."""
        for name, entry in section.entries.items():
            path = f"Connections.{name}"
            self._check_name(name, path, entry.line)
            found = self._connection(path, entry)
            if found is not None:
                self._connections[name] = found
        return {name: each.part.shown for name, each in self._connections.items()}

    def read_sources(self, section: Section, kinds: Mapping[str, str]) -> dict[str, Source | None]:
        """Check every source. One that is wrong is None, so that mappings still know its name.

        `kinds` guesses stream or queue, for a source whose plugin is broken, from the mappings that use it.
        """
        sources: dict[str, Source | None] = {}
        for name, entry in section.entries.items():
            self._check_name(name, f"Sources.{name}", entry.line)
            kind: Literal["stream", "queue"] = "stream" if kinds.get(name) == "stream" else "queue"
            sources[name] = self._source(name, entry, kind)
        return sources

    def _check_name(self, name: str, path: str, line: int) -> None:
        if not SOURCE_NAME.match(name):
            self._findings.error(line, path, f"the name is {name!r}", SOURCE_NAME_ALLOWED)

    def _connection(self, path: str, entry: Entry) -> Connection | None:
        if not isinstance(entry.node, Section):
            self._findings.error(entry.line, path, "is not an object", "Type and the settings of a connection")
            return None
        name = self._text(entry.node, "Type", path)
        if name is None:
            if "Type" not in entry.node.entries:
                self._findings.error(entry.line, f"{path}.Type", "is missing", "a type of source has to be given")
            return None
        line = entry.node.entries["Type"].line
        found = self._type(name, "stream", f"{path}.Type", line)
        if found is None:
            return None
        source_type, plugin = found
        settings = tuple(each for each in source_type.settings if each.name in source_type.connection_settings)
        part = self._validator.section(
            entry.node, (*CONNECTION, *settings), path=path, line=entry.line, free=plugin is not None
        )
        return Connection(name, _hidden(part) if plugin else part)

    def _source(self, name: str, entry: Entry, kind: Literal["stream", "queue"]) -> Source | None:
        path = f"Sources.{name}"
        if not isinstance(entry.node, Section):
            self._findings.error(entry.line, path, "is not an object", "Type and the settings of the source")
            return None
        errors_before = self._findings.count()
        connection = self._connection_of(entry.node, path)
        found = self._type_of(entry, connection, path, kind)
        if found is None:
            return None
        source_type, plugin = found
        table = source_table(source_type)
        part = self._validator.section(entry.node, table, path=path, line=entry.line, free=plugin is not None)
        if connection is not None:
            self._check_connection(part, connection, source_type, plugin)
            part = part.over(_without_type(connection.part))
        part = self._validator.complete(_hidden(part) if plugin else part, table)
        if self._findings.count() > errors_before:
            return None
        if plugin is not None:
            self._findings.problem(*part.place("Type"), broken_sentence(plugin))
        if not self._check_settings(source_type, part, table):
            return None
        return self._made(name, source_type, part, broken=plugin is not None)

    def _made(self, name: str, source_type: SourceType, part: Part, *, broken: bool) -> Source:
        own_arn = part.values.get("Arn")
        arn = own_arn or source_arn(
            name,
            kind=source_type.kind,
            event_format=source_type.event_formats[0],
            region=self._node.region,
            account_id=self._node.account_id,
        )
        part.shown.update({"Type": source_type.name, "Arn": arn})
        config = SourceConfig(
            name=name,
            type=source_type,
            settings={key: value for key, value in part.values.items() if key not in _OURS},
            arn=arn,
            create=bool(part.values.get("Create")),
            line=part.line,
        )
        return Source(config, part, own_arn, broken)

    def _connection_of(self, section: Section, path: str) -> Connection | None:
        name = self._text(section, "Connection", path)
        if name is None or name.text in self._connections:
            return None if name is None else self._connections[name.text]
        line = section.entries["Connection"].line
        problem = f"there is no connection {name.shown!r}"
        self._findings.error(line, f"{path}.Connection", problem, nearest(name.text, self._connections))
        return None

    def _type_of(
        self, entry: Entry, connection: Connection | None, path: str, kind: Literal["stream", "queue"]
    ) -> tuple[SourceType, PluginInfo | None] | None:
        section = entry.node
        assert isinstance(section, Section)  # the caller looked
        if "Type" in section.entries:
            name = self._text(section, "Type", path)
            line = section.entries["Type"].line
            return None if name is None else self._type(name, kind, f"{path}.Type", line)
        if connection is not None:
            return self._type(connection.type_name, kind, f"{path}.Connection", entry.line)
        if "Connection" not in section.entries:
            self._findings.error(entry.line, f"{path}.Type", "is missing", "a type of source, or a Connection")
        return None

    def _type(
        self, named: Interpolated, kind: Literal["stream", "queue"], path: str, line: int
    ) -> tuple[SourceType, PluginInfo | None] | None:
        name = named.text
        if name in self._registry.source_types:
            return self._registry.source_types[name], None
        plugin = self._registry.failed_plugin_for(name)
        if plugin is not None:
            return broken_source_type(name, kind, plugin), plugin
        allowed = nearest(name, self._registry.source_types)
        if name in HINTS:
            allowed = f"no plugin that is installed brings it: {HINTS[name]}"
        self._findings.error(line, path, f"the type {named.shown!r} is not known", allowed)
        return None

    def _check_connection(
        self, part: Part, connection: Connection, source_type: SourceType, plugin: PluginInfo | None
    ) -> None:
        if plugin is not None:
            return
        unknown = [
            name for name in _without_type(connection.part).origins if name not in source_type.connection_settings
        ]
        if unknown:
            self._findings.error(
                *part.place("Connection"),
                f"the connection has {', '.join(unknown)}, which a source of type {source_type.name!r} does not take",
                nearest(unknown[0], source_type.connection_settings),
            )

    def _check_settings(self, source_type: SourceType, part: Part, table: tuple[Setting, ...]) -> bool:
        if source_type.check_settings is None:
            return True
        own = {setting.name for setting in table} - set(_OURS)
        try:
            source_type.check_settings({name: value for name, value in part.values.items() if name in own})
        except SettingsError as error:
            self._findings.error(*part.place(*error.path.split(".")), error.problem, error.allowed or "")
            return False
        return True

    def _text(self, section: Section, name: str, path: str) -> Interpolated | None:
        """Read one text before the table that it belongs to is known. What is wrong with it is said later, or here."""
        entry = section.entries.get(name)
        if entry is None:
            return None
        if not isinstance(entry.node, Scalar) or entry.node.value is None:
            self._findings.error(entry.line, f"{path}.{name}", "is not a text", "a text")
            return None
        return self._validator.text(entry.node, f"{path}.{name}", entry.line)


def _without_type(part: Part) -> Part:
    return Part(
        part.path,
        part.line,
        {name: value for name, value in part.values.items() if name != "Type"},
        {name: value for name, value in part.shown.items() if name != "Type"},
        {name: value for name, value in part.origins.items() if name != "Type"},
    )


def _hidden(part: Part) -> Part:
    """Show nothing of settings whose plugin can not say which of them are secret."""
    shown = {name: value if name in _OURS else MASK for name, value in part.shown.items()}
    return Part(part.path, part.line, part.values, shown, part.origins)
