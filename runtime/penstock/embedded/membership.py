"""The tables of members and leases: what is decided about shards is decided in one transaction.

A member is a node that reads a stream for a mapping; its lease ends by the machine's clock unless it is renewed.
A shard's lease names its node and a token that grows each time the shard changes hands, so that whoever was stopped
for too long can neither commit nor let go of what is another's by now.
"""

import sqlite3
from collections.abc import Collection, Mapping
from typing import NamedTuple

from penstock.api import Checkpoint
from penstock.embedded.commits import Transaction
from penstock.embedded.shares import share
from penstock.embedded.streams import Stream

_LEASES_AHEAD_MAX = 2
"""A lease that seems to last longer than so many comes from before the clock was set back, and is over."""


class Membership(NamedTuple):
    """A node that reads a stream for a mapping. `session` differs each time it opens the source."""

    mapping: str
    node: str
    session: str
    lease_ms: int
    stream: Stream

    @property
    def signal(self) -> str:
        """The key that is touched when members come and go or shards become free."""
        return f"mapping:{self.mapping}:{self.stream.id}"


class Taken(NamedTuple):
    """A shard that became ours."""

    number: int
    token: int
    checkpoint: Checkpoint | None


class Changes(NamedTuple):
    """What a look at the tables came to: `look_in_ms` until another member's lease would end, `expires_ms` for ours."""

    lost: tuple[int, ...]
    taken: tuple[Taken, ...]
    give: tuple[int, ...]
    look_in_ms: int | None
    expires_ms: int


def is_alive(expires_ms: int, lease_ms: int, now_ms: int) -> bool:
    """Tell whether a member whose lease ends then is one still."""
    return now_ms < expires_ms <= now_ms + _LEASES_AHEAD_MAX * lease_ms


def join(transaction: Transaction, me: Membership) -> None:
    """Become a member. A node that comes back has at once what it had: what it left behind is dead."""
    transaction.connection.execute(
        "INSERT INTO member (mapping, stream_id, node, session, lease_ms, expires_ms) VALUES (?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (mapping, stream_id, node) DO UPDATE SET"
        " session = excluded.session, lease_ms = excluded.lease_ms, expires_ms = excluded.expires_ms",
        (me.mapping, me.stream.id, me.node, me.session, me.lease_ms, transaction.now_ms + me.lease_ms),
    )
    transaction.connection.executemany(
        "INSERT OR IGNORE INTO lease (mapping, shard_id) VALUES (?, ?)",
        [(me.mapping, me.stream.shard_id_first + number) for number in range(me.stream.shards_count)],
    )
    transaction.touch(me.signal)


def rebalance(
    transaction: Transaction, me: Membership, held: Mapping[int, int], declined: Collection[int]
) -> Changes | None:
    """Take, give and miss what the tables say now; `held` are our shards with their tokens, `declined` are not taken.

    None when another session of this very node has taken our place: then all is its own.
    """
    session = transaction.connection.execute(
        "SELECT session FROM member WHERE mapping = ? AND stream_id = ? AND node = ?",
        (me.mapping, me.stream.id, me.node),
    ).fetchone()
    if session is None:
        join(transaction, me)
    elif session[0] != me.session:
        return None
    expiries = _bury_dead(transaction, me)
    leases = _leases(transaction.connection, me, expiries)
    lost = tuple(number for number, token in held.items() if leases[number] != (me.node, token))
    owners = {number: node for number, (node, _) in leases.items() if number not in declined}
    part = share(me.node, expiries, owners)
    # Left from an earlier session of ours: ours again, under a token that the earlier one does not know.
    left = {number for number, node in owners.items() if node == me.node and number not in held}
    taken = tuple(_take(transaction.connection, me, number) for number in sorted((left - {*part.give}) | {*part.take}))
    let_go(transaction, me, {number: leases[number][1] for number in left & {*part.give}})
    others = [expires_ms for node, expires_ms in expiries.items() if node != me.node]
    return Changes(
        lost=lost,
        taken=taken,
        give=tuple(number for number in part.give if number in held and number not in lost),
        look_in_ms=max(0, min(others) - transaction.now_ms) if others else None,
        expires_ms=expiries[me.node],
    )


