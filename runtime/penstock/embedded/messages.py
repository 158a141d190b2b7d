"""What the file knows of queues: making one, sending, receiving under a lease, and settling.

Each statement handles a whole list and takes one step, with the list as JSON: a step lets other threads in, and beside
a busy event loop coming back can take milliseconds.
"""

import sqlite3
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import msgspec

from penstock.api import Attribute, Backlog, Message, Outgoing
from penstock.embedded.commits import Transaction
from penstock.embedded.fifo import begin_to_forget, next_in_order, not_sent_before


class Queue(NamedTuple):
    """A queue of a file."""

    id: int
    name: str
    is_fifo: bool

    @property
    def signal(self) -> str:
        """The key that is touched when messages come, or become visible."""
        return f"queue:{self.id}"


_Attributes = dict[str, tuple[str, Any]]  # text or bytes, as MessagePack tells them apart
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_Attributes).decode
_to_json = msgspec.json.Encoder().encode
_Row = tuple[int, str, int, int, int, str | None, str, str | None, str | None]
_rows = msgspec.json.Decoder(list[_Row]).decode

_SELECT_BODY = (
    "SELECT json_group_array(json_array(id, message_id, receive_count, sent_ms, coalesce(first_received_ms, 0),"
    " CASE WHEN attributes IS NULL THEN NULL ELSE hex(attributes) END, hex(body), group_name, deduplication_id))"
)
_SEQUENCE_DIGITS = 20
_RECEIVE_BYTES_MAX = 8 * 1024 * 1024
_IDS = "(SELECT value FROM json_each(?))"


def find_queue(connection: sqlite3.Connection, name: str) -> Queue | None:
    """Look a queue up by its name."""
    row = connection.execute("SELECT id, name, is_fifo FROM queue WHERE name = ?", (name,)).fetchone()
    return row and Queue(row[0], row[1], bool(row[2]))


def create_queue(transaction: Transaction, name: str, *, is_fifo: bool) -> bool:
    """Make a queue unless it is there; tell whether one was made."""
    made = transaction.connection.execute(
        "INSERT OR IGNORE INTO queue (name, created_ms, is_fifo) VALUES (?, ?, ?)", (name, transaction.now_ms, is_fifo)
    )
    return made.rowcount > 0


def send_messages(transaction: Transaction, queue: Queue, messages: Sequence[Outgoing], delay_ms: int) -> None:
    """Put messages on a queue, each with its own delay or else the queue's."""
    pieces: list[bytes] = []
    rows: list[tuple[int, str, int, int, int, int, str | None, str | None]] = []
    offset = 1
    message_ids = (str(uuid.uuid4()) for _ in messages)
    sent = (
        not_sent_before(transaction, queue.id, messages, message_ids)
        if queue.is_fifo
        else zip(messages, message_ids, strict=False)
    )
    for message, message_id in sent:
        body = message.value or b""
        attributes = b""
        if message.attributes:
            attributes = _encode({name: (item.data_type, item.value) for name, item in message.attributes.items()})
        visible_ms = transaction.now_ms + (message.delay_ms or delay_ms)
        rows.append(
            (
                visible_ms, message_id, offset, len(body), offset + len(body), len(attributes), message.group,
                message.deduplication_id,
            )
        )  # fmt: skip
        pieces += (body, attributes)
        offset += len(body) + len(attributes)
    transaction.connection.execute(
        "INSERT INTO message"
        " (queue_id, sent_ms, visible_ms, message_id, body, attributes, group_name, deduplication_id)"
        " SELECT ?1, ?2, value ->> 0, value ->> 1, substr(?3, value ->> 2, value ->> 3),"
        " CASE WHEN value ->> 5 THEN substr(?3, value ->> 4, value ->> 5) END, value ->> 6, value ->> 7"
        " FROM json_each(?4)",
        (queue.id, transaction.now_ms, b"".join(pieces), _to_json(rows).decode()),
    )
    transaction.touch(queue.signal)


def next_visible_ms(connection: sqlite3.Connection, queue: Queue) -> int | None:
    """Tell when the next message becomes visible: a time past for one that is; None for an empty queue."""
    (visible_ms,) = connection.execute("SELECT min(visible_ms) FROM message WHERE queue_id = ?", (queue.id,)).fetchone()
    return visible_ms  # type: ignore[no-any-return]  # a column declared as an integer


def receive_messages(
    transaction: Transaction, queue: Queue, token: str, messages_max: int, lease_ms: int, *, owner: str
) -> list[Message]:
    """Take messages that are visible, the longest visible first, under a lease and a token for their receipts.

    A FIFO queue gives them in order instead, to a receiver of this name. Takes no more than fit an event, give or take
    one, whatever was asked for.
    """
    connection = transaction.connection
    if queue.is_fifo:
        ids = next_in_order(transaction, queue.id, owner, messages_max=messages_max, bytes_max=_RECEIVE_BYTES_MAX)
    else:
        ((ids,),) = connection.execute(
            "SELECT json_group_array(id) FROM (SELECT id, sum(size) OVER (ORDER BY visible_ms, id) - size AS before"
            " FROM (SELECT id, visible_ms, length(body) AS size FROM message WHERE queue_id = ? AND visible_ms <= ?"
            " ORDER BY visible_ms, id LIMIT ?)) WHERE before < ?",
            (queue.id, transaction.now_ms, messages_max, _RECEIVE_BYTES_MAX),
        ).fetchall()
    if ids == "[]":
        return []
    connection.execute(
        "UPDATE message SET visible_ms = ?, receive_count = receive_count + 1, token = ?, owner = ?,"  # noqa: S608 - a constant
        f" first_received_ms = coalesce(first_received_ms, ?) WHERE id IN {_IDS}",
        (transaction.now_ms + lease_ms, token, owner, transaction.now_ms, ids),
    )
    ((rows,),) = connection.execute(
        f"{_SELECT_BODY} FROM (SELECT * FROM message WHERE id IN {_IDS} ORDER BY id)",  # noqa: S608 - constants
        (ids,),
    ).fetchall()
    return [_message(row, f"{row[0]}-{token}") for row in _rows(rows)]


