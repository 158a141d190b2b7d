"""Finds the plugins that are installed and asks each what it has.

A plugin is a module named by an entry point of the group `penstock`. One that can not be used, for whatever reason, is
listed with that reason; all others work. Nothing here is on the data path.
"""

import importlib.metadata
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

import pluggy

from penstock.api import (
    API_VERSION,
    DestinationType,
    ExecutorType,
    Hooks,
    QueueCapabilities,
    Setting,
    SourceType,
    StreamCapabilities,
)
from penstock.plugins.blame import blame
from penstock.plugins.registry import PluginInfo, Registry, capability_names
from penstock.plugins.signatures import PluginError, check_callable

GROUP = "penstock"
HOOKS = ("register_sources", "register_destinations", "register_executors")


class Distribution(Protocol):
    """The part of an installed distribution that the loader shows."""

    @property
    def name(self) -> str: ...

    @property
    def version(self) -> str: ...


class EntryPoint(Protocol):
    """The part of `importlib.metadata.EntryPoint` that the loader uses."""

    @property
    def name(self) -> str: ...

    @property
    def value(self) -> str: ...

    @property
    def dist(self) -> Distribution | None: ...

    def load(self) -> object: ...


@dataclass(slots=True)
class _Found:
    """What one plugin registered, before it is known to clash with nothing."""

    sources: dict[str, SourceType] = field(default_factory=dict)
    destinations: dict[str, DestinationType] = field(default_factory=dict)
    executors: dict[str, ExecutorType] = field(default_factory=dict)


def load_plugins(entry_points: Iterable[EntryPoint] | None = None) -> Registry:
    """Load every plugin, by default those of the environment's entry points, in the order of their names.

    Never raises for a plugin: `Registry.plugins` says what is wrong with it.
    """
    if entry_points is None:
        entry_points = importlib.metadata.entry_points(group=GROUP)
    merged = _Found()
    owners: dict[str, str] = {}
    plugins: list[PluginInfo] = []
    for entry in sorted(entry_points, key=lambda each: (each.name, each.value)):
        info, found = _load(entry)
        if not info.error:
            clash = _clash(found, owners)
            info = replace(_described(info, found), error=clash) if clash else _described(info, found)
        if not info.error:
            owners |= dict.fromkeys(_keys(found), entry.name)
            merged.sources |= found.sources
            merged.destinations |= found.destinations
            merged.executors |= found.executors
        plugins.append(info)
    return Registry(
        source_types=MappingProxyType(merged.sources),
        destination_types=MappingProxyType(merged.destinations),
        executor_types=MappingProxyType(merged.executors),
        plugins=tuple(plugins),
    )


def _load(entry: EntryPoint) -> tuple[PluginInfo, _Found]:
    info = PluginInfo(
        name=entry.name,
        distribution=entry.dist.name if entry.dist else "",
        version=entry.dist.version if entry.dist else "",
        api_version=None,
    )
    module_name = entry.value.partition(":")[0].strip()
    found = _Found()
    try:
        module = entry.load()
        version = getattr(module, "PENSTOCK_API_VERSION", None)
        info = replace(info, api_version=version if isinstance(version, int) else None)
        _check_version(module_name, version)
        _register(module, entry.name, found)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - a stranger's code: whatever it does, the others run
        return replace(info, error=blame(error, module_name)), _Found()
    return info, found


def _check_version(module_name: str, version: object) -> None:
    if version is None:
        raise PluginError(
            f"{module_name} does not say which API version it was written for; this Penstock has {API_VERSION}: "
            f"PENSTOCK_API_VERSION = {API_VERSION}"
        )
    if version != API_VERSION:
        raise PluginError(f"it was written for API version {version}; this Penstock has {API_VERSION}")


def _register(module: object, name: str, found: _Found) -> None:
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(Hooks)
    _check_hooks(module)
    manager.register(module, name=name)
    _check_pending(manager, module)
    manager.hook.register_sources(register=_collector(found.sources, SourceType, _check_source_type, "name"))
    manager.hook.register_destinations(
        register=_collector(found.destinations, DestinationType, _check_destination_type, "scheme")
    )
    manager.hook.register_executors(register=_collector(found.executors, ExecutorType, _check_executor_type, "runtime"))
    if not _keys(found):
        raise PluginError(f"it registers nothing; wanted is one of {', '.join(HOOKS)} with @hookimpl")


