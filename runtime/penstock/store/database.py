"""Opening the store: the file, its pragmas, the version of its schema (`D48`) and an id of its own."""

import secrets
import sqlite3
import threading
from pathlib import Path

from penstock.store.errors import StoreError, blame
from penstock.store.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES, UPGRADES

BUSY_TIMEOUT_MS = 5000
"""The node holds its data directory alone; only an operator's own tools ever make us wait for the file."""
_OPENING = threading.Lock()
"""A node has the file open on several threads. One that finds it half laid out would take it for another program's."""
_WAL_BYTES_KEPT = 16 * 1024 * 1024


def open_store(path: Path) -> tuple[sqlite3.Connection, str]:
    """Open the store, and make it where there is none; gives a connection and the store's id.

    A commit on this connection is on the disk when it returns. Raises StoreError: not ours, newer than we know,
    damaged, or not to be had now.
    """
    with _OPENING:
        return _open(path)


def _open(path: Path) -> tuple[sqlite3.Connection, str]:
    try:
        # Made by us first, since SQLite would let everybody read it.
        path.touch(mode=0o600, exist_ok=True)
    except OSError as error:
        raise StoreError(f"the store {path} can not be made: {error.strerror or error}") from error
    try:
        connection = _connect(path)
        try:
            _settle_version(connection, path)
            (identity,) = connection.execute("SELECT id FROM store").fetchone()
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise blame(error, path) from error
    return connection, identity


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=rw",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_MS / 1000,
        check_same_thread=False,  # the thread that opens it may end before another one closes it
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
    except BaseException:
        connection.close()
        raise
    return connection


def _settle_version(connection: sqlite3.Connection, path: Path) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables_count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if (tables_count or version) and application != APPLICATION_ID:
        raise StoreError(f"the store {path} is an SQLite database of another program")
    if version > SCHEMA_VERSION:
        raise StoreError(
            f"the store {path} has format {version}, and this Penstock reads formats up to {SCHEMA_VERSION}"
        )
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise StoreError(f"the store {path} lies where SQLite can not keep a write-ahead log")
    if version < SCHEMA_VERSION:
        _upgrade(connection, version)


def _upgrade(connection: sqlite3.Connection, version: int) -> None:
    """Lay out an empty file, or lead an older one to our version, in one transaction."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        if version == 0:
            _execute(connection, TABLES)
            connection.execute("INSERT INTO store (id) VALUES (?)", (secrets.token_hex(8),))
        else:
            for older in range(version, SCHEMA_VERSION):
                _execute(connection, UPGRADES[older])
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _execute(connection: sqlite3.Connection, statements: str) -> None:
    # One by one: `executescript` would commit first.
    for statement in statements.split(";"):
        connection.execute(statement)
