"""A stand-in for a source type whose plugin can not be loaded: known, described by its error, and never read from."""

from collections.abc import Mapping
from typing import Any, Literal

from penstock.api import QueueCapabilities, SourceBroken, SourceType, StreamCapabilities
from penstock.plugins import PluginInfo


def broken_source_type(name: str, kind: Literal["stream", "queue"], plugin: PluginInfo) -> SourceType:
    """Make a type whose every part raises SourceBroken with the plugin's error as soon as it is asked for."""
    sentence = broken_sentence(plugin)

    def refuse(*_: object) -> Any:
        raise SourceBroken(sentence)

    return SourceType(
        name=name,
        kind=kind,
        doc=sentence,
        capabilities=StreamCapabilities(seekable_by_time=True) if kind == "stream" else QueueCapabilities(),
        settings=(),
        event_formats=("kinesis", "kafka") if kind == "stream" else ("sqs", "rmq"),
        open_stream=refuse if kind == "stream" else None,
        open_queue=refuse if kind == "queue" else None,
        open_destination=refuse,
        operate=refuse,
        describe=_describe_nothing,
    )


def broken_sentence(plugin: PluginInfo) -> str:
    """Say why nothing of a plugin can be used."""
    return f"the plugin '{plugin.name}' can not be loaded: {plugin.error}"


def _describe_nothing(_: Mapping[str, Any]) -> Mapping[str, str]:
    return {}
