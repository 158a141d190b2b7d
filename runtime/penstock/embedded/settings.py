"""The settings of embedded sources: as users write them, and as the plugin reads them."""

from dataclasses import dataclass
from pathlib import Path

from penstock.api import Setting, SourceContext

SHARDS_MAX = 1000
DELAY_MAX_S = 7 * 24 * 3600

_PATH = Setting("Path", "path", doc="the SQLite file (default: sources.db in the data directory); nodes may share one")

_CREATE = Setting("Create", "boolean", default=True, doc="make what is missing; it needs nobody's permission")

STREAM_SETTINGS = (
    _PATH,
    _CREATE,
    Setting("Stream", "text", doc="the stream's name in the file (default: the source's name)"),
    Setting(
        "Shards",
        "integer",
        least=1,
        most=SHARDS_MAX,
        doc="how many shards the stream is made with (default 1); what is there never changes",
    ),
    Setting(
        "RetentionSeconds",
        "integer",
        default=24 * 3600,
        least=1,
        most=366 * 24 * 3600,
        unit="seconds",
        doc="how long records are kept, read or not",
    ),
    Setting(
        "LeaseSeconds",
        "number",
        default=10,
        least=1,
        most=300,
        unit="seconds",
        doc="how long after a node's death the others take its shards",
    ),
)

STREAM_MAPPING_SETTINGS = (
    Setting(
        "RevocationGraceSeconds",
        "number",
        default=10,
        least=0,
        most=300,
        unit="seconds",
        doc="how long a running invocation may finish when its shard goes to another node",
    ),
)

QUEUE_SETTINGS = (
    _PATH,
    _CREATE,
    Setting("Queue", "text", doc="the queue's name in the file (default: the source's name)"),
    Setting(
        "DelaySeconds",
        "number",
        default=0,
        least=0,
        most=DELAY_MAX_S,
        unit="seconds",
        doc="how long each message sent waits before it can be received",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """A stream source's settings, complete. `shards_count` None: whatever is there."""

    path: Path
    name: str
    shards_count: int | None
    retention_ms: int
    lease_ms: int
    is_in_data_dir: bool

    @classmethod
    def of(cls, source: SourceContext) -> "StreamSettings":
        """Read a source's settings, with defaults where they are absent."""
        settings = source.settings
        return cls(
            path=path_of(source),
            name=settings.get("Stream") or source.name,
            shards_count=settings.get("Shards"),
            retention_ms=_milliseconds(settings.get("RetentionSeconds"), 24 * 3600),
            lease_ms=_milliseconds(settings.get("LeaseSeconds"), 10),
            is_in_data_dir=not settings.get("Path"),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """A queue source's settings, complete."""

    path: Path
    name: str
    delay_ms: int
    is_fifo: bool
    is_in_data_dir: bool

    @classmethod
    def of(cls, source: SourceContext) -> "QueueSettings":
        """Read a source's settings, with defaults where they are absent."""
        settings = source.settings
        return cls(
            path=path_of(source),
            name=settings.get("Queue") or source.name,
            delay_ms=_milliseconds(settings.get("DelaySeconds"), 0),
            is_fifo=bool(settings.get("FifoQueue")),
            is_in_data_dir=not settings.get("Path"),
        )


def path_of(source: SourceContext) -> Path:
    """Tell which file a source is in."""
    path = source.settings.get("Path")
    return Path(path) if path else source.data_dir / "sources.db"


def _milliseconds(seconds: float | None, default_s: float) -> int:
    return round((default_s if seconds is None else seconds) * 1000)
