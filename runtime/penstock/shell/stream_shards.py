"""All shards of a stream mapping that one opened source gave us: made, let go of, and made again."""

import asyncio
from collections.abc import Callable
from typing import Any, assert_never

from penstock.api import (
    AssignedShard,
    Assignment,
    Record,
    ShardsAssigned,
    ShardsLost,
    ShardsRevoked,
    SourceError,
    StreamSource,
)
from penstock.configuration import MappingConfig
from penstock.core.events.layout import StreamLayout
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.settings import StreamSettings
from penstock.core.views import StreamView
from penstock.shell.fetching import Fetching
from penstock.shell.health import Health
from penstock.shell.reporting import Reporting
from penstock.shell.services import Services
from penstock.shell.stream_shard import StreamShard

FAILURES_MAX = 3
"""After so many fetches in a row that failed for a reason that does not pass, the source is made anew."""


class StreamShards:
    """The machines of one opened source. Lives as long as that source."""

    def __init__(
        self,
        source: StreamSource,
        *,
        config: MappingConfig,
        settings: StreamSettings,
        make_layout: Callable[[str], StreamLayout],
        make_filter: Callable[[str], RecordFilter[Record] | None],
        services: Services,
        reporting: Reporting,
        health: Health,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        """Take the source and the mapping it is read for; `on_failure` hears of what this source can not survive."""
        self.is_assigned = False
        """The source has said at least once which shards are ours."""
        self._source = source
        self._config = config
        self._settings = settings
        self._make_layout = make_layout
        self._make_filter = make_filter
        self._services = services
        self._reporting = reporting
        self._health = health
        self._on_failure = on_failure
        self._shards: dict[str, StreamShard] = {}
        self._waiting: dict[str, AssignedShard] = {}
        self._closing: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._is_draining = False
        self._has_none = asyncio.Event()
        self._has_none.set()
        self._fetching = Fetching(source, on_answer=self._on_fetched, on_bug=on_failure)

    def views(self) -> dict[str, StreamView]:
        """Show every machine, by shard."""
        return {name: self._shards[name].view() for name in sorted(self._shards, key=_in_order)}

    def take_in(self, assignment: Assignment) -> None:
        """Follow what the source says of its shards."""
        match assignment:
            case ShardsAssigned() if self._is_draining:
                # They are another node's as soon as the source is closed.
                pass
            case ShardsAssigned(shards=shards):
                self.is_assigned = True
                for assigned in shards:
                    self._assign(assigned)
            case ShardsRevoked(shards=names, grace_ms=grace_ms):
                for shard in self._leaving(names):
                    shard.revoke(grace_ms, "the shard goes to another node")
            case ShardsLost(shards=names):
                for shard in self._leaving(names):
                    shard.lose()
            case _:
                assert_never(assignment)

    async def drain(self, grace_ms: int, why: str = "the node stops") -> None:
        """Let what runs end and be committed within the grace, then let go of everything (D40)."""
        self._is_draining = True
        self._waiting.clear()
        for shard in self._shards.values():
            shard.revoke(grace_ms, why)
        await self._has_none.wait()

    async def close(self) -> None:
        """End whatever still runs; nothing is committed any more."""
        self._is_draining = True
        self._waiting.clear()
        await self._fetching.close()
        for shard in list(self._shards.values()):
            self._let_go(shard, release=False)
        if self._closing:
            await asyncio.wait(self._closing)
        await self._services.deliveries.close(self._config.name)

    def _leaving(self, names: tuple[str, ...]) -> list[StreamShard]:
        for name in names:
            self._waiting.pop(name, None)
        return [self._shards[name] for name in names if name in self._shards]

    def _assign(self, assigned: AssignedShard) -> None:
        name = assigned.shard
        older = self._shards.get(name)
        if older is not None:
            # Two machines never run one shard at once: the new one begins when the old one has let go.
            self._waiting[name] = assigned
            if not older.is_stopping:
                older.lose()
            return
        self._has_none.clear()
        shard = StreamShard(
            assigned,
            config=self._config,
            settings=self._settings,
            layout=self._make_layout(name),
            record_filter=self._make_filter(name),
            source=self._source,
            fetching=self._fetching,
            services=self._services,
            reporting=self._reporting,
            on_released=self._on_released,
            on_failure=self._on_failure,
        )
        self._shards[name] = shard
        shard.begin()

    def _on_released(self, shard: StreamShard) -> None:
        self._let_go(shard, release=not shard.is_lost)

    def _let_go(self, shard: StreamShard, *, release: bool) -> None:
        if self._shards.get(shard.name) is not shard or shard.is_closing:
            return
        shard.is_closing = True
        task = asyncio.get_running_loop().create_task(self._close_shard(shard, release=release))
        self._closing.add(task)
        task.add_done_callback(self._on_let_go)

    async def _close_shard(self, shard: StreamShard, *, release: bool) -> None:
        await shard.close()
        self._health.keep(shard.view().counters)
        del self._shards[shard.name]
        waiting = self._waiting.pop(shard.name, None)
        # A shard that is ours again already must not be let go of in the name of the time before.
        if release and waiting is None:
            try:
                await self._source.release([shard.name])
            except SourceError as error:
                self._reporting.log.debug("release failed", shard=shard.name, reason=str(error))
        if waiting is not None:
            self._assign(waiting)
        if not self._shards:
            self._has_none.set()

    def _on_let_go(self, task: asyncio.Task[Any]) -> None:
        self._closing.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._on_failure(error)

    def _on_fetched(self, error: SourceError | None) -> None:
        if error is None:
            self._failures = 0
            self._reporting.on_source(None)
            return
        self._reporting.on_source(error, "read")
        self._failures = 0 if error.is_retryable else self._failures + 1
        if self._failures >= FAILURES_MAX:
            self._on_failure(error)


def _in_order(name: str) -> tuple[str, int, str]:
    """Sort `orders-2` before `orders-10`."""
    head, _, tail = name.rpartition("-")
    return (head, int(tail), "") if tail.isdecimal() else (name, 0, name)
