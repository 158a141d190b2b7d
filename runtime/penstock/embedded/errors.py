"""What SQLite says, in the words of the wall (`penstock.api.errors`)."""

import sqlite3
from pathlib import Path

from penstock.api import SourceBroken, SourceDenied, SourceError, SourceUnavailable

_PRIMARY = 0xFF
_DENIED = {sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH, sqlite3.SQLITE_CANTOPEN}
_BROKEN = {
    sqlite3.SQLITE_NOTADB: "is not an SQLite database",
    sqlite3.SQLITE_CORRUPT: "is damaged",
    sqlite3.SQLITE_FORMAT: "is damaged",
}
_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY: "is locked by another process",
    sqlite3.SQLITE_LOCKED: "is locked by another process",
    sqlite3.SQLITE_FULL: "can not grow: the disk is full",
    sqlite3.SQLITE_IOERR: "can not be read or written",
}


def blame(error: sqlite3.Error, path: Path) -> SourceError:
    """Turn an error of SQLite's into the `SourceError` that says whether trying again helps."""
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & _PRIMARY
    if code in _BROKEN:
        return SourceBroken(f"{path} {_BROKEN[code]} ({error})")
    if code in _DENIED:
        return SourceDenied(f"{path} may not be opened or written ({error})")
    if code in _UNAVAILABLE:
        return SourceUnavailable(f"{path} {_UNAVAILABLE[code]} ({error})")
    if isinstance(error, sqlite3.OperationalError):
        # "no such table" and the like: the tables are not those that the version promises.
        return SourceBroken(f"{path} can not be used: {error}")
    return SourceUnavailable(f"{path} failed: {error}")
