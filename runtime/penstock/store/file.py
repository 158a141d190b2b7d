"""The store's file as each kind of thing in it is kept: opened when it is first needed, changed in transactions."""

import contextlib
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from penstock.store.database import open_store
from penstock.store.errors import blame


class StoreFile:
    """One connection to the file. Several may be open at once, each of which belongs to one thread at a time."""

    def __init__(self, path: Path, *, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000) -> None:
        """Take where the file is, or will be made, and the wall clock."""
        self.path = path
        self.now_ms = now_ms
        self._opened: tuple[sqlite3.Connection, str] | None = None

    def find_id(self) -> str | None:
        """Tell the store's id; None where there is no file yet. Makes none."""
        if self._opened is None and not self.path.exists():
            return None
        return self.connect()[1]

    def connect(self) -> tuple[sqlite3.Connection, str]:
        """Open the file, and make it where there is none; gives the store's id too. Raises StoreError."""
        if self._opened is None:
            self._opened = open_store(self.path)
        return self._opened

    @contextmanager
    def transaction(self, connection: sqlite3.Connection) -> Iterator[None]:
        """Do all of it or nothing; on the disk when it returns. Raises StoreError."""
        try:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("COMMIT")
        except BaseException as error:
            if connection.in_transaction:
                with contextlib.suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise blame(error, self.path) from error
            raise

    def close(self) -> None:
        """Close the file, if it was opened."""
        if self._opened is not None:
            with contextlib.suppress(sqlite3.Error):
                self._opened[0].close()
            self._opened = None
