"""What the entry point names: the plugin's API version and the source type that it registers."""

import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from penstock.api import (
    Destination,
    MappingContext,
    Positions,
    SettingsError,
    SourceContext,
    SourceOperations,
    SourceType,
    StreamSource,
    hookimpl,
)
from penstock_kafka.config import (
    Budget,
    bootstrap_servers,
    common_config,
    max_poll_interval_ms,
    member_config,
    still_ms,
)
from penstock_kafka.connection import place_of
from penstock_kafka.destination import KafkaDestination
from penstock_kafka.group_positions import GroupPositions
from penstock_kafka.member import MemberSettings
from penstock_kafka.operations import KafkaOperations
from penstock_kafka.reader import CAPABILITIES, KafkaReader, ReaderSettings
from penstock_kafka.settings import (
    CONNECTION_SETTINGS,
    MAPPING_SETTINGS,
    REVOCATION_GRACE_S,
    SESSION_TIMEOUT_S,
    SOURCE_SETTINGS,
    check_settings,
    group_id,
)

PENSTOCK_API_VERSION = 1

_LOOPBACK = {"127.0.0.1", "[::1]"}
_INSTANCE_ID = re.compile(r"[a-zA-Z0-9._\-]{1,200}")


@hookimpl
def register_sources(register: Callable[[SourceType], None]) -> None:
    """Register the type `kafka`."""
    register(
        SourceType(
            name="kafka",
            kind="stream",
            doc="a topic of Apache Kafka; each partition is a shard",
            capabilities=CAPABILITIES,
            settings=SOURCE_SETTINGS,
            event_formats=("kafka", "kinesis"),
            connection_settings=CONNECTION_SETTINGS,
            mapping_settings=MAPPING_SETTINGS,
            check_settings=check_settings,
            check_mapping_settings=check_mapping_settings,
            open_stream=open_stream,
            open_destination=open_destination,
            open_positions=open_positions,
            operate=operate,
            describe=describe,
            is_same=is_same,
            destination_scheme="kafka",
            destination_setting="Topic",
            # What AWS makes of -1 beside an on-failure destination (`lambda-semantics.md §3.6`).
            endless_retries_with_destination=10,
        )
    )


def open_stream(source: SourceContext, mapping: MappingContext) -> StreamSource:
    """Make a mapping's reader. Raises SettingsError for what `check_mapping_settings` refuses."""
    settings, chosen = source.settings, mapping.settings
    group = group_id(source.project, mapping.mapping, chosen)
    session_ms = _milliseconds(chosen, "SessionTimeoutSeconds", SESSION_TIMEOUT_S)
    budget = Budget.of(mapping.buffer_bytes_max)
    config = member_config(
        settings,
        group=group,
        instance=instance_id(mapping.node, mapping.uuid),
        protocol=chosen.get("GroupProtocol") or "classic",
        session_timeout_ms=session_ms,
        budget=budget,
    )
    member = MemberSettings(
        topic=settings["Topic"],
        place=place_of(settings),
        group=group,
        config=config,
        asking=common_config(settings),
        grace_ms=_grace_ms(settings, chosen),
        still_ms=still_ms(config, session_ms),
    )
    return KafkaReader(ReaderSettings(source=dict(settings), member=member, records_bytes_max=budget.records_bytes))


def open_destination(source: SourceContext) -> Destination:
    """Make a writer of a topic."""
    return KafkaDestination(source)


def open_positions(source: SourceContext, mapping: MappingContext) -> Positions:
    """Make what moves the offsets of a mapping's group."""
    return GroupPositions(
        source.settings,
        group=group_id(source.project, mapping.mapping, mapping.settings),
        instance=instance_id(mapping.node, mapping.uuid),
    )


def operate(source: SourceContext) -> SourceOperations:
    """Make what an operator needs of a topic."""
    return KafkaOperations(source)


def describe(settings: Mapping[str, Any]) -> Mapping[str, str]:
    """Tell what an event says of where its records come from."""
    return {"topic": settings["Topic"], "bootstrapServers": bootstrap_servers(settings)}


def is_same(one: SourceContext, other: SourceContext) -> bool:
    """Tell whether two sources are one topic: of the same name, and with a broker in common."""
    return one.settings["Topic"] == other.settings["Topic"] and bool(_brokers(one) & _brokers(other))


def check_mapping_settings(source: Mapping[str, Any], mapping: Mapping[str, Any]) -> None:
    """Refuse a group's name, a grace or a session that can not be; nothing is connected to."""
    group_id("any", "any", mapping)
    _grace_ms(source, mapping)
    if mapping.get("GroupProtocol") == "consumer" and mapping.get("SessionTimeoutSeconds") is not None:
        raise SettingsError(
            "SessionTimeoutSeconds",
            "is set beside `GroupProtocol: consumer`, where the broker decides how long a session lasts",
            allowed="leave it out, or use `GroupProtocol: classic`",
        )


def instance_id(node: str, uuid: str) -> str:
    """Name a mapping's static member on a node: the same after a restart, so that its partitions wait for it."""
    name = f"penstock.{node}.{uuid}"
    if _INSTANCE_ID.fullmatch(name):
        return name
    return f"penstock.{hashlib.sha256(name.encode()).hexdigest()}"


def _grace_ms(settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> int:
    most_ms = max_poll_interval_ms(settings) // 3
    given = chosen.get("RevocationGraceSeconds")
    if given is None:
        return min(REVOCATION_GRACE_S * 1000, most_ms)
    if given * 1000 > most_ms:
        raise SettingsError(
            "RevocationGraceSeconds",
            f"is {given:g}",
            allowed=f"at most {most_ms / 1000:g}, a third of max.poll.interval.ms, is allowed",
        )
    return int(given * 1000)


def _brokers(source: SourceContext) -> frozenset[str]:
    """List a source's first brokers in one spelling: without a protocol, with a port, loopback by one name."""
    brokers = set()
    for each in bootstrap_servers(source.settings).lower().split(","):
        host, _, port = each.strip().rpartition("://")[2].rpartition(":")
        host, port = (host, port) if port.isdecimal() else (f"{host}:{port}".strip(":"), "9092")
        brokers.add(f"{'localhost' if host in _LOOPBACK else host}:{port}")
    return frozenset(brokers)


def _milliseconds(settings: Mapping[str, Any], name: str, default_s: int) -> int:
    given = settings.get(name)
    return int((default_s if given is None else given) * 1000)
