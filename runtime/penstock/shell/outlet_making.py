"""Makes outlets from a configuration: what each kind of destination is written by, and how it is looked at."""

from collections.abc import Awaitable, Callable
from functools import partial

from penstock.api import Destination, SourceContext, SourceOperations
from penstock.configuration import MappingConfig, Project, SourceConfig
from penstock.configuration.project import DestinationConfig
from penstock.plugins import Registry, check_source
from penstock.shell.file_writer import FileWriter
from penstock.shell.function_writer import FunctionWriter
from penstock.shell.logs import Log
from penstock.shell.outlet import Outlet
from penstock.shell.services import Services
from penstock.shell.writers import PluginWriter, Writer


def make_outlet(
    config: MappingConfig,
    destination: DestinationConfig,
    *,
    project: Project,
    registry: Registry,
    services: Services,
    log: Log,
) -> Outlet:
    """Make one destination of a mapping; nothing is opened yet."""
    check: Callable[[], Awaitable[None]] | None = None
    make: Callable[[], Writer]
    match destination.kind:
        case "source":
            assert destination.source is not None
            make, check = _source(project, destination.source)
        case "file":
            assert destination.path is not None
            make = partial(FileWriter, destination.path, mapping_uuid=config.uuid, names=services.request_ids)
        case "function":
            make = partial(
                FunctionWriter,
                services.environments,
                mapping=config.name,
                function=destination.function,
                request_ids=services.request_ids,
            )
        case "scheme":
            make = partial(PluginWriter, partial(_open_scheme, registry, destination))
    return Outlet(name_of(destination), make, check=check, log=log)


def make_letter_outlet(source: SourceConfig, *, project: Project, log: Log) -> Outlet:
    """Make the target of a queue's dead letters; nothing is opened yet."""
    assert source.type.open_destination is not None
    context = source_context(project, source)
    make = partial(PluginWriter, partial(source.type.open_destination, context))
    check = None if source.type.operate is None else partial(_prepare_source, source, context)
    return Outlet(f"dead-letter target '{source.name}'", make, check=check, log=log)


def name_of(destination: DestinationConfig) -> str:
    """Say in messages which destination it is."""
    match destination.kind:
        case "source" if destination.source is not None:
            return f"destination '{destination.source.name}'"
        case "function":
            return f"destination 'function:{destination.function}'"
        case _:
            return f"destination '{destination.text}'"


def is_topic(source: SourceConfig | None) -> bool:
    """Tell whether a source is a Kafka topic, whose records have keys and headers to keep."""
    if source is None or source.type.describe is None:
        return False
    return "bootstrapServers" in source.type.describe(source.settings)


def source_context(project: Project, source: SourceConfig) -> SourceContext:
    """Describe a source to its plugin."""
    return SourceContext(
        project=project.name, name=source.name, settings=source.settings, data_dir=project.settings.data_dir
    )


def _source(
    project: Project, source: SourceConfig
) -> tuple[Callable[[], Writer], Callable[[], Awaitable[None]] | None]:
    context = source_context(project, source)
    assert source.type.open_destination is not None
    make = partial(PluginWriter, partial(source.type.open_destination, context))
    if source.type.operate is None:
        return make, None
    return make, partial(_prepare_source, source, context)


async def _prepare_source(source: SourceConfig, context: SourceContext) -> None:
    operations = _operations(source, context)
    try:
        if source.create:
            await operations.create()
        await operations.check(write=True)
    finally:
        await operations.close()


def _operations(source: SourceConfig, context: SourceContext) -> SourceOperations:
    assert source.type.operate is not None
    operations = source.type.operate(context)
    check_source(operations, SourceOperations)
    return operations


def _open_scheme(registry: Registry, destination: DestinationConfig) -> Destination:
    kind = registry.destination_types[destination.scheme]
    return kind.open_destination(destination.text, {each.name: each.default for each in kind.settings})
