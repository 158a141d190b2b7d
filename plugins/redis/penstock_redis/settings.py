"""What a user may set on Redis sources, and what is refused before connecting."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from penstock.api import Setting, SettingsError, SourceContext
from penstock_redis.address import Address, address_of

_GROUP = re.compile(r"[^\s{}]{1,200}")
DELAY_MAX_S = 7 * 24 * 3600

_CONNECTION = (
    Setting("Url", "text", doc="redis://HOST:PORT/DATABASE, rediss://… for TLS, or unix:///PATH; else Sentinels"),
    Setting("Username", "text", doc="the user, where the Url does not name one"),
    Setting("Password", "text", secret=True, doc="the user's password, where the Url does not hold it"),
    Setting("Database", "integer", least=0, most=1_000_000, doc="the number of the database (default 0)"),
    Setting(
        "Tls",
        "section",
        doc="TLS to the server; `Tls: {}` trusts the system's authorities",
        fields=(
            Setting("CaFile", "path", doc="certificates of the authorities to trust, PEM; default: the system's"),
            Setting("CertFile", "path", doc="our certificate, PEM, where the server asks for one"),
            Setting("KeyFile", "path", doc="our certificate's key, PEM"),
            Setting("KeyPassword", "text", secret=True, doc="the key's password"),
            Setting("Verify", "boolean", default=True, doc="check the server's certificate and name"),
        ),
    ),
    Setting("Sentinels", "texts", doc="HOST:PORT of each Sentinel to ask for the primary, in place of a Url"),
    Setting("SentinelService", "text", doc="the name of the primary at the Sentinels"),
    Setting("SentinelUsername", "text", doc="the user at the Sentinels, where they want one"),
    Setting("SentinelPassword", "text", secret=True, doc="the password at the Sentinels, where they want one"),
    Setting("SentinelTls", "boolean", doc="whether Tls is for the Sentinels too (default: as for the servers)"),
    Setting("Cluster", "boolean", doc="the Url names a node of a Redis Cluster, or several: HOST:PORT,HOST:PORT"),
)

CONNECTION_SETTINGS = tuple(setting.name for setting in _CONNECTION)

_DELAY = Setting(
    "DelaySeconds",
    "number",
    default=0,
    least=0,
    most=DELAY_MAX_S,
    unit="seconds",
    doc="how long each message that we send waits before it can be received",
)

QUEUE_SETTINGS = (
    *_CONNECTION,
    Setting("Key", "text", required=True, doc="the stream's key; one that is absent is an empty queue"),
    Setting("ConsumerGroup", "text", doc="the consumer group that is the queue (default: the project's name)"),
    Setting("GroupFrom", "text", doc="the field that holds the message group (default: MessageGroupId); FIFO only"),
    Setting(
        "DeleteSettled",
        "choice",
        default="auto",
        choices=("auto", "always", "never"),
        doc="delete entries that are settled; auto: where ours is the stream's only group",
    ),
    _DELAY,
)

LIST_SETTINGS = (
    *_CONNECTION,
    Setting("Key", "text", required=True, doc="the list's key; one that is absent is an empty queue"),
    Setting(
        "TakeFrom",
        "choice",
        default="right",
        choices=("right", "left"),
        doc="the end that is taken from; right goes with producers that LPUSH",
    ),
    _DELAY,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """A `redis-queue` source's settings, complete."""

    address: Address
    key: str
    group: str
    is_fifo: bool
    group_from: str | None
    deletes: str
    delay_ms: int

    @property
    def place(self) -> str:
        """Name the queue as errors do."""
        return f"queue {self.key!r} on {self.address.shown}"

    @classmethod
    def of(cls, source: SourceContext) -> "QueueSettings":
        """Read a source's settings, with defaults where they are absent."""
        settings = source.settings
        return cls(
            address=address_of(settings),
            key=settings["Key"],
            group=settings.get("ConsumerGroup") or _group_of(source.project),
            is_fifo=bool(settings.get("FifoQueue")),
            group_from=settings.get("GroupFrom"),
            deletes=settings.get("DeleteSettled") or "auto",
            delay_ms=_delay_ms(settings),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ListSettings:
    """A `redis-list` source's settings, complete."""

    address: Address
    key: str
    take_from: str
    delay_ms: int

    @property
    def place(self) -> str:
        """Name the queue as errors do."""
        return f"list {self.key!r} on {self.address.shown}"

    @classmethod
    def of(cls, source: SourceContext) -> "ListSettings":
        """Read a source's settings, with defaults where they are absent."""
        settings = source.settings
        return cls(
            address=address_of(settings),
            key=settings["Key"],
            take_from=settings.get("TakeFrom") or "right",
            delay_ms=_delay_ms(settings),
        )


def check_queue_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot work, with the setting's path; nothing is connected to."""
    _check_common(settings)
    group = settings.get("ConsumerGroup")
    if group is not None and not _GROUP.fullmatch(group):
        raise SettingsError("ConsumerGroup", f"is {group!r}", allowed="1 to 200 characters but spaces and braces")
    if settings.get("GroupFrom") is not None:
        if not settings.get("FifoQueue"):
            raise SettingsError("GroupFrom", "is set without `FifoQueue: true`", allowed="only FIFO queues have groups")
        if settings["GroupFrom"] in {"", "body", "MessageDeduplicationId"}:
            raise SettingsError("GroupFrom", f"is {settings['GroupFrom']!r}", allowed="the name of another field")


def check_list_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot work, with the setting's path; nothing is connected to."""
    _check_common(settings)
    if settings.get("FifoQueue"):
        raise SettingsError(
            "FifoQueue",
            "is set on a list, whose values have no message group and no id to be kept in order by",
            allowed="use a source of type redis-queue",
        )


def _check_common(settings: Mapping[str, Any]) -> None:
    address_of(settings)
    key = settings.get("Key") or ""
    if not key or key.startswith("penstock:"):
        raise SettingsError("Key", f"is {key!r}", allowed="any name that does not begin with `penstock:`")


def _group_of(project: str) -> str:
    # A project's name may hold what a group's name here may not.
    return re.sub(r"[\s{}]", "_", project)[:200] or "penstock"


def _delay_ms(settings: Mapping[str, Any]) -> int:
    return round((settings.get("DelaySeconds") or 0) * 1000)
