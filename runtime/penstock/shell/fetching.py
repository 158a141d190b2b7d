"""One fetch for all shards of a mapping: merges what its machines want, and hands out what is found.

A shard that is not answered stays wanted. A want that comes while a fetch waits ends that fetch and asks again with all
of them, which loses nothing by the contract of `StreamSource.fetch`.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from penstock.api import Fetched, SourceError, StreamSource, Want
from penstock.core import commands as do
from penstock.core import facts

WAIT_MS = 30_000
PATIENCE_LEAST_MS = 5
"""A fetch may run so long before a new want ends it: a source that has records answers sooner."""
PATIENCE_MOST_MS = 1_000
EMPTY_PAUSE_MS = 50
"""A source that answers with nothing at once, instead of waiting, is asked again after so long."""

FetchFact = facts.RecordsFetched | facts.SourceFailed


@dataclass(frozen=True, slots=True)
class _Wanted:
    id: int
    want: Want
    post: Callable[[FetchFact], None]


class Fetching:
    """Keeps at most one fetch of a source outstanding, while anything is wanted."""

    def __init__(
        self,
        source: StreamSource,
        *,
        on_answer: Callable[[SourceError | None], None],
        on_bug: Callable[[BaseException], None],
    ) -> None:
        """Take the source, who hears how each fetch went, and who hears of what is no `SourceError`."""
        self._loop = asyncio.get_running_loop()
        self._source = source
        self._on_answer = on_answer
        self._on_bug = on_bug
        self._wanted: dict[str, _Wanted] = {}
        self._asked: dict[str, _Wanted] = {}
        self._task: asyncio.Task[Sequence[Fetched]] | None = None
        self._began_s = 0.0
        self._patience_ms = PATIENCE_LEAST_MS
        self._is_due = False
        self._timer: asyncio.TimerHandle | None = None
        self._is_closed = False

    def want(self, shard: str, command: do.Fetch, post: Callable[[FetchFact], None]) -> None:
        """Want records of a shard; a newer want of the same shard takes the place of an older one."""
        want = Want(shard, command.after, command.records_max, command.bytes_max)
        self._wanted[shard] = _Wanted(command.id, want, post)
        if self._task is None:
            self._issue_soon()
        elif self._timer is None:
            self._timer = self._loop.call_at(self._began_s + self._patience_ms / 1000, self._interrupt)

    def forget(self, shard: str) -> None:
        """Want nothing more of a shard."""
        self._wanted.pop(shard, None)
        if not self._wanted and self._task is not None:
            self._task.cancel()

    async def close(self) -> None:
        """End the fetch that waits, and ask no more."""
        self._is_closed = True
        self._wanted.clear()
        if self._timer is not None:
            self._timer.cancel()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _issue_soon(self, pause_ms: int = 0) -> None:
        if self._is_due or self._is_closed:
            return
        self._is_due = True
        if pause_ms:
            self._loop.call_later(pause_ms / 1000, self._issue)
        else:
            # In the next turn of the loop, so that the wants of all machines that were answered together go together.
            self._loop.call_soon(self._issue)

    def _issue(self) -> None:
        self._is_due = False
        if not self._wanted or self._task is not None or self._is_closed:
            return
        self._asked = dict(self._wanted)
        self._began_s = self._loop.time()
        wants = [wanted.want for wanted in self._asked.values()]
        self._task = self._loop.create_task(self._source.fetch(wants, wait_ms=WAIT_MS))
        self._task.add_done_callback(self._on_done)

    def _interrupt(self) -> None:
        self._timer = None
        if self._task is not None:
            # Wants that come faster than a slow source answers must not keep it from ever answering.
            self._patience_ms = min(2 * self._patience_ms, PATIENCE_MOST_MS)
            self._task.cancel()

    def _on_done(self, task: asyncio.Task[Sequence[Fetched]]) -> None:
        self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._is_closed:
            if not task.cancelled():
                task.exception()
            return
        is_answered = task.cancelled() or self._take_in(task)
        is_early = self._loop.time() < self._began_s + EMPTY_PAUSE_MS / 1000
        self._issue_soon(EMPTY_PAUSE_MS if is_early and not is_answered else 0)

    def _take_in(self, task: asyncio.Task[Sequence[Fetched]]) -> bool:
        """Hand out what a fetch gave; False when it was nothing."""
        error = task.exception()
        if error is None:
            self._patience_ms = PATIENCE_LEAST_MS
            self._on_answer(None)
            return self._hand_out(task.result())
        if isinstance(error, SourceError):
            self._on_answer(error)
            for shard, wanted in self._asked.items():
                if self._wanted.get(shard) is wanted:
                    del self._wanted[shard]
                    wanted.post(facts.SourceFailed(wanted.id, str(error)))
        else:
            self._on_bug(error)
        return True

    def _hand_out(self, found: Sequence[Fetched]) -> bool:
        is_answered = False
        for fetched in found:
            wanted = self._asked.get(fetched.shard)
            if wanted is None or self._wanted.get(fetched.shard) is not wanted:
                continue
            if not fetched.records and fetched.position == wanted.want.after and fetched.lag is None:
                continue
            is_answered = True
            del self._wanted[fetched.shard]
            wanted.post(facts.RecordsFetched(wanted.id, fetched))
        return is_answered
