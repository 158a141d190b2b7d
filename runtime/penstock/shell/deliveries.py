"""Carries out `Deliver`: invocation records become documents, and are sent until each was taken or refused for good.

What a destination finds too large is sent again smaller, and only that (D14). What was taken is remembered until the
whole record is, so that trying the rest again repeats as little as possible. When to try again is the machine's matter.
"""

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial

from penstock.api import RecordRefused, SourceError
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.events.invocation_documents import Document, Extent, InvocationDocuments
from penstock.core.invocation_record import InvocationRecord
from penstock.shell.logs import Log
from penstock.shell.outlet import Outlet

PORTION_DOCUMENTS = 500
PORTION_BYTES = 4 * 1024 * 1024
"""So much is sent at once; the documents of one record may be thousands, each with the function's whole answer."""

PROGRESS_MAX = 100
"""So many records that were partly taken are remembered; a lane has one at a time."""

ENDED_BY_NODE = "the delivery was ended by the node"


@dataclass(frozen=True, slots=True)
class Route:
    """Where a mapping's records of one kind go, and how the documents of one shard are made."""

    outlet: Outlet
    documents: Callable[[str], InvocationDocuments]


@dataclass(frozen=True, slots=True)
class _Routes:
    on_failure: Route | None
    on_success: Route | None

    def outlets(self) -> list[Outlet]:
        return [route.outlet for route in (self.on_failure, self.on_success) if route is not None]


class Deliveries:
    """One per node: knows the destinations of every mapping."""

    def __init__(self) -> None:
        """Begin with no mapping."""
        self._routes: dict[str, _Routes] = {}

    def join(self, mapping: str, *, on_failure: Route | None, on_success: Route | None) -> None:
        """Make a mapping's destinations known."""
        self._routes[mapping] = _Routes(on_failure, on_success)

    async def check(self, mapping: str) -> None:
        """Raise the `SourceError` that says which destination of a mapping can not be written, and why."""
        for outlet in self._routes[mapping].outlets():
            await outlet.check()

    def client(
        self, mapping: str, shard: str, *, post: Callable[[facts.StreamFact], None], log: Log
    ) -> "ShardDeliveries":
        """Give the machine of one shard what carries its deliveries out."""
        return ShardDeliveries(self._routes.get(mapping, _Routes(None, None)), shard, post=post, log=log)

    async def close(self, mapping: str) -> None:
        """Let go of a mapping's destinations, until something is delivered again."""
        routes = self._routes.get(mapping)
        if routes is not None:
            await asyncio.gather(*(outlet.close() for outlet in routes.outlets()))


@dataclass(slots=True)
class _Progress:
    """How far one record has come: which of its documents were taken, and whether one of them was made smaller."""

    taken: set[int] = field(default_factory=set)
    shrunk: bool = False


@dataclass(slots=True)
class _Attempt:
    """One document on its way, and how much of it that is."""

    index: int
    part: InvocationRecord
    extent: Extent = Extent.WHOLE
    document: Document | None = None


@dataclass(slots=True)
class _Sending:
    command_id: int
    task: "asyncio.Task[_Progress]"


