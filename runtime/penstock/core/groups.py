"""Holds the messages of a FIFO queue by their groups, and says which may run (D23).

Promises: of each group one batch is out at a time; it is out until every message of it is deleted, sent away or held
again, so that nothing overtakes what may still come back. What failed stays here, at the head of its group, until it is
due; then its next run is counted in the queue, and only then it may run. Groups take turns. A group that goes back to
the queue goes back whole, and is barred until it has: what comes of it meanwhile goes back too, or it would overtake.

A queue that can not hide what is given back is held here too: each of its messages is a group of its own.
"""

from collections.abc import Iterable, Sequence
from heapq import heappop, heappush
from itertools import islice

import msgspec

from penstock.api import Message
from penstock.core.events.layout import Layout, raw_bytes
from penstock.core.group import Added, Entry, GivenUp, Group, Room, runnable_at_head
from penstock.core.verdict import Again


class Groups:
    """One per machine. Work is per batch, or once per message."""

    def __init__(self, layout: Layout[Message], *, by_group: bool) -> None:
        """Take the layout of events. Without `by_group` each message is a group of its own."""
        self._layout = layout
        self._by_group = by_group
        self._groups: dict[str, Group] = {}
        self._entries: dict[str, Entry] = {}
        """By receipt, those that are out among them."""
        self._identities: dict[tuple[str, str], Entry] = {}
        self._ready: list[tuple[int, int, Group]] = []
        self._later: list[tuple[int, int, Group]] = []
        self._failed: dict[Group, None] = {}
        self._barred: dict[Group, None] = {}
        self._turn = 0
        self._held = 0
        self._unrun = 0
        self._runnable = 0
        self._hurried = 0
        """How many groups are ready that have waited."""
        self.bytes_count = 0

    def __len__(self) -> int:
        """How many messages may run, as far as they are next in their groups."""
        return self._runnable

    @property
    def held(self) -> int:
        """How many messages are here and not out."""
        return self._held

    @property
    def unrun(self) -> int:
        """How many of these were never run."""
        return self._unrun

    @property
    def since_ms(self) -> int | None:
        """When the first that may run became able to."""
        self._forget_stale(self._ready)
        return self._ready[0][0] if self._ready else None

    @property
    def blocked_since_ms(self) -> int | None:
        """Since when the group fails that has failed for longest."""
        return next((group.failed_since_ms for group in self._failed), None)

    @property
    def is_barred(self) -> bool:
        """A group is on its way back, so that nothing may be received until it is there."""
        return bool(self._barred)

    def blocked(self, count: int) -> tuple[str, ...]:
        """Name the first few groups whose messages failed."""
        if not self._by_group:
            return ()
        return tuple(group.name for group, _ in zip(self._failed, range(count), strict=False))

    # What comes in.

    def add(self, messages: Iterable[Message], now_ms: int) -> Added:
        """Take in what was received.

        A message that waits here and is received again has lost its lease meanwhile: it keeps its place, and is
        settled by its newest receipt.
        """
        outdated: list[str] = []
        barred: list[str] = []
        for message in messages:
            again = self._waiting_already(message)
            if again is not None:
                outdated.append(again.message.receipt)
                self._take_over(again, message)
                continue
            entry = self._enter(message)
            group = entry.group
            if group.is_barred:
                self._return(entry)
                barred.append(message.receipt)
                continue
            group.entries.append(entry)
            self._held += 1
            self._unrun += 1
            self.bytes_count += entry.bytes_count
            if group.turn is not None and group.runnable == len(group.entries) - 1:
                group.runnable += 1
                self._runnable += 1
            else:
                self._place(group, now_ms)
        return Added(tuple(outdated), tuple(barred))

    def hold_back(self, again: Sequence[Again], now_ms: int) -> None:
        """Take back messages that were run, each to its place at the head of its group, until it is due."""
        for message, delay_ms in reversed(again):
            entry = self._entries[message.receipt]
            entry.is_spent = True
            entry.due_ms = None if delay_ms is None else now_ms + delay_ms
            group = entry.group
            group.spent += 1
            if group.failed_since_ms is None:
                group.failed_since_ms = now_ms
                self._failed[group] = None
            self._take_back(entry)
        self._go_on((self._entries[message.receipt].group for message, _ in again), now_ms)

    def put_back(self, messages: Sequence[Message], now_ms: int) -> None:
        """Take back messages that could not be run after all."""
        for message in reversed(messages):
            self._take_back(self._entries[message.receipt])
        self._go_on((self._entries[message.receipt].group for message in messages), now_ms)

    def finish(self, receipts: Iterable[str], now_ms: int) -> None:
        """Take in that messages that were out are deleted, or are the queue's again: their groups go on."""
        groups: dict[Group, None] = {}
        for receipt in receipts:
            entry = self._entries.pop(receipt, None)
            if entry is None:
                continue
            self._forget_identity(entry)
            if entry.is_returning:
                entry.group.returning -= 1
            else:
                entry.group.out -= 1
            groups[entry.group] = None
        self._go_on(groups, now_ms)

    def bar(self, receipts: Iterable[str]) -> None:
        """Take in that messages which were out are on their way back."""
        for receipt in receipts:
            entry = self._entries.get(receipt)
            if entry is not None and not entry.is_returning:
                entry.group.out -= 1
                self._return(entry)
                self._bar(entry.group)

    def ready_heads(self) -> list[str]:
        """Give a receipt of each group that is ready."""
        groups = (group for _, turn, group in self._ready if group.turn == turn)
        return [group.entries[0].message.receipt for group in groups]

    def lift_bars(self, now_ms: int) -> None:
        """Let groups that have gone back come again. No receive is under way that was asked for before."""
        for group in [group for group in self._barred if not group.returning]:
            del self._barred[group]
            group.is_barred = False
            self._place(group, now_ms)

    # What may run.

    def is_ready(self, now_ms: int, *, batch_size: int, window_ms: int) -> bool:
        """Tell whether a batch may be invoked now."""
        if self._runnable >= batch_size:
            return True
        since_ms = self.since_ms
        return since_ms is not None and (self._hurried > 0 or now_ms >= since_ms + window_ms)

    def take(self, batch_size: int, event_bytes_max: int) -> tuple[tuple[Message, ...], int]:
        """Take as many as fit into one event, of the groups whose turn it is, and in the order of each.

        Gives the messages, and how many of them are run for the first time.
        """
        taken: list[Entry] = []
        room = Room(self._layout, event_bytes_max)
        self._forget_stale(self._ready)
        while self._ready and len(taken) < batch_size:
            group = self._ready[0][2]
            is_full = False
            while group.runnable and len(taken) < batch_size:
                if not room.takes(group.entries[0]):
                    is_full = True
                    break
                taken.append(self._take_first(group))
            if group.out:
                self._take_turn(group)
            if is_full:
                break
            self._forget_stale(self._ready)
        assert taken, "too large messages are dropped before"
        first = sum(not entry.was_run for entry in taken)
        for entry in taken:
            entry.was_run = True
        self._unrun -= first
        return tuple(entry.message for entry in taken), first

    def due(self, now_ms: int, *, count_max: int) -> dict[int, tuple[str, ...]]:
        """Give the receipts of what is due and must be counted before it runs again, by its next receive count.

        At most `count_max` of each group; `counted` lets them run.
        """
        counts: dict[int, list[str]] = {}
        self._forget_stale(self._later)
        while self._later and self._later[0][0] <= now_ms:
            group = self._later[0][2]
            self._take_turn(group)
            for entry in islice(group.entries, count_max):
                if not entry.is_spent or (entry.due_ms is not None and entry.due_ms > now_ms):
                    break
                counts.setdefault(entry.message.receive_count + 1, []).append(entry.message.receipt)
                group.counting += 1
            if not group.counting:
                self._place(group, now_ms)
            self._forget_stale(self._later)
        return {count: tuple(receipts) for count, receipts in counts.items()}

    def counted(self, receipts: Iterable[str], now_ms: int) -> None:
        """Take in that the next run of these is counted."""
        groups: dict[Group, None] = {}
        for receipt in receipts:
            entry = self._entries.get(receipt)
            if entry is None or entry.is_out or not entry.is_spent:
                continue
            count = entry.message.receive_count + 1
            entry.message = msgspec.structs.replace(entry.message, receive_count=count)
            entry.is_spent, entry.due_ms = False, None
            entry.group.spent -= 1
            entry.group.counting -= 1
            groups[entry.group] = None
        self._go_on(groups, now_ms)

    def deadline_ms(self) -> int | None:
        """Tell when to ask `due` again."""
        self._forget_stale(self._later)
        return self._later[0][0] if self._later else None

    # What goes back.

    def give_up(self, receipts: Iterable[str] | None, now_ms: int) -> GivenUp:
        """Let go of the groups of these (None: of all), as far as they are not out.

        Whole groups, since what comes back to the queue would come behind what stays here.
        """
        if receipts is None:
            groups = list(self._groups.values())
        else:
            groups = list(dict.fromkeys(entry.group for each in receipts if (entry := self._entries.get(each))))
        unspent: list[str] = []
        spent: list[tuple[str, int]] = []
        counting: list[str] = []
        unrun = 0
        for group in groups:
            for entry in group.entries:
                if entry.is_spent and group.counting:
                    # Those whose count is not answered come first of those that were run.
                    group.counting -= 1
                    counting.append(entry.message.receipt)
                elif entry.is_spent:
                    spent.append((entry.message.receipt, max(0, (entry.due_ms or 0) - now_ms)))
                else:
                    unspent.append(entry.message.receipt)
                unrun += not entry.was_run
                self._held -= 1
                self.bytes_count -= entry.bytes_count
                self._return(entry)
            if group.entries or receipts is not None:
                self._bar(group)
            group.entries.clear()
            group.spent = group.counting = 0
            self._take_turn(group)
            self._place(group, now_ms)
        self._unrun -= unrun
        return GivenUp(tuple(unspent), tuple(spent), tuple(counting), unrun)

    # Small change.

    def _waiting_already(self, message: Message) -> Entry | None:
        if message.sequence is None:
            return None
        entry = self._identities.get((message.message_id, message.sequence))
        # One that is out, or whose run is being counted, is settled by the receipt that it has.
        return None if entry is None or entry.is_out or entry.group.counting else entry

    def _enter(self, message: Message) -> Entry:
        name = (message.group or "") if self._by_group else message.receipt
        group = self._groups.get(name)
        if group is None:
            group = self._groups[name] = Group(name)
        entry = Entry(message, group, raw_bytes(message))
        self._entries[message.receipt] = entry
        if message.sequence is not None:
            self._identities[message.message_id, message.sequence] = entry
        return entry

    def _bar(self, group: Group) -> None:
        if self._by_group:
            group.is_barred = True
            self._barred[group] = None

    @staticmethod
    def _return(entry: Entry) -> None:
        entry.is_out = entry.is_returning = True
        entry.group.returning += 1

    def _take_over(self, entry: Entry, message: Message) -> None:
        del self._entries[entry.message.receipt]
        entry.message = msgspec.structs.replace(message, receive_count=entry.message.receive_count)
        self._entries[message.receipt] = entry

    def _take_first(self, group: Group) -> Entry:
        entry = group.entries.popleft()
        entry.is_out = True
        group.out += 1
        group.runnable -= 1
        self._runnable -= 1
        self._held -= 1
        self.bytes_count -= entry.bytes_count
        return entry

    def _take_back(self, entry: Entry) -> None:
        entry.is_out = False
        entry.group.entries.appendleft(entry)
        entry.group.out -= 1
        self._held += 1
        self.bytes_count += entry.bytes_count

    def _forget_identity(self, entry: Entry) -> None:
        key = entry.message.message_id, entry.message.sequence or ""
        if self._identities.get(key) is entry:
            del self._identities[key]

    def _go_on(self, groups: Iterable[Group], now_ms: int) -> None:
        for group in dict.fromkeys(groups):
            group.has_waited = True
            self._place(group, now_ms)

    def _place(self, group: Group, now_ms: int) -> None:
        """Give a group its turn, now or later, unless it has one, or must wait for what is out of it."""
        if group.turn is not None or group.out or group.counting or group.is_barred or group.returning:
            return
        if group.failed_since_ms is not None and not (group.entries and group.entries[0].was_run):
            group.failed_since_ms = None
            self._failed.pop(group, None)
        if not group.entries:
            self._groups.pop(group.name, None)
            return
        self._turn += 1
        group.turn = self._turn
        head = group.entries[0]
        if head.is_spent:
            heappush(self._later, (head.due_ms if head.due_ms is not None else now_ms, self._turn, group))
            return
        group.runnable = runnable_at_head(group) if group.spent else len(group.entries)
        self._runnable += group.runnable
        self._hurried += group.has_waited
        heappush(self._ready, (now_ms, self._turn, group))

    def _take_turn(self, group: Group) -> None:
        self._hurried -= group.runnable > 0 and group.has_waited
        self._runnable -= group.runnable
        group.turn, group.runnable, group.has_waited = None, 0, False

    @staticmethod
    def _forget_stale(heap: list[tuple[int, int, Group]]) -> None:
        while heap and heap[0][2].turn != heap[0][1]:
            heappop(heap)
