"""What the installed plugins brought, as values: read by the configuration, the shell and `penstock plugin list`."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from penstock.api import DestinationType, ExecutorType, QueueCapabilities, SourceType, StreamCapabilities


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """One plugin that was found. `error` is one sentence for a plugin that is not usable, else empty."""

    name: str
    distribution: str
    version: str
    api_version: int | None
    source_types: tuple[str, ...] = ()
    destinations: tuple[str, ...] = ()
    executors: tuple[str, ...] = ()
    capabilities: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """Every type of part that can be named in a configuration, by its name."""

    source_types: Mapping[str, SourceType] = field(default_factory=dict)
    destination_types: Mapping[str, DestinationType] = field(default_factory=dict)
    executor_types: Mapping[str, ExecutorType] = field(default_factory=dict)
    plugins: tuple[PluginInfo, ...] = ()

    def failed_plugin_for(self, type_name: str) -> PluginInfo | None:
        """Tell which unusable plugin would have brought a source type.

        A plugin that can not be imported can not say what it has, so its name decides: the plugin `redis` stands for
        the types `redis` and `redis-…`.
        """
        if type_name in self.source_types:
            return None
        for plugin in self.plugins:
            if plugin.error and (type_name == plugin.name or type_name.startswith(f"{plugin.name}-")):
                return plugin
        return None

    def plugin_of(self, type_name: str) -> str:
        """Name the plugin that brought a source type."""
        owners = (each.name for each in self.plugins if type_name in each.source_types and not each.error)
        return next(owners, "")


def capability_names(capabilities: StreamCapabilities | QueueCapabilities) -> tuple[str, ...]:
    """List the capabilities that a source type declares."""
    return tuple(item.name for item in fields(capabilities) if getattr(capabilities, item.name))
