"""What `penstock mapping explain` shows: for each part a sentence that says why it is where it is, and the figures.

Times are ISO 8601 in UTC. A position is that of a record: `committed` of the last one settled, `reached` of the last
one read. What is null is not known; `problem` says what kept us from asking the source.
"""

import msgspec

from penstock.shell.status import QueueStatus, ShardStatus


class LaneExplanation(msgspec.Struct, frozen=True):
    """One lane of a shard (D6); a shard without parallelization has one."""

    lane: int
    summary: str


class ShardExplanation(msgspec.Struct, frozen=True):
    """One shard. `status` has all that its machine shows, lane by lane; null where none of it runs on this node.

    `attempts_max` is how often a batch is tried before it is given up; null: without end.
    """

    shard: str
    summary: str
    committed: int | None
    reached: int | None
    lag: int | None
    oldest_age_s: float | None
    attempts_max: int | None = None
    lanes: list[LaneExplanation] = []
    problem: str = ""
    status: ShardStatus | None = None


class QueueExplanation(msgspec.Struct, frozen=True):
    """The queue of a queue mapping: `status` is what this node holds of it, the rest what its broker says is there."""

    summary: str
    visible: int | None
    delayed: int | None
    oldest_age_s: float | None
    problem: str
    status: QueueStatus


class MappingExplanation(msgspec.Struct, frozen=True):
    """One whole mapping."""

    name: str
    uuid: str
    function: str
    source: str
    state: str
    state_reason: str
    last_result: str
    last_error: str
    summary: str
    shards: list[ShardExplanation] = []
    queue: QueueExplanation | None = None
