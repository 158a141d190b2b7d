"""Explains one mapping: what its machines show, what its source says, and a sentence for each part of it."""

import asyncio
from collections.abc import Awaitable, Mapping, Sequence
from typing import Any

from penstock.api import Backlog, PenstockError, SourceError, Start
from penstock.configuration import MappingConfig
from penstock.core.settings import StreamSettings
from penstock.core.views import LaneView, QueueView, StreamView
from penstock.shell.explanation import LaneExplanation, MappingExplanation, QueueExplanation, ShardExplanation
from penstock.shell.inspection import HELD, inspect_shard
from penstock.shell.lane_words import IDLE, describe_lane, is_blocked, lanes_of
from penstock.shell.queue_mapping import QueueMapping
from penstock.shell.seeking import PositionsOf
from penstock.shell.status import MappingStatus, ShardStatus
from penstock.shell.stream_mapping import StreamMapping
from penstock.shell.wall_clock import WallClock

ASK_S = 5.0
"""A broker that does not answer is not waited for longer: what is known without it is told."""
ASK_DISABLED_S = 10.0


class Explainer:
    """Makes the explanation of one mapping, at one moment."""

    def __init__(self, status: MappingStatus, clock: WallClock) -> None:
        """Take the mapping's status at that moment."""
        self._status = status
        self._clock = clock

    async def stream(self, mapping: StreamMapping) -> MappingExplanation:
        """Explain a stream mapping that runs on this node."""
        views = mapping.views()
        shards = await asyncio.gather(
            *(self._shard(mapping, inspect_shard(name, view, self._clock), view) for name, view in views.items())
        )
        return self._whole(_stream_summary(mapping, self._status, views, self._clock), shards=list(shards))

    async def queue(self, mapping: QueueMapping) -> MappingExplanation:
        """Explain a queue mapping."""
        status = self._status.queue
        assert status is not None
        backlog, problem = await _asked(mapping.backlog())
        queue = QueueExplanation(
            summary=_queue_summary(mapping.view(), self._clock),
            visible=None if backlog is None else backlog.count,
            delayed=None if backlog is None else backlog.delayed,
            oldest_age_s=None if backlog is None or backlog.oldest_age_ms is None else backlog.oldest_age_ms / 1000,
            problem=problem,
            status=status,
        )
        return self._whole(_off(self._status) or _trouble(mapping, self._clock) or queue.summary, queue=queue)

    async def standing(self, config: MappingConfig, positions: PositionsOf) -> MappingExplanation:
        """Explain a stream mapping that does not run on this node: where it will go on, and what waits there."""
        summary = _off(self._status)
        try:
            async with asyncio.timeout(ASK_DISABLED_S):
                shards = await self._standing_shards(config, positions)
        except (PenstockError, TimeoutError) as error:
            why = str(error) or f"the source did not answer within {ASK_DISABLED_S:g} s"
            return self._whole(f"{summary}; its positions are not known: {why}")
        return self._whole(summary, shards=shards)

    async def _standing_shards(self, config: MappingConfig, positions: PositionsOf) -> list[ShardExplanation]:
        shards = []
        async with positions.opened(config) as opened:
            for shard, checkpoint in (await opened.committed()).items():
                end = await opened.resolve(shard, Start("LATEST"))
                oldest = await opened.resolve(shard, Start("TRIM_HORIZON"))
                shards.append(_standing_shard(shard, None if checkpoint is None else checkpoint.position, oldest, end))
        return shards

    async def _shard(self, mapping: StreamMapping, status: ShardStatus, view: StreamView) -> ShardExplanation:
        settings = mapping.config.stream
        assert settings is not None
        lanes = lanes_of(view)
        lag, age_s, problem = status.lag, status.oldest_age_s, ""
        if age_s is None and lag != 0 and view.reached is not None:
            backlog, problem = await _asked(mapping.backlog(status.shard, view.reached))
            if backlog is not None:
                age_s = None if backlog.oldest_age_ms is None else backlog.oldest_age_ms / 1000
                lag = backlog.count + view.buffered if lag is None else lag
        return ShardExplanation(
            shard=status.shard,
            summary=_shard_summary(view, lanes, settings, self._clock),
            committed=status.committed,
            reached=status.reached,
            lag=lag,
            oldest_age_s=age_s,
            attempts_max=settings.retry_attempts_max + 1 if settings.retry_attempts_max >= 0 else None,
            lanes=[LaneExplanation(lane.lane, describe_lane(lane, settings, self._clock)) for lane in lanes],
            problem=problem,
            status=status,
        )

    def _whole(self, summary: str, **parts: Any) -> MappingExplanation:
        status = self._status
        return MappingExplanation(
            name=status.name,
            uuid=status.uuid,
            function=status.function,
            source=status.source,
            state=status.state,
            state_reason=status.state_reason,
            last_result=status.last_result,
            last_error=status.last_error,
            summary=summary,
            **parts,
        )


