"""A queue's receiver: one mapping's, over a stream or a list.

Whatever is taken is taken by a script that checks the lease, and runs as a task of its own: a receive that is
cancelled leaves it to its end, and what it brought is given by the next receive or, where none comes, given back.
"""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from penstock.api import Backlog, Message, ReceiptExpired, SourceBroken, SourceError
from penstock_redis.bell import ROUND_S, Bell, first_of
from penstock_redis.client import Argument
from penstock_redis.ending import end
from penstock_redis.held import Book, Held
from penstock_redis.owner import Owner, now_s
from penstock_redis.server import Server
from penstock_redis.shelf import Shelf
from penstock_redis.twins import Twins

TAKE_MAX = 1_000
"""Of one round trip, so that a script does not keep the server long."""
STEP_LEAST = 20
BYTES_MAX = 8 * 1024 * 1024
CLOSE_S = 3.0
LEFT_OVER_S = 0.1

_log = logging.getLogger(__name__)


class Reads(Protocol):
    """Makes messages of what a script gives: an id, and what is under it."""

    def message(self, entry: Any, *, receipt: str, runs: int, first_received_ms: int) -> Message: ...


class Receiver:
    """Receives under a lease. See `penstock.api.QueueSource` for what each method promises."""

    def __init__(self, server: Server, shelf: Shelf, reader: Reads, *, node: str, lease_ms: int, is_fifo: bool) -> None:
        """Take the server, the queue on it, what makes messages of its entries, and how long a message is leased."""
        self._server = server
        self._shelf = shelf
        self._reader = reader
        self._lease_ms = lease_ms
        self._is_fifo = is_fifo
        self._book = Book()
        self._owner = Owner(shelf, node, lease_ms, self._on_lost)
        self._bells = [Bell(shelf.client.line()) for _ in range(1 if shelf.is_stream else 2)]
        self._twins = Twins()
        self._numbers = itertools.count(1)
        self._step = 100
        self._has_lost_replies = False
        self._breaks = 0
        self._fetching: asyncio.Task[list[Message]] | None = None
        self._left_over: list[Message] = []
        self._giving_back: set[asyncio.Task[None]] = set()
        self._returning = asyncio.Lock()
        """Held while something is returned that the engine did not ask for; who takes next waits for it."""

    async def open(self) -> None:
        uptime_s = await self._server.look(warns=True)
        await self._owner.join(server_uptime_s=uptime_s)
        self._owner.keep(self._tend)

    async def close(self) -> None:
        await self._owner.stop()
        if self._fetching is not None:
            # What it may have taken is looked for below.
            self._has_lost_replies = True
            await end(self._fetching)
        with contextlib.suppress(SourceError, TimeoutError):
            async with asyncio.timeout(CLOSE_S):
                await self._leave()
        for bell in self._bells:
            await bell.close()
        await self._server.close()

    async def receive(self, *, messages_max: int, wait_ms: int) -> Sequence[Message]:
        if self._fetching is not None:
            await asyncio.wait([self._fetching])
        if self._is_fifo or not self._left_over:
            # In a FIFO queue what is left over is given back first: older ones of its groups may be back meanwhile.
            stop = asyncio.Event()
            self._fetching = fetching = asyncio.create_task(self._fetch(messages_max, wait_ms / 1000, stop))
            try:
                return await asyncio.shield(fetching)
            except asyncio.CancelledError:
                stop.set()
                fetching.add_done_callback(self._keep_left_over)
                raise
            finally:
                if fetching.done():
                    self._fetching = None
        taken, self._left_over = self._left_over[:messages_max], self._left_over[messages_max:]
        return taken

    async def ack(self, receipts: Sequence[str]) -> None:
        held = self._book.find(receipts)
        self._let_go(held)
        settled = 0
        if held:
            names = [each.deduplication_id for each in held.values() if each.deduplication_id is not None]
            twins = self._twins.of(names)
            ids = [*(each.id for each in held.values()), *twins]
            reply = await self._owner.ask("ack", self._shelf.ack_option, len(ids), *ids, *names)
            settled = self._settled(reply, held) - len(twins)
            self._twins.settle(names)
        self._check(receipts, settled)

    async def nack(self, receipts: Sequence[str], *, delay_ms: int, counted: bool) -> None:
        held = self._book.find(receipts)
        self._let_go(held)
        settled = 0
        if held:
            settled = self._settled(await self._return(held, delay_ms=delay_ms, counted=counted), held)
        self._check(receipts, settled)

    async def count(self, receipts: Sequence[str], *, receive_count: int) -> None:
        held = self._book.find(receipts)
        settled = 0
        if held:
            # What is kept are the runs that are over; the one that begins now is counted when it ends, or by a death.
            runs = {receipt: max(each.runs, receive_count - 1) for receipt, each in held.items()}
            parts = [
                part for receipt, each in held.items() for part in (each.id, runs[receipt], each.first_received_ms)
            ]
            reply = await self._owner.ask("count", *parts)
            if reply is not None:
                settled = reply[1]
                for receipt, each in held.items():
                    each.runs = runs[receipt]
        self._check(receipts, settled)

    async def reject(self, receipts: Sequence[str]) -> None:  # noqa: ARG002 - the protocol's
        raise SourceBroken(f"{self._shelf.client.place} has no dead-letter queue of its own; set a RedrivePolicy")

    async def extend(self, receipts: Sequence[str], *, lease_ms: int) -> None:
        if not self._owner.is_sure:
            await self._owner.beat()
        held = self._book.find(receipts)
        ends_ms = _now_ms() + lease_ms
        for each in held.values():
            if not each.is_let_go:
                each.ends_ms = ends_ms
        self._check(receipts, len(held))

    async def backlog(self) -> Backlog:
        reply = await self._shelf.ask("backlog", self._owner.name, self._owner.lease_ms)
        _, server_ms, returned, pending, unread, delayed, oldest = reply
        age_ms = max(0, server_ms - int(oldest.partition(b"-")[0])) if oldest else None
        return Backlog(returned + unread, age_ms, pending - returned + delayed)

    # Taking.

    async def _fetch(self, count: int, wait_s: float, stop: asyncio.Event) -> list[Message]:
        until_s = now_s() + wait_s
        while True:
            if self._is_fifo:
                # Nothing new of a group may come while older ones are under our name that nobody here has: those that
                # came for a receive that was cancelled, and those that have lapsed, which may be given up by now.
                await self._give_back()
                await self._tend()
            breaks = self._shelf.client.breaks
            if self._has_lost_replies or breaks != self._breaks:
                # A server that was away may have forgotten what it answered, or another stands in its place.
                await self._recover()
                self._breaks = breaks
            taken, due_s = await self._take(min(count, TAKE_MAX))
            left_s = until_s - now_s()
            if taken or left_s <= 0 or stop.is_set():
                return taken
            if due_s is None or due_s > 0:
                await self._wait(left_s if due_s is None else min(left_s, due_s), stop)

    async def _take(self, count: int) -> tuple[list[Message], float | None]:
        """Take what is there; else tell in how many seconds something falls due."""
        try:
            reply = await self._owner.ask(
                *("take", count, min(self._step, count), BYTES_MAX, int(self._is_fifo)), *self._shelf.take_options
            )
        except SourceError:
            self._has_lost_replies = True
            raise
        if reply is None:
            return [], 0
        match reply:
            case [b"taken", server_ms, back, fresh, runs, gone]:
                self._on_gone(gone)
                entries = [*back, *itertools.chain.from_iterable(fresh)]
                return await self._hold(entries, runs, server_ms), 0
            case [b"nothing", server_ms, due_ms, end_ms, rung, delivered, gone]:
                self._on_gone(gone)
                self._owner.hear_of_end(server_ms, end_ms)
                self._arm(rung, delivered)
                return [], None if due_ms < 0 else (due_ms - server_ms) / 1000
            case [_, server_ms, _, end_ms, rung]:
                # Another node is active: its end, or its leaving, is all there is to wait for.
                self._owner.hear_of_end(server_ms, end_ms)
                self._arm(rung, None)
        return [], None

    def _arm(self, rung: bytes, delivered: bytes | None) -> None:
        wait: tuple[Argument, ...] = ("XREAD", "COUNT", 1, "BLOCK", ROUND_S * 1000, "STREAMS")
        wake, news = self._shelf.wake_key, self._shelf.news_key
        if not self._shelf.is_stream:
            self._bells[0].arm((*wait, wake, rung))
            self._bells[1].arm(("BLMOVE", news, news, "RIGHT", "RIGHT", ROUND_S))
        elif delivered is None:
            self._bells[0].arm((*wait, wake, rung))
        else:
            self._bells[0].arm((*wait, news, wake, delivered, rung))

    async def _wait(self, wait_s: float, stop: asyncio.Event) -> None:
        await first_of(self._bells, stop, wait_s)

    async def _hold(self, entries: Sequence[Any], runs: Sequence[bytes | None], server_ms: int) -> list[Message]:
        ends_ms = _now_ms() + self._lease_ms
        messages = []
        size = 0
        tag = self._owner.name.rpartition(".")[2]
        number = next(self._numbers)
        for entry, kept in itertools.zip_longest(entries, runs):
            so_far, first_ms = 0, server_ms
            if kept is not None:
                so_far, first_ms = map(int, kept.split(b":"))
            # One number for all will do: an id is there once in what is taken at a time.
            receipt = f"{entry[0].decode()}@{tag}.{number}"
            message = self._reader.message(entry, receipt=receipt, runs=so_far, first_received_ms=first_ms)
            self._book.add(receipt, Held(message.message_id, so_far, first_ms, ends_ms, message.deduplication_id))
            size += len(message.body)
            messages.append(message)
        # As many at a time as will fit the bytes allowed.
        self._step = max(STEP_LEAST, min(TAKE_MAX, BYTES_MAX * len(messages) // (size + 1)))
        self._owner.poke()
        return await self._without_twins(messages) if self._is_fifo else messages

    async def _without_twins(self, messages: list[Message]) -> list[Message]:
        """Leave out what was settled lately under the same deduplication id, or is in flight."""
        waiting = [message for message in messages if self._twins.is_twin(message)]
        self._book.drop(message.receipt for message in waiting)
        waiting_ids = {message.message_id for message in waiting}
        firsts = [message for message in messages if message.message_id not in waiting_ids]
        named = [message for message in firsts if message.deduplication_id is not None]
        if not named:
            return firsts
        try:
            reply = await self._owner.ask("seen", *(message.deduplication_id or "" for message in named))
            if reply is None:
                return []
            repeated = {message.receipt for message, is_seen in zip(named, reply[1], strict=True) if is_seen}
            await self.ack(list(repeated))
        except SourceError:
            self._book.drop(message.receipt for message in messages)
            self._doubt_twins()
            raise
        return [message for message in firsts if message.receipt not in repeated]

    async def _recover(self) -> None:
        """Give back what was taken for us by a call whose answer was lost."""
        known = self._book.ids() | self._twins.ids()
        after = ""
        while True:
            reply = await self._owner.ask("mine", after)
            if reply is None:
                break
            ids = [each.decode() for each in reply[1]]
            lost = [each for each in ids if each not in known]
            if lost:
                await self._owner.ask("back", 0, *(part for each in lost for part in (each, -1, 0)))
            if not ids:
                break
            after = ids[-1]
        self._has_lost_replies = False

    # Returning.

    async def _return(self, held: dict[str, Held], *, delay_ms: int, counted: bool) -> Any:
        parts = [
            part
            for each in held.values()
            for part in (each.id, each.runs + 1 if counted else -1, each.first_received_ms)
        ]
        return await self._owner.ask("back", delay_ms, *parts)

    async def _tend(self) -> float | None:
        """Return what was not extended in time; tell in how many seconds the next lease ends."""
        async with self._returning:
            lapsed = self._book.find(self._book.lapsed(_now_ms()))
            if lapsed:
                # It may have been run: counted, as if its owner had died.
                settled = self._settled(await self._return(lapsed, delay_ms=0, counted=True), lapsed)
                if settled < len(lapsed) and self._is_fifo:
                    # The answer of a call that settled them was lost.
                    self._doubt_twins()
        next_end_ms = self._book.next_end_ms()
        return None if next_end_ms is None else max(0, next_end_ms - _now_ms()) / 1000

    def _keep_left_over(self, fetching: asyncio.Task[list[Message]]) -> None:
        if fetching.cancelled() or fetching.exception() is not None:
            return  # what it took is found by the next one
        self._left_over += fetching.result()
        if self._left_over:
            asyncio.get_running_loop().call_later(LEFT_OVER_S, self._give_back_left_over)

    def _give_back_left_over(self) -> None:
        if self._left_over:
            task = asyncio.create_task(self._give_back())
            self._giving_back.add(task)
            task.add_done_callback(self._giving_back.discard)

    async def _give_back(self) -> None:
        async with self._returning:
            messages, self._left_over = self._left_over, []
            held = self._book.find(message.receipt for message in messages)
            self._book.drop(held)
            if not held:
                return
            try:
                await self._return(held, delay_ms=0, counted=False)
            except SourceError:
                # Whoever takes next finds them under our name, and returns them first.
                self._has_lost_replies = True

    async def _leave(self) -> None:
        await asyncio.gather(*self._giving_back, return_exceptions=True)
        if self._owner.name:
            await self._give_back()
            if self._has_lost_replies or self._twins.ids():
                self._twins.clear()
                await self._recover()
            await self._owner.ask("leave")

    # Bookkeeping.

    @staticmethod
    def _let_go(held: dict[str, Held]) -> None:
        """Let an extension that was asked for before, and is answered late, not hold what is being settled."""
        for each in held.values():
            each.is_let_go = True

    def _settled(self, reply: Any, held: dict[str, Held]) -> int:
        self._book.drop(held)
        return 0 if reply is None else int(reply[1])

    def _check(self, receipts: Sequence[str], settled: int) -> None:
        expired = len(set(receipts)) - settled
        if expired > 0:
            raise ReceiptExpired(
                f"{self._shelf.client.place}: {expired} of {len(receipts)} receipts stand for no message that we hold"
            )

    def _on_lost(self) -> int:
        self._twins.clear()
        self._left_over.clear()
        return self._book.clear()

    def _on_gone(self, count: int) -> None:
        if count:
            _log.warning("%s: messages that waited were trimmed away: %d", self._shelf.client.place, count)
            # One of those that others wait for may be among them.
            self._doubt_twins()

    def _doubt_twins(self) -> None:
        """Let nothing wait for what we do not hold: it may be settled, or gone. What waited is found by who takes next.

        What the engine has stays the first of its id, or others of it would be run beside it.
        """
        self._twins.keep(self._book.ids())
        self._has_lost_replies = True


def _now_ms() -> int:
    return int(now_s() * 1000)
