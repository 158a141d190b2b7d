"""What a user may set on a Kafka source and on a mapping that reads one, and what is refused before connecting."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from penstock.api import Setting, SettingsError
from penstock_kafka.client import KafkaException, error_of, new_consumer
from penstock_kafka.config import check_config_names, common_config

MECHANISMS = ("PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512")
PARTITIONS_MAX = 100_000
REVOCATION_GRACE_S = 10
SESSION_TIMEOUT_S = 10

_GROUP_ID = re.compile(r"[a-zA-Z0-9\-/*:_+=.@]{1,200}")
_TOPIC = re.compile(r"[a-zA-Z0-9._\-]{1,249}")

SOURCE_SETTINGS = (
    Setting("BootstrapServers", "texts", required=True, doc="brokers to begin with, each `host:port`"),
    Setting("Topic", "text", required=True, doc="the topic"),
    Setting("Topics", "texts", doc="several topics", refusal="is not supported yet; give each topic a source"),
    Setting("TopicPattern", "text", doc="topics by pattern", refusal="is not supported yet; give each topic a source"),
    Setting(
        "Sasl",
        "section",
        doc="how to log in",
        fields=(
            Setting("Mechanism", "choice", required=True, choices=MECHANISMS, doc="how the password is proven"),
            Setting("Username", "text", required=True, doc="the user"),
            Setting("Password", "text", required=True, secret=True, doc="the user's password"),
        ),
    ),
    Setting(
        "Tls",
        "section",
        doc="TLS to the brokers; `Tls: {}` trusts the system's authorities",
        fields=(
            Setting("CaFile", "path", doc="certificates of the authorities to trust, PEM; default: the system's"),
            Setting("CertFile", "path", doc="our certificate, PEM, where brokers ask for one"),
            Setting("KeyFile", "path", doc="our certificate's key, PEM"),
            Setting("KeyPassword", "text", secret=True, doc="the key's password"),
            Setting("Verify", "boolean", default=True, doc="check the brokers' certificates and names"),
        ),
    ),
    Setting("Config", "map", doc="librdkafka's own properties, by its own names"),
    Setting("Partitions", "integer", least=1, most=PARTITIONS_MAX, doc="partitions of a topic that is created"),
    Setting("ReplicationFactor", "integer", least=1, most=100, doc="copies of each partition that is created"),
)

CONNECTION_SETTINGS = ("BootstrapServers", "Sasl", "Tls", "Config")

MAPPING_SETTINGS = (
    Setting("ConsumerGroupId", "text", doc="the consumer group; default: `<Name>.<function>.<event>`"),
    Setting("GroupProtocol", "choice", choices=("classic", "consumer"), default="classic", doc="how members agree"),
    Setting(
        "RevocationGraceSeconds",
        "number",
        least=0,
        most=3600,
        # No default here: unset, it gives way to a short max.poll.interval.ms; set, it is refused beside one.
        unit="s",
        doc="what a running invocation has left when its partition goes to another node; default: 10",
    ),
    Setting(
        "SessionTimeoutSeconds",
        "number",
        least=1,
        most=3600,
        # No default here, so that setting it beside the protocol that does not know it can be refused.
        unit="s",
        doc="after how long without a sign of life a node's partitions go to others (classic protocol only); default: "
        f"{SESSION_TIMEOUT_S}",
    ),
)


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot work, with the setting's path; nothing is connected to."""
    topic = settings.get("Topic") or ""
    if not _TOPIC.fullmatch(topic) or topic in {".", ".."}:
        raise SettingsError(
            "Topic", f"is {topic!r}", allowed="a topic has 1 to 249 letters, digits, dots, dashes or underscores"
        )
    tls: Mapping[str, Any] = settings.get("Tls") or {}
    for name in ("CaFile", "CertFile", "KeyFile"):
        if tls.get(name) and not Path(tls[name]).is_file():
            raise SettingsError(f"Tls.{name}", f"there is no file {str(tls[name])!r}")
    if bool(tls.get("CertFile")) != bool(tls.get("KeyFile")):
        missing, given = ("KeyFile", "CertFile") if tls.get("CertFile") else ("CertFile", "KeyFile")
        raise SettingsError(f"Tls.{missing}", f"is missing; a {given} needs it")
    check_config_names(settings.get("Config") or {})
    _try_config(settings)


def group_id(project: str, mapping: str, settings: Mapping[str, Any]) -> str:
    """Tell a mapping's consumer group: the one that is set, or the project's and the mapping's name."""
    given = settings.get("ConsumerGroupId")
    group = given or f"{project}.{mapping}"
    if not _GROUP_ID.fullmatch(group):
        raise SettingsError(
            "ConsumerGroupId", f"is {group!r}", allowed="1 to 200 letters, digits or any of -/*:_+=.@ are allowed"
        )
    return str(group)


def _try_config(settings: Mapping[str, Any]) -> None:
    # librdkafka checks names, values and files when a client is made; without servers that client connects to nothing.
    config = common_config(settings) | {"group.id": "check"}
    del config["bootstrap.servers"]
    try:
        new_consumer(config).close()
    except KafkaException as raised:
        reason = error_of(raised).str().removeprefix("Failed to create consumer: ")
        path = "Tls" if reason.startswith("ssl.") else "Config"
        raise SettingsError(path, reason) from None
    except (TypeError, ValueError) as raised:
        raise SettingsError("Config", str(raised)) from None
