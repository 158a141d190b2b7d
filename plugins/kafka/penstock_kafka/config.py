"""A source's settings as librdkafka's configuration: for reading in a group, for looking, and for sending."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api import SettingsError

_SASL = "use Sasl"
_TLS = "use Tls"
_POSITIONS = "positions are the engine's"

OWNED = {
    "bootstrap.servers": "use BootstrapServers",
    "metadata.broker.list": "use BootstrapServers",
    "security.protocol": "use Sasl and Tls",
    "sasl.mechanism": _SASL,
    "sasl.mechanisms": _SASL,
    "sasl.username": _SASL,
    "sasl.password": _SASL,
    "ssl.ca.location": _TLS,
    "ssl.certificate.location": _TLS,
    "ssl.key.location": _TLS,
    "ssl.key.password": _TLS,
    "enable.ssl.certificate.verification": _TLS,
    "group.id": "use the mapping's ConsumerGroupId",
    "group.protocol": "use the mapping's GroupProtocol",
    "group.instance.id": "it is made from the node's id",
    "session.timeout.ms": "use the mapping's SessionTimeoutSeconds",
    "partition.assignment.strategy": "partitions move cooperatively, whatever is set",
    "enable.auto.commit": _POSITIONS,
    "auto.commit.interval.ms": _POSITIONS,
    "enable.auto.offset.store": _POSITIONS,
    "auto.offset.reset": f"{_POSITIONS}; use StartingPosition",
    "enable.partition.eof": _POSITIONS,
    "isolation.level": "only what is committed is read",
    "allow.auto.create.topics": "topics are created by `Create: true` alone",
    "acks": "what is sent is stored by all replicas in sync",
    "request.required.acks": "what is sent is stored by all replicas in sync",
    "enable.idempotence": "sending is idempotent",
    "transactional.id": "sending uses no transactions",
    "plugin.library.paths": "it would load code into the node",
}
"""Properties that the plugin sets itself, and what to do instead."""

MAX_POLL_INTERVAL_MS = 300_000
HEARTBEATS_PER_SESSION = 4
STILL_MS_LEAST = 500
"""An idle member's thread looks at the clock twice in this time."""
_RECORD_BYTES_LEAST = 16 * 1024


@dataclass(frozen=True, slots=True)
class Budget:
    """How a mapping's bytes are shared out between librdkafka's queue and our buffers.

    Our buffers may hold `records_bytes` twice over in the worst case (one blocked shard beside busy ones), the queue a
    fetch more than its limit.
    """

    records_bytes: int
    queue_bytes: int
    fetch_bytes: int

    @classmethod
    def of(cls, bytes_max: int) -> "Budget":
        """Share out so many bytes."""
        return cls(bytes_max // 4, bytes_max // 4, max(bytes_max // 8, _RECORD_BYTES_LEAST))


def check_config_names(config: Mapping[str, Any]) -> None:
    """Refuse the properties that the plugin owns, with what to do instead."""
    for name in config:
        if name in OWNED:
            raise SettingsError(f"Config.{name}", "is set by Penstock", allowed=OWNED[name])


def bootstrap_servers(settings: Mapping[str, Any]) -> str:
    """Join the addresses as librdkafka and the event layout want them."""
    given = settings["BootstrapServers"]
    return given if isinstance(given, str) else ",".join(given)


def common_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what every client of a source has: where, as whom, and the user's own properties."""
    config: dict[str, Any] = {
        "client.id": "penstock",
        "reconnect.backoff.ms": 100,
        "reconnect.backoff.max.ms": 2000,
        "topic.metadata.refresh.interval.ms": 30_000,
        **(settings.get("Config") or {}),
        "bootstrap.servers": bootstrap_servers(settings),
        # Without it, a client that sends or asks could create a topic by naming it.
        "allow.auto.create.topics": False,
    }
    sasl, tls = settings.get("Sasl"), settings.get("Tls")
    config["security.protocol"] = ("SASL_" if sasl else "") + ("PLAINTEXT" if tls is None else "SSL")
    if sasl:
        config["sasl.mechanism"] = sasl["Mechanism"]
        config["sasl.username"] = sasl["Username"]
        config["sasl.password"] = sasl["Password"]
    for name, option in (
        ("CaFile", "ssl.ca.location"),
        ("CertFile", "ssl.certificate.location"),
        ("KeyFile", "ssl.key.location"),
        ("KeyPassword", "ssl.key.password"),
    ):
        if tls and tls.get(name):
            config[option] = str(tls[name])
    if tls and tls.get("Verify") is False:
        config["enable.ssl.certificate.verification"] = False
    return config


def reading_config(settings: Mapping[str, Any], *, group: str) -> dict[str, Any]:
    """Tell what a consumer has that reads from positions given to it."""
    return {
        "fetch.queue.backoff.ms": 5,
        **common_config(settings),
        "group.id": group,
        "enable.auto.commit": False,
        "enable.auto.offset.store": False,
        "auto.offset.reset": "error",
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
    }


def member_config(
    settings: Mapping[str, Any], *, group: str, instance: str, protocol: str, session_timeout_ms: int, budget: Budget
) -> dict[str, Any]:
    """Tell what a group member's consumer has besides: its static id, its protocol, and queues within its budget."""
    config = {
        "queued.min.messages": 20_000,
        "queued.max.messages.kbytes": max(1, budget.queue_bytes // 1024),
        "fetch.max.bytes": budget.fetch_bytes,
        "max.partition.fetch.bytes": budget.fetch_bytes,
        # librdkafka wants a fetch to hold its largest message; a larger record still comes, alone in its fetch.
        "message.max.bytes": min(1_000_000, budget.fetch_bytes),
        **reading_config(settings, group=group),
    }
    if protocol == "classic":
        # A node that was killed and comes back has its partitions at once. Under the other protocol the broker would
        # refuse it until its old session has run out.
        config["group.instance.id"] = instance
        config["partition.assignment.strategy"] = "cooperative-sticky"
        config["session.timeout.ms"] = session_ms = min(session_timeout_ms, max_poll_interval_ms(settings))
        config.setdefault("heartbeat.interval.ms", session_ms // HEARTBEATS_PER_SESSION)
    else:
        # Sessions and assignors of this protocol are the broker's business: librdkafka refuses settings of them.
        config["group.protocol"] = "consumer"
    return config


def still_ms(config: Mapping[str, Any], session_timeout_ms: int) -> int:
    """Tell how long a member's process may stand still and surely be a member of its group all the time.

    The group's patience began with the last heartbeat, and the next one may have been due when the process stopped. A
    third of what is left is for whatever takes longer than it should.
    """
    session_ms = int(config.get("session.timeout.ms", session_timeout_ms))
    heartbeat_ms = int(config.get("heartbeat.interval.ms", session_ms // HEARTBEATS_PER_SESSION))
    return max(STILL_MS_LEAST, (session_ms - heartbeat_ms) * 2 // 3)


def sending_config(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Tell what a producer has: every record stored by all replicas in sync, once, in order."""
    return {
        # Keys go where Java's producers put them.
        "partitioner": "murmur2_random",
        # The broker decides what is too large, not the client.
        "message.max.bytes": 1_000_000_000,
        "delivery.timeout.ms": 30_000,
        **common_config(settings),
        "acks": "all",
        "enable.idempotence": True,
    }


def max_poll_interval_ms(settings: Mapping[str, Any]) -> int:
    """Tell how long the group waits for a member that does not poll."""
    given = (settings.get("Config") or {}).get("max.poll.interval.ms", MAX_POLL_INTERVAL_MS)
    return int(given)
