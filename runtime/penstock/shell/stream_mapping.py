"""A stream mapping in the node: opens its source, follows its shards, and ends when it is told or when it must."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from penstock.api import Backlog, LeavesAtOnce, Record, SourceError, StreamSource
from penstock.configuration.project import MappingConfig
from penstock.core.events.layout import StreamLayout
from penstock.core.patterns.criteria import RecordFilter
from penstock.core.views import StreamView
from penstock.shell.ending import Ending
from penstock.shell.health import Health
from penstock.shell.reporting import Reporting
from penstock.shell.services import Services
from penstock.shell.source_loop import Preparation, keep_open
from penstock.shell.stream_shards import StreamShards


class StreamMapping:
    """One mapping on a stream. `run` is its one task."""

    def __init__(
        self,
        config: MappingConfig,
        *,
        open_source: Callable[[], StreamSource],
        operate: Callable[[], Preparation] | None,
        make_layout: Callable[[str], StreamLayout],
        make_filter: Callable[[str], RecordFilter[Record] | None],
        services: Services,
        reporting: Reporting,
        health: Health,
    ) -> None:
        """Take the configuration, how to make its source and the layout of one shard's events."""
        assert config.stream is not None
        self.config = config
        self.health = health
        self.reporting = reporting
        self._settings = config.stream
        self._open_source = open_source
        self._operate = operate
        self._make_layout = make_layout
        self._make_filter = make_filter
        self._services = services
        self._ending: Ending | None = None
        self._source: StreamSource | None = None
        self._shards: StreamShards | None = None
        self._drain_ms: int | None = None
        self._leaves = False

    @property
    def is_assigned(self) -> bool:
        """Its source is open and has said which shards are ours."""
        return self._shards is not None and self._shards.is_assigned

    def views(self) -> dict[str, StreamView]:
        """Show the machine of every shard."""
        return self._shards.views() if self._shards is not None else {}

    async def backlog(self, shard: str, after: int) -> Backlog | None:
        """Ask the broker what lies beyond a position; None while there is no source to ask."""
        return await self._source.backlog(shard, after) if self._source is not None else None

    async def run(self) -> None:
        """Read until `drain`; raises what the mapping can not survive."""
        await keep_open(
            self._open_source,
            self._use,
            operate=self._operate,
            reporting=self.reporting,
            jitter=self._services.jitter,
        )

    def drain(self, grace_ms: int, *, comes_back: bool = True) -> bool:
        """Begin to let go; False when nothing is open, so that there is nothing to wait for.

        Without `comes_back` the node goes on without this mapping, and its place among the readers is given up.
        """
        self._drain_ms = grace_ms
        self._leaves = not comes_back
        if self._ending is None:
            return False
        self._ending.ask()
        return True

    async def _use(self, source: StreamSource) -> None:
        ending = self._ending = Ending()
        shards = self._shards = StreamShards(
            source,
            config=self.config,
            settings=self._settings,
            make_layout=self._make_layout,
            make_filter=self._make_filter,
            services=self._services,
            reporting=self.reporting,
            health=self.health,
            on_failure=ending.fail,
        )
        self._source = source
        if self.health.phase == "starting":
            self.health.phase = "reading"
        try:
            async with _following(source, shards, ending):
                await ending.until_asked()
                why = "the mapping is disabled" if self._leaves else "the node stops"
                await ending.to_its_end(shards.drain(self._drain_ms or 0, why))
        except SourceError as error:
            if self._drain_ms is None:
                raise
            # Nothing more can be committed, and a source that is opened anew would only be read again.
            self.reporting.on_source(error, "let go")
        finally:
            self._source = None
            await shards.close()
            if self._leaves and isinstance(source, LeavesAtOnce):
                await source.leave()
            self._ending = self._shards = None


@asynccontextmanager
async def _following(source: StreamSource, shards: StreamShards, ending: Ending) -> AsyncIterator[None]:
    """Follow which shards are ours, to the very end: one may be lost while we let go of it."""
    task = asyncio.get_running_loop().create_task(_follow(source, shards))

    def hear(done: asyncio.Task[None]) -> None:
        if not done.cancelled():
            ending.fail(done.exception() or RuntimeError("the source's assignments() ended by itself"))

    task.add_done_callback(hear)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait({task})


async def _follow(source: StreamSource, shards: StreamShards) -> None:
    async for assignment in source.assignments():
        shards.take_in(assignment)