def let_go(transaction: Transaction, me: Membership, tokens: Mapping[int, int]) -> None:
    """Free shards that are still ours under these tokens."""
    if not tokens:
        return
    transaction.connection.executemany(
        "UPDATE lease SET node = NULL WHERE mapping = ? AND shard_id = ? AND node = ? AND token = ?",
        [(me.mapping, me.stream.shard_id_first + number, me.node, token) for number, token in tokens.items()],
    )
    transaction.touch(me.signal)


def leave(transaction: Transaction, me: Membership, tokens: Mapping[int, int]) -> None:
    """Be a member no longer, and free what is ours."""
    let_go(transaction, me, tokens)
    transaction.connection.execute("DELETE FROM member WHERE session = ?", (me.session,))
    transaction.touch(me.signal)


def commit(transaction: Transaction, me: Membership, number: int, token: int, checkpoint: Checkpoint) -> bool:
    """Store a checkpoint if the shard is still ours under this token; tell whether it was."""
    stored = transaction.connection.execute(
        "INSERT INTO checkpoint (mapping, shard_id, position, note, committed_ms)"
        " SELECT mapping, shard_id, ?, ?, ? FROM lease WHERE mapping = ? AND shard_id = ? AND node = ? AND token = ?"
        " ON CONFLICT (mapping, shard_id) DO UPDATE SET"
        " position = excluded.position, note = excluded.note, committed_ms = excluded.committed_ms",
        (
            checkpoint.position,
            checkpoint.note,
            transaction.now_ms,
            me.mapping,
            me.stream.shard_id_first + number,
            me.node,
            token,
        ),
    )
    return stored.rowcount > 0


def _bury_dead(transaction: Transaction, me: Membership) -> dict[str, int]:
    """Delete members whose lease is over; tell until when the others live."""
    now_ms = transaction.now_ms
    dead = transaction.connection.execute(
        "DELETE FROM member WHERE mapping = ? AND stream_id = ? AND node <> ?"
        " AND (expires_ms <= ? OR expires_ms > ? + ? * lease_ms)",
        (me.mapping, me.stream.id, me.node, now_ms, now_ms, _LEASES_AHEAD_MAX),
    )
    if dead.rowcount:
        transaction.touch(me.signal)
    return dict(
        transaction.connection.execute(
            "SELECT node, expires_ms FROM member WHERE mapping = ? AND stream_id = ?", (me.mapping, me.stream.id)
        )
    )


def _leases(
    connection: sqlite3.Connection, me: Membership, members: Collection[str]
) -> dict[int, tuple[str | None, int]]:
    """Tell each shard's owner, where it is alive, and token."""
    rows = connection.execute(
        "SELECT shard_id, node, token FROM lease WHERE mapping = ? AND shard_id BETWEEN ? AND ?",
        (me.mapping, me.stream.shard_id_first, me.stream.shard_id_first + me.stream.shards_count - 1),
    )
    return {
        shard_id - me.stream.shard_id_first: (node if node in members else None, token)
        for shard_id, node, token in rows
    }


def _take(connection: sqlite3.Connection, me: Membership, number: int) -> Taken:
    shard_id = me.stream.shard_id_first + number
    ((token,),) = connection.execute(
        "UPDATE lease SET node = ?, token = token + 1 WHERE mapping = ? AND shard_id = ? RETURNING token",
        (me.node, me.mapping, shard_id),
    ).fetchall()
    row = connection.execute(
        "SELECT position, note FROM checkpoint WHERE mapping = ? AND shard_id = ?", (me.mapping, shard_id)
    ).fetchone()
    return Taken(number, token, row and Checkpoint(*row))