class ShardDeliveries:
    """What one machine sends. Every `Deliver` is answered by exactly one fact, as long as this is not closed."""

    def __init__(self, routes: _Routes, shard: str, *, post: Callable[[facts.StreamFact], None], log: Log) -> None:
        """Take the mapping's destinations and where to report to. Made by `Deliveries.client`."""
        self._routes = routes
        self._shard = shard
        self._post = post
        self._log = log
        self._documents: dict[bool, InvocationDocuments] = {}
        self._sending: dict[tuple[object, ...], _Sending] = {}
        self._progress: dict[tuple[object, ...], _Progress] = {}
        self._is_closed = False

    def deliver(self, command: do.Deliver) -> None:
        """Carry out `Deliver`. One for a record that is still being sent only takes over its answer."""
        key = _identity(command.record)
        under_way = self._sending.get(key)
        if under_way is not None:
            under_way.command_id = command.id
            return
        task = asyncio.get_running_loop().create_task(self._deliver(key, command.record))
        self._sending[key] = _Sending(command.id, task)
        task.add_done_callback(partial(self._on_done, key))

    def cancel(self, command_id: int) -> bool:
        """End a delivery; False when there is none of this id."""
        for sending in self._sending.values():
            if sending.command_id == command_id:
                return sending.task.cancel()
        return False

    async def close(self) -> None:
        """End what is on its way; nothing is told to the machine any more."""
        self._is_closed = True
        tasks = [sending.task for sending in self._sending.values()]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    def _route(self, record: InvocationRecord) -> tuple[Outlet, InvocationDocuments]:
        route = self._routes.on_failure if record.is_failure else self._routes.on_success
        assert route is not None, f"the mapping has no destination for {record.condition}"
        if record.is_failure not in self._documents:
            self._documents[record.is_failure] = route.documents(self._shard)
        return route.outlet, self._documents[record.is_failure]

    async def _deliver(self, key: tuple[object, ...], record: InvocationRecord) -> _Progress:
        outlet, documents = self._route(record)
        progress = self._progress.setdefault(key, _Progress())
        while len(self._progress) > PROGRESS_MAX:
            del self._progress[next(iter(self._progress))]
        refused: list[RecordRefused] = []
        parts = documents.parts(record)
        waiting = (_Attempt(index, part) for index, part in enumerate(parts) if index not in progress.taken)
        for portion in _portions(waiting, documents):
            refused += await self._send(outlet, documents, portion, progress)
        if refused:
            others = f" ({len(refused)} of {len(parts)} documents)" if len(refused) > 1 else ""
            raise RecordRefused(f"{outlet.name}: {refused[0]}{others}")
        return progress

    async def _send(
        self, outlet: Outlet, documents: InvocationDocuments, attempts: list[_Attempt], progress: _Progress
    ) -> list[RecordRefused]:
        """Send documents until each was taken or refused at its smallest; gives the refusals."""
        refused: list[RecordRefused] = []
        while attempts:
            sent = [each.document for each in attempts if each.document is not None]
            answers = await outlet.write(sent)
            if len(answers) != len(sent):
                raise RuntimeError(f"it gave {len(answers)} answers for {len(sent)} records")
            again: list[_Attempt] = []
            for attempt, answer in zip(attempts, answers, strict=True):
                if answer is None:
                    progress.taken.add(attempt.index)
                    progress.shrunk |= attempt.extent != Extent.WHOLE
                elif answer.too_large and (smaller := _smaller(attempt, documents, answer)) is not None:
                    again.append(smaller)
                else:
                    refused.append(answer)
            attempts = again
        return refused

    def _on_done(self, key: tuple[object, ...], task: "asyncio.Task[_Progress]") -> None:
        command_id = self._sending.pop(key).command_id
        if self._is_closed:
            if not task.cancelled():
                task.exception()
            return
        self._post(self._answer(key, command_id, task))

    def _answer(self, key: tuple[object, ...], command_id: int, task: "asyncio.Task[_Progress]") -> facts.StreamFact:
        if task.cancelled():
            return facts.DeliveryFailed(command_id, ENDED_BY_NODE)
        match task.exception():
            case None:
                self._progress.pop(key, None)
                return facts.Delivered(command_id, shrunk=task.result().shrunk)
            case RecordRefused() as error:
                return facts.DeliveryFailed(command_id, str(error), refused=True)
            case SourceError() as error:
                return facts.DeliveryFailed(command_id, str(error))
            case error:
                reason = f"internal error, {type(error).__name__}: {error}".removesuffix(": ")
                self._log.error("destination failed", shard=self._shard, reason=reason, exc_info=error)
                return facts.DeliveryFailed(command_id, reason)


def _identity(record: InvocationRecord) -> tuple[object, ...]:
    return record.condition, record.records[0].position, record.records[-1].position, record.ended_ms


def _portions(attempts: Iterator[_Attempt], documents: InvocationDocuments) -> Iterator[list[_Attempt]]:
    """Build documents, and give as many at a time as are to be sent at once."""
    portion: list[_Attempt] = []
    bytes_count = 0
    for attempt in attempts:
        attempt.document = documents.build(attempt.part)
        portion.append(attempt)
        bytes_count += attempt.document.size_bytes
        if bytes_count >= PORTION_BYTES or len(portion) >= PORTION_DOCUMENTS:
            yield portion
            portion, bytes_count = [], 0
    if portion:
        yield portion


def _smaller(attempt: _Attempt, documents: InvocationDocuments, refusal: RecordRefused) -> _Attempt | None:
    """Make the next smaller document in place of one that was refused; None where there is none."""
    assert attempt.document is not None
    reason = f"too large for the destination: {refusal}"
    for extent in Extent:
        if extent > attempt.extent:
            document = documents.build(attempt.part, extent, reason=reason)
            if document.size_bytes < attempt.document.size_bytes:
                return _Attempt(attempt.index, attempt.part, extent, document)
    return None
