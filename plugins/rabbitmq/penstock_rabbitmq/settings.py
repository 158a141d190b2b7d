"""What a user may set on RabbitMQ sources, and what is refused before connecting."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from penstock.api import Setting, SettingsError, SourceContext
from penstock_rabbitmq.address import Address, addresses_of

NAME_BYTES_MAX = 255
OWNER_PREFIX = "penstock.owner."
DELAY_PREFIX = "penstock.delay."
PREFETCH = 20_000
"""A batch and what the engine holds for a retry, 10,000 each, find room in it; memory bounds it besides."""
PREFETCH_MOST = 65_535
CONSUMER_TIMEOUT_S = 1_800
"""The broker's own default."""
CONSUMER_TIMEOUT_S_LEAST = 60

CONNECTION_SETTINGS = ("Url", "Urls", "Username", "Password", "VirtualHost", "Authentication", "Tls")

SETTINGS = (
    Setting("Url", "text", doc="amqp://USER:PASSWORD@HOST:PORT/VHOST, or amqps://… for TLS"),
    Setting("Urls", "texts", doc="instead of Url: those of a cluster's nodes, which are tried in turn"),
    Setting("Username", "text", doc="the user, where the Url does not name one"),
    Setting("Password", "text", secret=True, doc="the user's password, where the Url does not hold it"),
    Setting("VirtualHost", "text", doc="the virtual host, where the Url does not name one (default: /)"),
    Setting(
        "Authentication",
        "choice",
        default="plain",
        choices=("plain", "external"),
        doc="how the broker knows us: by a password (plain), or by our certificate (external)",
    ),
    Setting(
        "Tls",
        "section",
        doc="TLS to the broker; `Tls: {}` trusts the system's authorities",
        fields=(
            Setting("CaFile", "path", doc="certificates of the authorities to trust, PEM; default: the system's"),
            Setting("CertFile", "path", doc="our certificate, PEM, where the broker asks for one"),
            Setting("KeyFile", "path", doc="our certificate's key, PEM"),
            Setting("KeyPassword", "text", secret=True, doc="the key's password"),
            Setting("Verify", "boolean", default=True, doc="check the broker's certificate and name"),
        ),
    ),
    Setting("Queue", "text", required=True, doc="the queue's name"),
    Setting(
        "QueueType",
        "choice",
        choices=("quorum", "classic"),
        doc="the type of a queue that Create makes (default: quorum; classic for FIFO), and what FIFO may rely on",
    ),
    Setting(
        "GroupFrom",
        "text",
        doc="what holds the message group (default: the header MessageGroupId): another header's name, routing_key, or "
        "properties.NAME; FIFO only",
    ),
    Setting(
        "AcceptReorderOnFailover",
        "boolean",
        default=False,
        doc="let a quorum queue be FIFO, although it puts messages behind others when they come back",
    ),
    Setting(
        "Prefetch",
        "integer",
        least=1,
        most=PREFETCH_MOST,
        unit="messages",
        doc=f"how many messages the broker may have out at us (default: {PREFETCH}, less where memory is short)",
    ),
    Setting(
        "ConsumerTimeout",
        "integer",
        default=CONSUMER_TIMEOUT_S,
        least=CONSUMER_TIMEOUT_S_LEAST,
        most=7 * 86_400,
        unit="seconds",
        doc="the broker's consumer_timeout, after which it takes back what is not acknowledged",
    ),
    Setting("Exchange", "text", doc="an exchange to bind the queue to; with Create it is made where it is missing"),
    Setting(
        "ExchangeType",
        "choice",
        default="direct",
        choices=("direct", "topic", "fanout", "headers"),
        doc="the type of an exchange that Create makes",
    ),
    Setting("Bindings", "texts", doc="the routing keys to bind the queue by (default: its name)"),
    Setting("Arguments", "any", doc="further arguments of a queue that Create makes: {x-max-length: 100000}"),
)