def delete_messages(transaction: Transaction, queue: Queue, receipts: Iterable[str]) -> int:
    """Delete messages by their receipts; tell how many were still ours."""
    deleted = 0
    for token, ids in _by_token(receipts):
        if queue.is_fifo:
            begin_to_forget(transaction, queue.id, token, ids)
        deleted += transaction.connection.execute(
            f"DELETE FROM message WHERE token = ? AND id IN {_IDS}",  # noqa: S608 - a constant
            (token, ids),
        ).rowcount
    if queue.is_fifo:
        transaction.touch(queue.signal)  # another receiver may go on with the group
    return deleted


def return_messages(
    transaction: Transaction, queue: Queue, receipts: Iterable[str], *, delay_ms: int, counted: bool
) -> int:
    """Make messages visible again after a delay; tell how many were still ours.

    Uncounted, they are as if they had never been received, the time of the first receive included.
    """
    back = "" if counted else (
        ", first_received_ms = CASE WHEN receive_count > 1 THEN first_received_ms END,"
        " receive_count = receive_count - 1"
    )  # fmt: skip
    returned = sum(
        transaction.connection.execute(
            f"UPDATE message SET visible_ms = ?, token = NULL{back} WHERE token = ? AND id IN {_IDS}",  # noqa: S608 - constants
            (transaction.now_ms + delay_ms, token, ids),
        ).rowcount
        for token, ids in _by_token(receipts)
    )
    transaction.touch(queue.signal)
    return returned


def count_runs(transaction: Transaction, receipts: Iterable[str], *, receive_count: int) -> int:
    """Set how often messages that stay held were run; tell how many were still ours."""
    return sum(
        transaction.connection.execute(
            f"UPDATE message SET receive_count = max(receive_count, ?) WHERE token = ? AND id IN {_IDS}",  # noqa: S608 - a constant
            (receive_count, token, ids),
        ).rowcount
        for token, ids in _by_token(receipts)
    )


def extend_leases(transaction: Transaction, receipts: Iterable[str], lease_ms: int) -> int:
    """Make leases end so long from now; tell how many were still ours."""
    return sum(
        transaction.connection.execute(
            f"UPDATE message SET visible_ms = ? WHERE token = ? AND id IN {_IDS}",  # noqa: S608 - a constant
            (transaction.now_ms + lease_ms, token, ids),
        ).rowcount
        for token, ids in _by_token(receipts)
    )


def queue_backlog(connection: sqlite3.Connection, queue: Queue, now_ms: int) -> Backlog:
    """Count what is visible and what is not."""
    (visible,) = connection.execute(
        "SELECT count(*) FROM message WHERE queue_id = ? AND visible_ms <= ?", (queue.id, now_ms)
    ).fetchone()
    oldest = connection.execute(
        "SELECT sent_ms FROM message WHERE queue_id = ? AND visible_ms <= ? ORDER BY visible_ms, id LIMIT 1",
        (queue.id, now_ms),
    ).fetchone()
    (delayed,) = connection.execute(
        "SELECT count(*) FROM message WHERE queue_id = ? AND visible_ms > ?", (queue.id, now_ms)
    ).fetchone()
    return Backlog(visible, None if oldest is None else max(0, now_ms - oldest[0]), delayed)


def show_messages(
    connection: sqlite3.Connection, queue: Queue, after_id: int, since_ms: int, messages_max: int
) -> list[tuple[int, Message]]:
    """Show messages in the order they were sent, without taking them; their receipts are empty."""
    ((rows,),) = connection.execute(
        f"{_SELECT_BODY} FROM (SELECT * FROM message WHERE queue_id = ? AND id > ? AND sent_ms >= ?"  # noqa: S608 - constants
        " ORDER BY id LIMIT ?)",
        (queue.id, after_id, since_ms, messages_max),
    ).fetchall()
    return [(row[0], _message(row, "")) for row in _rows(rows)]


def newest_id(connection: sqlite3.Connection, queue: Queue) -> int:
    """Tell the row of the message sent last, 0 for an empty queue."""
    (newest,) = connection.execute("SELECT max(id) FROM message WHERE queue_id = ?", (queue.id,)).fetchone()
    return newest or 0


def _message(row: _Row, receipt: str) -> Message:
    row_id, message_id, receive_count, sent_ms, first_received_ms, attributes, body, group, deduplication_id = row
    return Message(
        message_id=message_id,
        receipt=receipt,
        body=bytes.fromhex(body),
        receive_count=receive_count,
        sent_ms=sent_ms,
        first_received_ms=first_received_ms,
        attributes={} if attributes is None else _attributes(bytes.fromhex(attributes)),
        group=group,
        deduplication_id=deduplication_id,
        sequence=None if group is None else f"{row_id:0{_SEQUENCE_DIGITS}}",
    )


def _attributes(encoded: bytes) -> dict[str, Attribute]:
    return {name: Attribute(data_type, value) for name, (data_type, value) in _decode(encoded).items()}


def _by_token(receipts: Iterable[str]) -> list[tuple[str, str]]:
    """Sort receipts by the receive they come from: its token, and the rows as JSON."""
    ids: dict[str, list[int]] = {}
    for receipt in receipts:
        row, _, token = receipt.partition("-")
        if row.isdecimal():
            ids.setdefault(token, []).append(int(row))
    return [(token, _to_json(rows).decode()) for token, rows in ids.items()]
