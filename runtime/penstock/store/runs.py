"""How often each message of a queue was run, where the queue's broker does not count it so (`D22`).

A row is there from the second delivery of a message to its end. What ends elsewhere, at another node or by its own age,
leaves its row behind; it goes when nothing was written about it for as long as a queue keeps a message at most.
"""

import sqlite3
from collections.abc import Iterable, Mapping, Sequence

from penstock.store.errors import blame
from penstock.store.file import StoreFile

KEPT_MS = 14 * 24 * 3_600_000
"""The longest that SQS keeps a message."""
_SWEEP_EVERY_MS = 3_600_000
_ASKED_AT_ONCE_MAX = 500
"""SQLite takes some thousand variables in one statement at least."""


class RunStore(StoreFile):
    """The counts in the store's file. Belongs to one thread at a time.

    Raises StoreError for a file that can not be read or written now; nothing was changed then.
    """

    _sweep_at_ms = 0

    def load(self, queue: str, message_ids: Sequence[str]) -> dict[str, int]:
        """Read what is known of these; what is not there is unknown. Makes no file."""
        if self.find_id() is None:
            return {}
        connection, _ = self.connect()
        found: dict[str, int] = {}
        try:
            for begin in range(0, len(message_ids), _ASKED_AT_ONCE_MAX):
                asked = message_ids[begin : begin + _ASKED_AT_ONCE_MAX]
                places = ", ".join("?" * len(asked))
                found.update(
                    connection.execute(
                        f"SELECT message, runs FROM message_run WHERE queue = ? AND message IN ({places})",  # noqa: S608
                        (queue, *asked),
                    )
                )
        except sqlite3.Error as error:
            raise blame(error, self.path) from error
        return found

    def write(self, queue: str, runs: Mapping[str, int], forgotten: Iterable[str] = ()) -> None:
        """Store how often messages were run, and forget others, in one transaction; on the disk when it returns."""
        connection, _ = self.connect()
        now_ms = self.now_ms()
        with self.transaction(connection):
            connection.executemany(
                "INSERT INTO message_run (queue, message, runs, written_ms) VALUES (?, ?, ?, ?)"
                " ON CONFLICT (queue, message) DO UPDATE SET runs = excluded.runs, written_ms = excluded.written_ms",
                [(queue, message_id, count, now_ms) for message_id, count in runs.items()],
            )
            connection.executemany(
                "DELETE FROM message_run WHERE queue = ? AND message = ?", [(queue, one) for one in forgotten]
            )
            if now_ms >= self._sweep_at_ms:
                connection.execute("DELETE FROM message_run WHERE written_ms < ?", (now_ms - KEPT_MS,))
        self._sweep_at_ms = max(self._sweep_at_ms, now_ms + _SWEEP_EVERY_MS)