def _check_hooks(module: object) -> None:
    for hook in HOOKS:
        found = getattr(module, hook, None)
        if found is None:
            continue
        if not hasattr(found, f"{GROUP}_impl"):
            raise PluginError(f"{hook} is not marked with @hookimpl; wanted is `@hookimpl def {hook}(register)`")
        signature = inspect.signature(found)
        if list(signature.parameters) != ["register"]:
            raise PluginError(f"found `def {hook}{signature}`; wanted is `def {hook}(register)`")


def _check_pending(manager: pluggy.PluginManager, module: object) -> None:
    try:
        manager.check_pending()
    except pluggy.PluginValidationError:
        unknown = [
            name for name in dir(module) if hasattr(getattr(module, name), f"{GROUP}_impl") and name not in HOOKS
        ]
        raise PluginError(f"there is no hook named {', '.join(unknown)}; there are {', '.join(HOOKS)}") from None


def _collector(into: dict, kind: type, check: Callable, key: str) -> Callable[[object], None]:  # type: ignore[type-arg] # the three tables differ in type alone
    def register(part: object) -> None:
        if not isinstance(part, kind):
            raise PluginError(f"register was given {part!r}; wanted is a {kind.__name__}")
        name = getattr(part, key)
        if name in into:
            raise PluginError(f"{kind.__name__} '{name}' is registered twice")
        check(part)
        into[name] = part

    return register


def _check_source_type(part: SourceType) -> None:
    where = f"SourceType '{part.name}'"
    if part.kind not in {"stream", "queue"}:
        raise PluginError(f"{where}: kind is {part.kind!r}; wanted is 'stream' or 'queue'")
    capabilities = StreamCapabilities if part.kind == "stream" else QueueCapabilities
    if not isinstance(part.capabilities, capabilities):
        raise PluginError(f"{where}: capabilities is {part.capabilities!r}; a {part.kind} has {capabilities.__name__}")
    if not part.event_formats:
        raise PluginError(f"{where}: event_formats is empty; the first one is the default")
    _check_settings(where, (*part.settings, *part.mapping_settings))
    unknown = [name for name in part.connection_settings if name not in {each.name for each in part.settings}]
    if unknown:
        raise PluginError(f"{where}: connection_settings names {', '.join(unknown)}, which settings does not have")
    _check_factories(part, where)


def _check_factories(part: SourceType, where: str) -> None:
    needed, other = ("open_stream", "open_queue") if part.kind == "stream" else ("open_queue", "open_stream")
    if getattr(part, other) is not None:
        raise PluginError(f"{where}: {other} is set; a {part.kind} has {needed} alone")
    for factory, parameters in {
        needed: ("source", "mapping"),
        "open_destination": ("source",),
        "open_positions": ("source", "mapping"),
        "operate": ("source",),
        "describe": ("settings",),
        "check_settings": ("settings",),
        "check_mapping_settings": ("source_settings", "mapping_settings"),
    }.items():
        if getattr(part, factory) is not None:
            check_callable(getattr(part, factory), called=f"{where}: {factory}", parameters=parameters)


def _check_destination_type(part: DestinationType) -> None:
    where = f"DestinationType '{part.scheme}'"
    _check_settings(where, part.settings)
    check_callable(part.open_destination, called=f"{where}: open_destination", parameters=("address", "settings"))


def _check_executor_type(part: ExecutorType) -> None:
    where = f"ExecutorType '{part.runtime}'"
    _check_settings(where, part.settings)
    check_callable(part.open_executor, called=f"{where}: open_executor", parameters=("function", "data_dir"))


def _check_settings(where: str, settings: Iterable[Setting]) -> None:
    for setting in settings:
        if not isinstance(setting, Setting):
            raise PluginError(f"{where}: settings has {setting!r}; wanted is a Setting")
        _check_settings(where, setting.fields)


def _keys(found: _Found) -> list[str]:
    return [
        *(f"source type '{name}'" for name in found.sources),
        *(f"destination '{name}'" for name in found.destinations),
        *(f"executor '{name}'" for name in found.executors),
    ]


def _clash(found: _Found, owners: dict[str, str]) -> str:
    taken = [f"{key} is registered by the plugin '{owners[key]}' already" for key in _keys(found) if key in owners]
    return "; ".join(taken)


def _described(info: PluginInfo, found: _Found) -> PluginInfo:
    return replace(
        info,
        source_types=tuple(found.sources),
        destinations=tuple(found.destinations),
        executors=tuple(found.executors),
        capabilities={name: capability_names(part.capabilities) for name, part in found.sources.items()},
    )
