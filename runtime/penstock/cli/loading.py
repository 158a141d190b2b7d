"""Reading the configuration for a command, and finding in it what the user named."""

from pathlib import Path

from penstock.api import Destination, SourceContext, SourceOperations, SourceType
from penstock.cli.failures import Wrong
from penstock.cli.session import session
from penstock.configuration import (
    FunctionConfig,
    Project,
    SourceConfig,
    find_source,
    load,
    mask_function,
)
from penstock.plugins import Registry, check_source, load_plugins


def load_project(file: str, data_dir: Path | None = None, *, registry: Registry | None = None) -> Project:
    """Read the configuration. From here on, its secrets are kept out of everything that is said."""
    project = load(file, registry or load_plugins(), data_dir=data_dir)
    session().mask = mask_function(project.secrets)
    return project


def source_of(project: Project, name: str) -> SourceConfig:
    """Find a source by its name or ARN."""
    names, _ = find_source(name, {each.name: each.arn for each in project.sources.values()})
    if len(names) == 1:
        return project.sources[names[0]]
    if names:
        raise Wrong(f"{name} names {' and '.join(names)}; use a name")
    raise Wrong(f"there is no source '{name}' in {project.file}; there are {_listed(project.sources)}")


def function_of(project: Project, name: str) -> FunctionConfig:
    """Find a function by its name or ARN."""
    short = name.rpartition(":")[2] if name.startswith("arn:") else name
    if short not in project.functions:
        raise Wrong(f"there is no function '{name}' in {project.file}; there are {_listed(project.functions)}")
    return project.functions[short]


def context_of(project: Project, source: SourceConfig) -> SourceContext:
    """Describe a source to its plugin."""
    return SourceContext(
        project=project.name, name=source.name, settings=source.settings, data_dir=project.settings.data_dir
    )


def operations_of(source_type: SourceType, context: SourceContext) -> SourceOperations:
    """Make what an operator needs of a source. Raises PluginError where the plugin does not keep to the API."""
    assert source_type.operate is not None  # the caller looked
    operations = source_type.operate(context)
    check_source(operations, SourceOperations)
    return operations


def destination_of(source_type: SourceType, context: SourceContext) -> Destination:
    """Make a source's writer. Raises PluginError where the plugin does not keep to the API."""
    assert source_type.open_destination is not None  # the caller looked
    destination = source_type.open_destination(context)
    check_source(destination, Destination)
    return destination


def make_data_dir(path: Path) -> None:
    """Make the data directory, private and out of git, where a command writes before any node has run."""
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
        (path / ".gitignore").write_text("*\n")
    except OSError as error:
        raise Wrong(f"the data directory {path} can not be made: {error.strerror}") from None


def _listed(names: object) -> str:
    return ", ".join(names) if isinstance(names, dict) and names else "none"
