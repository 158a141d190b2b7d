"""A mapping's receiver of one queue: `penstock.api.QueueSource` over sessions, which are made anew when one is lost.

Whatever happens to a connection, nothing is lost: what was held is the queue's again, its receipts have expired, and
all comes anew.
"""

import asyncio
import contextlib
import itertools
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence

from penstock.api import Backlog, MappingContext, Message, ReceiptExpired, SourceBroken, SourceError
from penstock_rabbitmq.connection import Connection
from penstock_rabbitmq.delay_queues import DelayQueues
from penstock_rabbitmq.errors import again
from penstock_rabbitmq.lane import Lane
from penstock_rabbitmq.messages import DELIVERIES, Delivery, Reader
from penstock_rabbitmq.queue import quorum_refusal
from penstock_rabbitmq.session import STAND_BY_S, Session
from penstock_rabbitmq.settings import Settings
from penstock_rabbitmq.shared import Shared
from penstock_rabbitmq.twins import Twins

GIVEN_BACK_MAX = 10_000

_log = logging.getLogger(__name__)


class Receiver:
    """Receives what the broker sends ahead. See `penstock.api.QueueSource` for what each method promises."""

    def __init__(
        self, settings: Settings, mapping: MappingContext, *, now_s: Callable[[], float] = time.monotonic
    ) -> None:
        """Take the queue and whose it is; nothing is connected to before `open`."""
        self._settings = settings
        self._name = f"penstock {mapping.mapping}"
        self._bytes_max = mapping.buffer_bytes_max
        self._now_s = now_s
        self._reader = Reader(settings)
        self._twins = Twins(now_s, self._is_held)
        self._session: Session | None = None
        self._lost: Session | None = None
        self._news = asyncio.Event()
        self._full = asyncio.Event()
        self._tending: asyncio.Task[None] | None = None
        self._opening = Shared(self._open_session)
        self._owning = Shared(self._own)
        self._delay_queues = DelayQueues(settings, lease_ms=mapping.lease_ms, name=self._name, now_s=now_s)
        self._given_back: OrderedDict[str, int] = OrderedDict()
        """When messages were received first that went back, as long as we can remember."""

    async def open(self) -> None:
        await self._opening.run()
        self._tending = asyncio.create_task(self._tend())

    async def close(self) -> None:
        if self._tending is not None:
            self._tending.cancel()
            await asyncio.wait([self._tending])
        await self._opening.stop()
        await self._owning.stop()
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        await self._delay_queues.close()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        clock = asyncio.get_running_loop().time
        until_s = clock() + wait_ms / 1000
        session = await self._usable_session()
        while True:
            self._news.clear()
            if session.error is not None:
                session = await self._usable_session()
            messages = self._take(session, messages_max)
            left_s = until_s - clock()
            if messages or left_s <= 0:
                return messages
            if session.is_owner:
                await self._until_news(min(left_s, self._due_in_s(session)))
            elif not await self._owning.run():
                await self._until_news(min(left_s, STAND_BY_S))

    async def ack(self, receipts: Sequence[str]) -> None:
        # One whose receipt has expired comes again, and its twins with it.
        ours = [receipt for receipt in receipts if self._is_held(receipt)] if self._settings.is_fifo else ()
        settled = sum(lane.ack(handles) for lane, handles in self._by_lane(receipts))
        self._settle_twins(ours)
        self._check(receipts, settled)

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        settled = 0
        for lane, handles in self._by_lane(receipts):
            if self._settings.is_fifo:
                # What goes back to the queue could come behind others that we have; so it waits here, in its place.
                settled += lane.put_back(handles, counted=counted)
            elif delay_ms > 0:
                settled += await self._delay(lane, handles, delay_ms, counted=counted)
            else:
                back = lane.nack(handles)
                self._remember(back)
                settled += len(back)
        twins = self._twins.give_back(receipts)
        for lane, handles in self._by_lane(twins):
            lane.put_back(handles, counted=False)
        self._check(receipts, settled)

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        raise NotImplementedError("a queue that does not count is never asked to")

    async def reject(self, receipts: Sequence[str]) -> None:
        ours = [receipt for receipt in receipts if self._is_held(receipt)] if self._settings.is_fifo else ()
        settled = sum(lane.reject(handles) for lane, handles in self._by_lane(receipts))
        self._settle_twins(ours)
        self._check(receipts, settled)

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:  # noqa: ARG002 - a lease is the connection
        self._check(receipts, sum(map(self._is_held, receipts)))

    async def backlog(self) -> Backlog:
        session = await self._usable_session()
        ready = await session.look()
        waiting = sum(lane.waiting for lane in session.lanes)
        return Backlog(ready + waiting, None, sum(lane.held for lane in session.lanes))

    # Receiving.

    def _take(self, session: Session, messages_max: int) -> list[Message]:
        messages: list[Message] = []
        now_ms = time.time_ns() // 1_000_000
        for lane in session.lanes:
            if lane.delayed:
                lane.give_due(self._now_s())
            while len(messages) < messages_max:
                taken = [self._message(lane, delivery, now_ms) for delivery in lane.take(messages_max - len(messages))]
                if not taken:
                    break
                messages += self._without_twins(taken) if self._settings.is_fifo else taken
        return messages

    def _message(self, lane: Lane, delivery: Delivery, now_ms: int) -> Message:
        if delivery.redelivered:
            self._on_redelivered(delivery)
        return self._reader.message(delivery, receipt=f"{lane.number}-{delivery.handle}", now_ms=now_ms)

    def _without_twins(self, messages: list[Message]) -> list[Message]:
        firsts: list[Message] = []
        repeated: list[str] = []
        for message in messages:
            name = message.deduplication_id
            if name is None:
                firsts.append(message)
            elif self._twins.was_settled(name):
                repeated.append(message.receipt)
            elif self._twins.begin(name, message.receipt):
                firsts.append(message)
        for lane, handles in self._by_lane(repeated):
            lane.ack(handles)
        return firsts

    def _settle_twins(self, receipts: Sequence[str]) -> None:
        if self._settings.is_fifo:
            for lane, handles in self._by_lane(self._twins.settle(receipts)):
                lane.ack(handles)

    async def _delay(self, lane: Lane, handles: Sequence[int], delay_ms: int, *, counted: bool) -> int:
        """Hold messages here for their delay, or have them wait in a delay queue where too many are held already."""
        if not self._is_crowded(lane):
            return lane.delay(handles, due_s=self._now_s() + delay_ms / 1000, counted=counted)
        # What is not ours any more can not be copied: it comes again by itself.
        if await self._delay_queues.move(lane.given_out(handles), delay_ms=delay_ms, counted=counted):
            return lane.ack(handles)
        back = [] if lane.is_retired else lane.return_oldest(len(handles))
        # As many take their places; the rest of them goes back too.
        settled = lane.delay(handles[: len(back)], due_s=self._now_s() + delay_ms / 1000, counted=counted)
        rest = lane.return_early(handles[len(back) :], counted=counted)
        self._remember([*back, *rest])
        return settled + len(rest)

    def _is_crowded(self, lane: Lane) -> bool:
        """Half of what the broker sends ahead is held, here or by the engine, so that more would hold up the others."""
        session = self._session
        if session is None or lane.is_retired:
            return True
        return sum(each.held for each in session.lanes) * 2 > session.prefetch

    def _due_in_s(self, session: Session) -> float:
        due_s = min((due_s for lane in session.lanes if (due_s := lane.due_s()) is not None), default=None)
        return float("inf") if due_s is None else max(0.0, due_s - self._now_s())

    def _on_redelivered(self, delivery: Delivery) -> None:
        settings = self._settings
        if settings.is_fifo and not settings.accepts_reorder and DELIVERIES in (delivery.properties.headers or {}):
            # Where we may not ask what the queue is, this is how it shows.
            raise SourceBroken(quorum_refusal(settings))
        if self._given_back and not delivery.first_received_ms:
            delivery.first_received_ms = self._given_back.pop(delivery.properties.message_id, 0)

    async def _until_news(self, wait_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._news.wait()

    # Sessions.

    async def _usable_session(self) -> Session:
        """Give the session, made anew where it was lost. One that can not be made is the next call's to try."""
        session = self._session
        if session is not None and session.error is None:
            return session
        if session is not None:
            _log.warning("%s; what was held there comes again", session.error)
            self._session = None
            self._lost = session
        await self._opening.run()
        session = self._session
        assert session is not None
        if session.error is not None:
            raise again(session.error)
        return session

    async def _open_session(self) -> None:
        self._twins.lose()
        lost, self._lost = self._lost, None
        if lost is not None:
            await lost.close()
        connection = Connection(self._settings.addresses, place=self._settings.place, name=self._name)
        session = Session(connection, self._settings, bytes_max=self._bytes_max, now_s=self._now_s)
        session.on_news = self._news.set
        session.on_full = self._full.set
        try:
            await session.open()
        except BaseException:
            await session.close()
            raise
        self._session = session

    async def _own(self) -> bool:
        session = self._session
        return session is not None and await session.own()

    async def _tend(self) -> None:
        """Look after the lanes, for as long as the receiver is open."""
        wait_s = 1.0
        while True:
            self._full.clear()
            session = self._session
            if session is not None and session.error is None:
                with contextlib.suppress(SourceError):  # whoever receives hears of it
                    wait_s = await session.tend()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._full.wait()

    # Bookkeeping.

    def _by_lane(self, receipts: Iterable[str]) -> list[tuple[Lane, list[int]]]:
        session = self._session
        if session is None:
            return []
        lanes = {lane.number: lane for lane in session.lanes}
        found: list[tuple[Lane, list[int]]] = []
        for number, group in itertools.groupby(receipts, key=lambda receipt: receipt.partition("-")[0]):
            lane = lanes.get(int(number)) if number.isdecimal() else None
            if lane is not None:
                found.append((lane, [int(receipt.partition("-")[2]) for receipt in group]))
        return found

    def _is_held(self, receipt: str) -> bool:
        return any(lane.holds(handles[0]) for lane, handles in self._by_lane((receipt,)))

    def _check(self, receipts: Sequence[str], settled: int) -> None:
        expired = len(set(receipts)) - settled
        if expired > 0:
            raise ReceiptExpired(
                f"{self._settings.place}: {expired} of {len(receipts)} receipts stand for no message that we hold"
            )

    def _remember(self, back: Iterable[Delivery]) -> None:
        for delivery in back:
            self._given_back[delivery.message_id] = delivery.first_received_ms
            self._given_back.move_to_end(delivery.message_id)
        while len(self._given_back) > GIVEN_BACK_MAX:
            self._given_back.popitem(last=False)
