"""The tables of the store, and the version of their layout (`D48`)."""

APPLICATION_ID = 0x50656E53
"""Written into the file's header, so that another program's database is never taken for ours."""

SCHEMA_VERSION = 2
"""Grows with every change of a table. A newer file than this is refused, an older one is brought up to date."""

_MESSAGE_RUN = """
CREATE TABLE message_run (
    queue TEXT NOT NULL,
    message TEXT NOT NULL,
    runs INTEGER NOT NULL,
    written_ms INTEGER NOT NULL,
    PRIMARY KEY (queue, message)
) STRICT, WITHOUT ROWID;

CREATE INDEX message_run_by_age ON message_run (written_ms)
"""

TABLES = """
CREATE TABLE store (
    id TEXT NOT NULL
) STRICT;

CREATE TABLE window_state (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    version TEXT NOT NULL UNIQUE,
    mapping TEXT NOT NULL,
    shard TEXT NOT NULL,
    saved_ms INTEGER NOT NULL,
    passed_over_ms INTEGER,
    state BLOB NOT NULL
) STRICT;

CREATE INDEX window_state_by_shard ON window_state (mapping, shard, number);
"""
TABLES += _MESSAGE_RUN

UPGRADES: dict[int, str] = {1: _MESSAGE_RUN}
"""For each older version the statements that lead to the next one."""
