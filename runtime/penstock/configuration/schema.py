"""The JSON Schema of a configuration, made of the same tables that check it, for editors and for tools."""

import copy
from collections.abc import Iterable, Mapping
from typing import Any

from penstock.api import Setting, SourceType
from penstock.configuration.names import FUNCTION_NAME, PROJECT_NAME, SOURCE_NAME
from penstock.configuration.vocabulary import (
    CONNECTION,
    FUNCTION,
    NODE_SETTINGS,
    RECORD_AGE_S_LEAST,
    RECORD_AGE_S_MOST,
    mapping_table,
    source_table,
)
from penstock.plugins import Registry

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_PLACEHOLDER = {"type": "string", "pattern": r"\$\{"}
_SIMPLE: dict[str, dict[str, Any]] = {
    "boolean": {"anyOf": [{"type": "boolean"}, _PLACEHOLDER]},
    "texts": {"anyOf": [{"type": "array", "items": {"type": ["string", "number"]}}, {"type": "string"}]},
    "map": {"type": "object", "additionalProperties": {"type": ["string", "number", "boolean"]}},
    "any": {},
    "path": {"type": ["string", "number"]},
    "text": {"type": ["string", "number"]},
}


def schema(registry: Registry) -> dict[str, Any]:
    """Describe a configuration as JSON Schema 2020-12, with what the installed plugins add.

    Which keys of a mapping apply depends on its source, which no schema can follow: it allows those of both kinds.
    """
    sections: dict[str, Any] = {
        "Name": {
            "type": "string",
            "description": "the project's name (default: the folder's)",
            **_either(PROJECT_NAME),
        },
        "Connections": _named(
            _any_of(_connection, registry), SOURCE_NAME.pattern, "settings that several sources share"
        ),
        "Sources": _named(_any_of(_source, registry), SOURCE_NAME.pattern, "streams and queues on brokers"),
        "Functions": _named(_function(registry), FUNCTION_NAME.pattern, "functions, each with its Events"),
        "Globals": {
            "type": "object",
            "description": "defaults for every function",
            "properties": {"Function": _object(FUNCTION, required=False)},
            "additionalProperties": False,
        },
        "Settings": _object(NODE_SETTINGS, doc="what belongs to the node"),
    }
    return {
        "$schema": DIALECT,
        "title": "Penstock configuration",
        "type": "object",
        "properties": {
            name: section if name == "Name" else {"anyOf": [section, {"type": "null"}]}
            for name, section in sections.items()
        },
        "patternProperties": {"^x-": True},
        "additionalProperties": False,
    }


def _any_of(make: Any, registry: Registry) -> dict[str, Any]:
    return {"anyOf": [make(each) for each in registry.source_types.values()]} if registry.source_types else {}


def _source(source_type: SourceType) -> dict[str, Any]:
    made = _object(source_table(source_type), doc=source_type.doc, required=False)
    made["properties"]["Type"] = {"const": source_type.name}
    without_connection = [setting.name for setting in source_type.settings if setting.required]
    always = [name for name in without_connection if name not in source_type.connection_settings]
    made["required"] = always
    made["anyOf"] = [{"required": ["Type", *without_connection]}, {"required": ["Connection"]}]
    return made


def _connection(source_type: SourceType) -> dict[str, Any]:
    settings = [each for each in source_type.settings if each.name in source_type.connection_settings]
    made = _object((*CONNECTION, *settings), doc=source_type.doc, required=False)
    made["properties"]["Type"] = {"const": source_type.name}
    made["required"] = ["Type"]
    return made


def _function(registry: Registry) -> dict[str, Any]:
    function = _object(FUNCTION, required=False)
    function["properties"]["Events"] = _named(_event(registry), FUNCTION_NAME.pattern, "what the function is run for")
    return function


def _event(registry: Registry) -> dict[str, Any]:
    own: dict[str, Setting] = {}
    for source_type in registry.source_types.values():
        own |= {setting.name: setting for setting in source_type.mapping_settings}
    tables = (mapping_table("queue", tuple(own.values())), mapping_table("stream", ()))
    by_name: dict[str, Setting] = {}
    for setting in (each for table in tables for each in table):
        if setting.name not in by_name or by_name[setting.name].refusal:
            by_name[setting.name] = setting
    # The default differs between the kinds.
    made = _object(by_name.values(), required=False)
    made["properties"]["BatchSize"].pop("default", None)
    made["properties"]["MaximumRecordAgeInSeconds"]["anyOf"] = [
        {"enum": [-1]},
        {"type": "integer", "minimum": RECORD_AGE_S_LEAST, "maximum": RECORD_AGE_S_MOST},
        _PLACEHOLDER,
    ]
    made["required"] = ["Source"]
    return made


def _named(each: dict[str, Any], pattern: str, doc: str) -> dict[str, Any]:
    return {
        "type": "object",
        "description": doc,
        "propertyNames": {"pattern": _anchored(pattern)},
        "additionalProperties": each,
    }


def _object(settings: Iterable[Setting], *, doc: str = "", required: bool = True) -> dict[str, Any]:
    table = tuple(settings)
    made: dict[str, Any] = {
        "type": "object",
        "properties": {setting.name: _setting(setting) for setting in table},
        "additionalProperties": False,
    }
    if doc:
        made["description"] = doc
    needed = [setting.name for setting in table if setting.required and not setting.refusal]
    if required and needed:
        made["required"] = needed
    return made


def _setting(setting: Setting) -> dict[str, Any]:
    if setting.refusal:
        accepted = [] if setting.default is None else [setting.default]
        return {"enum": [*accepted, None], "description": f"{setting.doc}: {setting.refusal}".removeprefix(": ")}
    made = _kind(setting)
    doc = setting.doc + (f" ({setting.unit})" if setting.unit and setting.unit not in setting.doc else "")
    if doc:
        made["description"] = doc
    if setting.default is not None:
        made["default"] = _plain(setting.default)
    return made


def _kind(setting: Setting) -> dict[str, Any]:
    match setting.kind:
        case "integer" | "number":
            return {"anyOf": [_number(setting), _PLACEHOLDER]}
        case "choice":
            return {"anyOf": [{"enum": list(setting.choices)}, _PLACEHOLDER]}
        case "texts" if setting.choices:
            each = {"anyOf": [{"enum": list(setting.choices)}, _PLACEHOLDER]}
            return {"anyOf": [{"type": "array", "items": each}, each]}
        case "section":
            return _object(setting.fields)
        case kind:
            return copy.deepcopy(_SIMPLE[kind])


def _number(setting: Setting) -> dict[str, Any]:
    bounds = {"minimum": setting.least, "maximum": setting.most}
    return {"type": setting.kind, **{name: bound for name, bound in bounds.items() if bound is not None}}


def _either(pattern: Any) -> dict[str, Any]:
    return {"pattern": rf"{_anchored(pattern.pattern)}|\$\{{"}


def _anchored(pattern: str) -> str:
    return "^" + pattern.replace(r"\Z", "$")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, tuple) else value