async def _asked(question: Awaitable[Backlog | None]) -> tuple[Backlog | None, str]:
    """Ask a source what waits; it may be away, and then the rest of the explanation matters all the more."""
    try:
        async with asyncio.timeout(ASK_S):
            return await question, ""
    except SourceError as error:
        return None, str(error)
    except TimeoutError:
        return None, f"the source did not say within {ASK_S:g} s what waits"


def _off(status: MappingStatus) -> str:
    """Say why nothing is read; empty where something is."""
    if status.state not in {"Disabled", "Disabling"}:
        return ""
    return f"{status.state}: {status.state_reason}" if status.state_reason else status.state


def _trouble(mapping: StreamMapping | QueueMapping, clock: WallClock) -> str:
    trouble = mapping.health.trouble
    return (
        "" if trouble is None else f"in trouble with its source since {clock.since(trouble.since_ms)}: {trouble.reason}"
    )


def _stream_summary(
    mapping: StreamMapping, status: MappingStatus, views: Mapping[str, StreamView], clock: WallClock
) -> str:
    words = _off(status) or _trouble(mapping, clock)
    if words:
        return words
    if not mapping.is_assigned:
        return "waits to be told which shards are this node's"
    if not views:
        return "no shard is this node's: other nodes have them all"
    blocked = sum(1 for view in views.values() if view.state == HELD or any(map(is_blocked, lanes_of(view))))
    idle = sum(1 for view in views.values() if view.is_idle)
    words = "reads 1 shard" if len(views) == 1 else f"reads {len(views)} shards"
    parts = [f"{count} {name}" for count, name in ((blocked, "blocked"), (idle, "idle")) if count]
    return f"{words}: {', '.join(parts)}" if parts else words


def _shard_summary(view: StreamView, lanes: Sequence[LaneView], settings: StreamSettings, clock: WallClock) -> str:
    if view.state == HELD:
        return f"held, and does not go on by itself: {view.last_error}"
    if view.state == "starting":
        return "finds the position to begin at" + (f": {view.last_error}" if view.last_error else "")
    words = _lanes_summary(lanes, settings, clock)
    if view.state == "stopping":
        return "lets go: what runs may end" + ("" if words == IDLE else f"; {words}")
    if words == IDLE and view.next_try_ms is not None and view.last_error:
        return f"the source is tried again at {clock.at(view.next_try_ms)}: {view.last_error}"
    return words if words != IDLE or view.is_idle else "at work"


def _lanes_summary(lanes: Sequence[LaneView], settings: StreamSettings, clock: WallClock) -> str:
    if len(lanes) == 1:
        return describe_lane(lanes[0], settings, clock)
    blocked = sum(1 for lane in lanes if is_blocked(lane))
    running = sum(1 for lane in lanes if lane.in_flight is not None)
    waiting = sum(1 for lane in lanes if lane.buffered and lane.in_flight is None and not is_blocked(lane))
    counts = ((blocked, "blocked"), (running, "with the function"), (waiting, "waiting"))
    parts = [f"{count} {name}" for count, name in counts if count]
    return f"of {len(lanes)} lanes {', '.join(parts)}" if parts else IDLE


def _queue_summary(view: QueueView, clock: WallClock) -> str:
    parts = []
    if view.in_flight:
        messages = sum(batch.records for batch in view.in_flight)
        oldest = min(batch.since_ms for batch in view.in_flight)
        batches = "1 batch" if len(view.in_flight) == 1 else f"{len(view.in_flight)} batches"
        parts.append(f"{batches} with {messages} messages are with the function, the first since {clock.since(oldest)}")
    if view.waiting:
        parts.append(f"{view.waiting} messages wait for an environment, or for their batch to fill")
    if view.blocked_groups:
        since = f" since {clock.since(view.blocked_since_ms)}" if view.blocked_since_ms is not None else ""
        parts.append(f"blocked{since} are the groups {', '.join(view.blocked_groups)}")
    if view.held:
        full = ", and nothing more is received" if view.is_full else ""
        parts.append(f"{view.held} messages are held behind others, or until they are run again{full}")
    if view.sending_away:
        parts.append(f"{view.sending_away} dead letters are not with their target yet")
        if view.delivering is not None and view.delivering.last_error:
            parts.append(f"it {'refuses them' if view.delivering.refused else 'fails'}: {view.delivering.last_error}")
    if view.settling:
        parts.append(f"{view.settling} messages are being settled")
    if view.next_try_ms is not None:
        parts.append(f"tried again at {clock.at(view.next_try_ms)}")
    return "; ".join(parts) or IDLE


def _standing_shard(shard: str, committed: int | None, oldest: int, end: int) -> ShardExplanation:
    if committed is None:
        lag, summary = None, "nothing of it was settled yet: it begins at the mapping's StartingPosition"
    else:
        lag = max(0, end - max(committed, oldest))
        summary = f"goes on at record {committed + 1}"
        if committed < oldest:
            summary = f"goes on at record {oldest + 1}, the oldest: those from {committed + 1} on were trimmed"
    return ShardExplanation(shard=shard, summary=summary, committed=committed, reached=None, lag=lag, oldest_age_s=None)
