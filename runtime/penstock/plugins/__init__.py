"""Finding and loading plugins: `load_plugins()` gives the `Registry` of all that is installed."""

from penstock.plugins.loader import load_plugins
from penstock.plugins.registry import PluginInfo, Registry
from penstock.plugins.signatures import PluginError, check_source

__all__ = ["PluginError", "PluginInfo", "Registry", "check_source", "load_plugins"]