PROPERTIES = ("app_id", "correlation_id", "reply_to", "type", "user_id", "message_id")
"""The properties that can be a message's group."""
ROUTING_KEY = "routing_key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """A source's settings, complete."""

    addresses: tuple[Address, ...]
    queue: str
    queue_type: Literal["quorum", "classic"] | None
    is_fifo: bool
    group_from: str
    accepts_reorder: bool
    prefetch: int | None
    consumer_timeout_s: int
    exchange: str | None
    exchange_type: str
    bindings: tuple[str, ...]
    arguments: Mapping[str, Any]

    @property
    def place(self) -> str:
        """Name the queue as errors do."""
        return f"queue {self.queue!r} on {self.addresses[0].shown}"

    @property
    def owner_queue(self) -> str:
        """Name the queue whose owner is the one that receives (FIFO)."""
        return OWNER_PREFIX + self.queue

    @property
    def type_to_make(self) -> Literal["quorum", "classic"]:
        """What a queue that is missing becomes."""
        return self.queue_type or ("classic" if self.is_fifo else "quorum")

    @classmethod
    def of(cls, source: SourceContext) -> "Settings":
        """Read a source's settings, with defaults where they are absent."""
        settings = source.settings
        return cls(
            addresses=addresses_of(settings),
            queue=settings["Queue"],
            queue_type=settings.get("QueueType"),
            is_fifo=bool(settings.get("FifoQueue")),
            group_from=settings.get("GroupFrom") or "MessageGroupId",
            accepts_reorder=bool(settings.get("AcceptReorderOnFailover")),
            prefetch=settings.get("Prefetch"),
            consumer_timeout_s=settings.get("ConsumerTimeout") or CONSUMER_TIMEOUT_S,
            exchange=settings.get("Exchange"),
            exchange_type=settings.get("ExchangeType") or "direct",
            bindings=tuple(settings.get("Bindings") or ()),
            arguments=dict(settings.get("Arguments") or {}),
        )


def check_settings(settings: Mapping[str, Any]) -> None:
    """Refuse what cannot work, with the setting's path; nothing is connected to."""
    addresses_of(settings)
    _check_queue(settings)
    _check_fifo(settings)
    _check_time(settings)
    _check_creation(settings)


def _check_queue(settings: Mapping[str, Any]) -> None:
    queue = settings.get("Queue") or ""
    most = NAME_BYTES_MAX - len(OWNER_PREFIX) if settings.get("FifoQueue") else NAME_BYTES_MAX
    if not queue or len(queue.encode()) > most:
        raise SettingsError("Queue", f"has {len(queue.encode())} bytes", allowed=f"1 to {most} bytes")
    if queue.startswith(("amq.", "penstock.")):
        raise SettingsError("Queue", f"is {queue!r}", allowed="any name that does not begin with `amq.` or `penstock.`")


def _check_fifo(settings: Mapping[str, Any]) -> None:
    if not settings.get("FifoQueue"):
        if settings.get("GroupFrom") is not None:
            raise SettingsError("GroupFrom", "is set without `FifoQueue: true`", allowed="only FIFO queues have groups")
        if settings.get("AcceptReorderOnFailover"):
            raise SettingsError(
                "AcceptReorderOnFailover", "is set without `FifoQueue: true`", allowed="leave it out; no order is kept"
            )
        return
    if settings.get("QueueType") == "quorum" and not settings.get("AcceptReorderOnFailover"):
        raise SettingsError(
            "FifoQueue",
            "is set on a quorum queue, which puts a message that comes back behind others",
            allowed="`QueueType: classic`, or `AcceptReorderOnFailover: true`",
        )
    group_from = settings.get("GroupFrom")
    name = (group_from or "").removeprefix("properties.")
    if group_from == "" or (group_from is not None and name != group_from and name not in PROPERTIES):
        raise SettingsError(
            "GroupFrom",
            f"is {group_from!r}",
            allowed=f"a header's name, {ROUTING_KEY}, or properties. and one of {', '.join(PROPERTIES)}",
        )


def _check_time(settings: Mapping[str, Any]) -> None:
    timeout_s = settings.get("ConsumerTimeout") or CONSUMER_TIMEOUT_S
    visibility_s = settings.get("VisibilityTimeout")
    if visibility_s is not None and visibility_s > timeout_s // 2:
        raise SettingsError(
            "VisibilityTimeout",
            f"is {visibility_s} seconds; what failed is held unacknowledged for so long, and the broker takes "
            f"back what is held for {timeout_s} seconds",
            allowed=f"at most {timeout_s // 2}, or a larger consumer_timeout of the broker's, said in ConsumerTimeout",
        )


def _check_creation(settings: Mapping[str, Any]) -> None:
    if settings.get("Bindings") and not settings.get("Exchange"):
        raise SettingsError("Bindings", "is set without an Exchange", allowed="name the exchange")
    arguments = settings.get("Arguments")
    if arguments is None:
        return
    if not isinstance(arguments, Mapping) or not all(
        isinstance(name, str) and isinstance(value, str | int | bool) for name, value in arguments.items()
    ):
        raise SettingsError("Arguments", "is not a map of names to values", allowed="texts, whole numbers, true, false")
    if "x-queue-type" in arguments:
        raise SettingsError("Arguments.x-queue-type", "has a setting of its own", allowed="QueueType")
