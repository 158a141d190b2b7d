"""One group of a FIFO queue and its messages, while they are here (`groups.py` says what happens to them)."""

from collections import deque
from dataclasses import dataclass, field

from penstock.api import Message
from penstock.core.events.layout import Layout


@dataclass(slots=True, eq=False)
class Group:
    """One message group, as far as we hold it. `turn` is set while it is ready, or waits for a time."""

    name: str
    entries: "deque[Entry]" = field(default_factory=deque)
    out: int = 0
    """How many of its messages run, are being settled, or are on their way to the dead letters."""
    returning: int = 0
    """How many are on their way back to the queue."""
    is_barred: bool = False
    spent: int = 0
    """How many of its entries were run and wait for their next run."""
    counting: int = 0
    """How many runs of it are being counted."""
    runnable: int = 0
    turn: int | None = None
    """Its place in the queue of those that are ready, or that wait for a time."""
    has_waited: bool = False
    """What is ready of it need not wait for a batch to fill."""
    failed_since_ms: int | None = None


@dataclass(slots=True, eq=False)
class Entry:
    """One message of a group, until it is settled."""

    message: Message
    group: Group
    bytes_count: int
    is_out: bool = False
    is_returning: bool = False
    was_run: bool = False
    is_spent: bool = False
    """Its receive count stands for a run that it has had."""
    due_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Added:
    """What adding messages did to receipts: `outdated` stand for nothing any more, `barred` are to be given back."""

    outdated: tuple[str, ...] = ()
    barred: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GivenUp:
    """What is to be given back: messages that were run since their receive count grew, and those that were not.

    Both are in order; `spent` have the time until they may be run again. Of those that are `counting` the next run is
    being counted. `unrun` counts those that never were run.
    """

    unspent: tuple[str, ...]
    spent: tuple[tuple[str, int], ...]
    counting: tuple[str, ...]
    unrun: int


class Room:
    """How much more fits into an event. Sizes are measured only when the limit comes near."""

    def __init__(self, layout: Layout[Message], event_bytes_max: int) -> None:
        self._layout = layout
        # The last one has no comma behind it.
        self._bytes_max = event_bytes_max - layout.frame_bytes() + 1
        self._entries: list[Entry] = []
        self._raw = 0
        self._left: int | None = None

    def takes(self, entry: Entry) -> bool:
        """Tell whether one more fits, and reckon with it if it does."""
        if self._left is None:
            raw = self._raw + entry.bytes_count
            if self._layout.records_bytes_most(len(self._entries) + 1, raw) < self._bytes_max:
                self._raw = raw
                self._entries.append(entry)
                return True
            self._left = self._bytes_max - sum(self._layout.record_bytes(each.message) for each in self._entries)
        left = self._left - self._layout.record_bytes(entry.message)
        if left < 0:
            return False
        self._left = left
        return True


def runnable_at_head(group: Group) -> int:
    """Count the entries at the head that wait for no other time."""
    count = 0
    for entry in group.entries:
        if entry.is_spent:
            break
        count += 1
    return count
