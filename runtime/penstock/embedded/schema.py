"""The tables of an embedded file, and the version of their layout (`D48`)."""

APPLICATION_ID = 0x50656E73
"""Written into the file's header, so that another program's database is never taken for ours."""

SCHEMA_VERSION = 2
"""Grows with every change of a table. A newer file than this is refused, an older one is brought up to date."""

_FIFO = """
CREATE INDEX message_in_order ON message (queue_id, id, visible_ms, group_name) WHERE group_name IS NOT NULL;

CREATE TABLE deduplication (
    queue_id INTEGER NOT NULL REFERENCES queue (id),
    deduplication_id TEXT NOT NULL,
    message_id TEXT NOT NULL,
    forgotten_ms INTEGER,
    PRIMARY KEY (queue_id, deduplication_id)
) STRICT, WITHOUT ROWID;

CREATE INDEX deduplication_by_end ON deduplication (forgotten_ms) WHERE forgotten_ms IS NOT NULL
"""
"""What FIFO queues need besides."""

TABLES = (
    """
CREATE TABLE stream (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    shards_count INTEGER NOT NULL,
    records_count INTEGER NOT NULL DEFAULT 0,
    created_ms INTEGER NOT NULL
) STRICT;

CREATE TABLE shard (
    id INTEGER PRIMARY KEY,
    stream_id INTEGER NOT NULL REFERENCES stream (id),
    number INTEGER NOT NULL,
    position_next INTEGER NOT NULL DEFAULT 0,
    last_ms INTEGER NOT NULL DEFAULT 0,
    UNIQUE (stream_id, number)
) STRICT;

CREATE TABLE segment (
    id INTEGER PRIMARY KEY,
    records_count INTEGER NOT NULL,
    bytes_count INTEGER NOT NULL,
    first_ms INTEGER NOT NULL,
    last_ms INTEGER NOT NULL,
    columns BLOB NOT NULL
) STRICT;

CREATE TABLE member (
    mapping TEXT NOT NULL,
    stream_id INTEGER NOT NULL REFERENCES stream (id),
    node TEXT NOT NULL,
    session TEXT NOT NULL UNIQUE,
    lease_ms INTEGER NOT NULL,
    expires_ms INTEGER NOT NULL,
    PRIMARY KEY (mapping, stream_id, node)
) STRICT, WITHOUT ROWID;

CREATE TABLE lease (
    mapping TEXT NOT NULL,
    shard_id INTEGER NOT NULL REFERENCES shard (id),
    node TEXT,
    token INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (mapping, shard_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE checkpoint (
    mapping TEXT NOT NULL,
    shard_id INTEGER NOT NULL REFERENCES shard (id),
    position INTEGER NOT NULL,
    note TEXT NOT NULL,
    committed_ms INTEGER NOT NULL,
    PRIMARY KEY (mapping, shard_id)
) STRICT, WITHOUT ROWID;

CREATE TABLE queue (
    id INTEGER PRIMARY KEY,
    name TEXT NOT NULL UNIQUE,
    created_ms INTEGER NOT NULL,
    is_fifo INTEGER NOT NULL DEFAULT 0
) STRICT;

CREATE TABLE message (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    queue_id INTEGER NOT NULL REFERENCES queue (id),
    visible_ms INTEGER NOT NULL,
    receive_count INTEGER NOT NULL DEFAULT 0,
    token TEXT,
    first_received_ms INTEGER,
    sent_ms INTEGER NOT NULL,
    message_id TEXT NOT NULL,
    attributes BLOB,
    body BLOB NOT NULL,
    group_name TEXT,
    deduplication_id TEXT,
    owner TEXT
) STRICT;

CREATE INDEX message_by_visibility ON message (queue_id, visible_ms, id);
"""
    + _FIFO
    + """;

CREATE TABLE signal (
    key TEXT PRIMARY KEY,
    version INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
"""
)

UPGRADES: dict[int, str] = {
    1: """
ALTER TABLE queue ADD COLUMN is_fifo INTEGER NOT NULL DEFAULT 0;
ALTER TABLE message ADD COLUMN group_name TEXT;
ALTER TABLE message ADD COLUMN deduplication_id TEXT;
ALTER TABLE message ADD COLUMN owner TEXT;
"""
    + _FIFO
}
"""For each older version the statements that lead to the next one."""
