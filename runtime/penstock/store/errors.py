"""What can go wrong with the store, as a sentence for whoever runs the node."""

import sqlite3
from pathlib import Path

from penstock.api import PenstockError

_PRIMARY = 0xFF
_REASONS = {
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_FORMAT: "is damaged",
    sqlite3.SQLITE_READONLY: "may not be written",
    sqlite3.SQLITE_PERM: "may not be opened or written",
    sqlite3.SQLITE_AUTH: "may not be opened or written",
    sqlite3.SQLITE_CANTOPEN: "can not be opened",
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_FULL: "can not grow: the disk is full",
    sqlite3.SQLITE_IOERR: "can not be read or written",
}


class StoreError(PenstockError):
    """The store can not be used now. Worth trying again: disks get space, and locks are let go of."""


def blame(error: sqlite3.Error, path: Path) -> StoreError:
    """Say in a sentence what SQLite said of a file."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    return StoreError(f"the store {path} {_REASONS.get(code, 'failed')} ({error})")
