"""The states of tumbling windows, each under a version of its own (`D11`).

A checkpoint names a version; so one that a checkpoint may still name is never deleted. Two things delete: `forget`,
which is told after the checkpoint that names the next one was stored, and what a load proves. Whoever loads a version
has just read the stored checkpoint of that shard, so

- what was saved before that version has been passed by a stored checkpoint, and goes;
- what was saved after it was never named, or its commit may be on its way still. It is marked, and goes when a load at
  least an hour later passes it over again.

Age alone never deletes anything: a shard may have been another node's for a month, and come back.
"""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

from penstock.store.errors import blame
from penstock.store.file import StoreFile

PASSED_OVER_MS = 3_600_000
"""A commit that a dead process had sent is stored within minutes, or never."""


@dataclass(frozen=True, slots=True)
class WindowState:
    """One state of one window: JSON bytes, opaque here."""

    mapping: str
    shard: str
    version: str
    state: bytes


@dataclass(frozen=True, slots=True)
class LoadedState:
    """What was loaded, and what of its shard was there at that moment: the numbers grow with each save."""

    state: bytes
    mapping: str
    shard: str
    number: int
    first_number: int
    last_number: int

    @property
    def has_others(self) -> bool:
        """There are other versions of the same shard, which `sweep` should look at."""
        return not self.first_number == self.number == self.last_number


class StateStore(StoreFile):
    """The states in the store's file. Belongs to one thread at a time.

    Raises StoreError for a file that can not be read or written now; nothing was changed then.
    """

    def write(self, states: Sequence[WindowState], forgotten: Sequence[str], loaded: Sequence[LoadedState]) -> str:
        """Save and forget in one transaction, and sweep up what loads have proven; gives the store's id.

        On the disk when it returns. A version that is there already stays as it is: it was saved by a try whose answer
        was lost. Where there is nothing to save no file is made; the id is empty then.
        """
        if not states and self.find_id() is None:
            return ""
        connection, identity = self.connect()
        now_ms = self.now_ms()
        with self.transaction(connection):
            connection.executemany(
                "INSERT INTO window_state (version, mapping, shard, saved_ms, state) VALUES (?, ?, ?, ?, ?)"
                " ON CONFLICT (version) DO NOTHING",
                [(one.version, one.mapping, one.shard, now_ms, one.state) for one in states],
            )
            connection.executemany("DELETE FROM window_state WHERE version = ?", [(one,) for one in forgotten])
            for one in loaded:
                _sweep(connection, one, now_ms)
        return identity

    def load(self, version: str) -> LoadedState | None:
        """Read a state; None where there is no such version."""
        if self.find_id() is None:
            return None
        connection, _ = self.connect()
        try:
            found = connection.execute(
                "SELECT state, mapping, shard, number FROM window_state WHERE version = ?", (version,)
            ).fetchone()
            if found is None:
                return None
            state, mapping, shard, number = found
            first, last = connection.execute(
                "SELECT min(number), max(number) FROM window_state WHERE mapping = ? AND shard = ?", (mapping, shard)
            ).fetchone()
        except sqlite3.Error as error:
            raise blame(error, self.path) from error
        return LoadedState(state, mapping, shard, number, first, last)


def _sweep(connection: sqlite3.Connection, loaded: LoadedState, now_ms: int) -> None:
    shard = (loaded.mapping, loaded.shard)
    connection.execute(
        "DELETE FROM window_state WHERE mapping = ? AND shard = ? AND number < ?", (*shard, loaded.number)
    )
    # What was saved since the load is no concern of it.
    later = (*shard, loaded.number, loaded.last_number)
    connection.execute(
        "DELETE FROM window_state WHERE mapping = ? AND shard = ? AND number > ? AND number <= ?"
        " AND passed_over_ms <= ?",
        (*later, now_ms - PASSED_OVER_MS),
    )
    connection.execute(
        "UPDATE window_state SET passed_over_ms = ? WHERE mapping = ? AND shard = ? AND number > ? AND number <= ?"
        " AND passed_over_ms IS NULL",
        (now_ms, *later),
    )
    connection.execute("UPDATE window_state SET passed_over_ms = NULL WHERE number = ?", (loaded.number,))
