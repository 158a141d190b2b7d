"""What is special about FIFO queues in the file: whose turn it is, and which messages were sent before.

A message may be received when no earlier one of its group is hidden, or with another receiver: those that this receiver
has itself are no hindrance, since it keeps their order. A deduplication id is remembered while its message is there and
for five minutes after it was deleted (D23).
"""

import sqlite3
from collections.abc import Iterable, Sequence

from penstock.api import Outgoing
from penstock.embedded.commits import Transaction

DEDUPLICATION_MS = 5 * 60 * 1000

_NEXT_IN_ORDER = """
WITH blocked AS (
    SELECT group_name, min(id) AS first FROM message
    WHERE queue_id = ?1 AND visible_ms > ?2 AND (token IS NULL OR owner <> ?3) GROUP BY group_name
)
SELECT json_group_array(id) FROM (
    SELECT id, sum(size) OVER (ORDER BY id) - size AS before FROM (
        SELECT message.id, length(body) AS size FROM message LEFT JOIN blocked USING (group_name)
        WHERE queue_id = ?1 AND visible_ms <= ?2 AND (first IS NULL OR message.id < first)
        AND message.group_name IS NOT NULL ORDER BY message.id LIMIT ?4
    )
) WHERE before < ?5
"""


def next_in_order(transaction: Transaction, queue_id: int, owner: str, *, messages_max: int, bytes_max: int) -> str:
    """Find the rows of the messages that may be received, as JSON: in the order in which they were sent."""
    arguments = (queue_id, transaction.now_ms, owner, messages_max, bytes_max)
    ((ids,),) = transaction.connection.execute(_NEXT_IN_ORDER, arguments).fetchall()
    return str(ids)


def next_change_ms(connection: sqlite3.Connection, queue_id: int, now_ms: int) -> int | None:
    """Tell when a message that is hidden or held now is so no longer; None where there is none."""
    (visible_ms,) = connection.execute(
        "SELECT min(visible_ms) FROM message WHERE queue_id = ? AND visible_ms > ?", (queue_id, now_ms)
    ).fetchone()
    return visible_ms  # type: ignore[no-any-return]  # a column declared as an integer


def not_sent_before(
    transaction: Transaction, queue_id: int, messages: Sequence[Outgoing], message_ids: Iterable[str]
) -> list[tuple[Outgoing, str]]:
    """Leave out what was sent before under its deduplication id, and remember the others; they go with their ids."""
    transaction.connection.execute("DELETE FROM deduplication WHERE forgotten_ms <= ?", (transaction.now_ms,))
    return [
        (message, message_id)
        for message, message_id in zip(messages, message_ids, strict=False)
        if message.deduplication_id is None
        or transaction.connection.execute(
            "INSERT OR IGNORE INTO deduplication (queue_id, deduplication_id, message_id) VALUES (?, ?, ?)",
            (queue_id, message.deduplication_id, message_id),
        ).rowcount
    ]


def begin_to_forget(transaction: Transaction, queue_id: int, token: str, ids: str) -> None:
    """Let the deduplication ids of messages that are about to be deleted be forgotten in five minutes."""
    transaction.connection.execute(
        "UPDATE deduplication SET forgotten_ms = ? WHERE (queue_id, deduplication_id) IN ("
        " SELECT queue_id, deduplication_id FROM message WHERE queue_id = ? AND token = ?"
        " AND id IN (SELECT value FROM json_each(?)) AND deduplication_id IS NOT NULL)",
        (transaction.now_ms + DEDUPLICATION_MS, queue_id, token, ids),
    )
