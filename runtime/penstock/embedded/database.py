"""Opening an embedded file: connections, pragmas and the schema's version (`D48`)."""

import sqlite3
from pathlib import Path

from penstock.api import SourceBroken, SourceDenied, SourceMissing
from penstock.embedded.errors import blame
from penstock.embedded.schema import APPLICATION_ID, SCHEMA_VERSION, TABLES, UPGRADES

BUSY_TIMEOUT_MS = 5000
_WAL_BYTES_KEPT = 16 * 1024 * 1024


def open_writer(path: Path, *, create: bool = False) -> sqlite3.Connection:
    """Open a file to read and write it; every commit is on the disk when it returns.

    With `create` a missing file is made, and an older one brought up to date as always. Raises SourceMissing,
    SourceDenied, SourceBroken (not ours, damaged, or newer than we know) or SourceUnavailable.
    """
    _look(path, create=create)
    try:
        connection = _connect(path, "rwc" if create else "rw", writes=True)
        try:
            _settle_version(connection, path, create=create)
        except BaseException:
            connection.close()
            raise
    except sqlite3.Error as error:
        raise blame(error, path) from error
    return connection


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a file that a writer has opened before, for reading alone."""
    try:
        return _connect(path, "rw", writes=False)
    except sqlite3.Error as error:
        raise blame(error, path) from error


def _look(path: Path, *, create: bool) -> None:
    try:
        is_there = path.exists()
    except PermissionError as error:
        raise SourceDenied(f"{path} may not be looked at") from error
    if is_there and not path.is_file():
        raise SourceBroken(f"{path} is not a file")
    if is_there or create:
        if not path.parent.is_dir():
            raise SourceMissing(f"{path.parent} is not there, so {path.name} can not be made in it")
        return
    raise SourceMissing(f"{path} is not there")


def _connect(path: Path, mode: str, *, writes: bool) -> sqlite3.Connection:
    connection = sqlite3.connect(
        f"{path.absolute().as_uri()}?mode={mode}",
        uri=True,
        isolation_level=None,
        timeout=BUSY_TIMEOUT_MS / 1000,
        cached_statements=256,
        check_same_thread=False,  # opened, used and closed by one thread after another, never by two at once
    )
    try:
        # Before anything is written: it decides the layout of a new file, and is passed over by an old one.
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_BYTES_KEPT}")
        connection.execute(f"PRAGMA query_only = {'OFF' if writes else 'ON'}")
    except BaseException:
        connection.close()
        raise
    return connection


def _settle_version(connection: sqlite3.Connection, path: Path, *, create: bool) -> None:
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (tables_count,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    is_empty = not tables_count and not version
    if not is_empty and application != APPLICATION_ID:
        raise SourceBroken(f"{path} is an SQLite database of another program")
    if version > SCHEMA_VERSION:
        raise SourceBroken(f"{path} has format {version}, and this Penstock reads formats up to {SCHEMA_VERSION}")
    if is_empty and not create:
        raise SourceMissing(f"{path} is empty")
    (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
    if mode != "wal":
        raise SourceBroken(f"{path} lies where SQLite can not keep a write-ahead log")
    if version < SCHEMA_VERSION:
        _upgrade(connection)


def _upgrade(connection: sqlite3.Connection) -> None:
    """Lay out an empty file, or lead an older one to our version; another process may be doing the same."""
    connection.execute("BEGIN EXCLUSIVE")
    try:
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        while version < SCHEMA_VERSION:
            statements, version = (TABLES, SCHEMA_VERSION) if version == 0 else (UPGRADES[version], version + 1)
            for statement in statements.split(";"):
                connection.execute(statement)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
