"""The stage between a source and the batcher: what of all that was read goes on (`lambda-semantics.md §6.3`).

It is asked once per list, before anything counts toward a batch. What it leaves out never reaches the function, no
destination and no retry; a stream's position moves past it as if it had never been there, and a queue's machine settles
it as the mapping says (D25).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import msgspec

from penstock.api import Fetched, Message, Record
from penstock.core.events import raw_bytes
from penstock.core.patterns.criteria import RecordFilter

T = TypeVar("T", Record, Message)

SUSPICIOUS_COUNT = 1000
"""A filter that has matched none of so many is probably wrong."""


@dataclass(frozen=True, slots=True)
class Sifted(Generic[T]):
    """What a list was divided into. Both parts keep its order."""

    kept: Sequence[T]
    left_out: Sequence[T]


class Filtering(Generic[T]):
    """Divides what one shard or queue gives. Without a filter everything goes on, untouched.

    `polled` and `left_out` count since it was made; `polled - left_out` is what went on.
    """

    def __init__(self, record_filter: RecordFilter[T] | None = None) -> None:
        self.polled = 0
        self.left_out = 0
        self._filter: RecordFilter[T] | None = record_filter
        self._has_warned = False

    def change(self, record_filter: RecordFilter[T] | None) -> None:
        """Use another filter for what comes from now on, and judge it anew."""
        self._filter = record_filter
        self.polled = 0
        self.left_out = 0
        self._has_warned = False

    def sift(self, records: Sequence[T]) -> Sifted[T]:
        """Divide a list."""
        self.polled += len(records)
        if self._filter is None:
            return Sifted(records, ())
        kept = self._filter.keep(records)
        missing = len(records) - len(kept)
        self.left_out += missing
        if not missing:
            return Sifted(records, ())
        if not kept:
            return Sifted((), records)
        kept_ones = set(map(id, kept))
        return Sifted(kept, [each for each in records if id(each) not in kept_ones])

    def takes_suspicion(self) -> bool:
        """Tell, once, that nothing has matched so far although much has come: on a queue all of it is deleted."""
        if self._has_warned or self.polled < SUSPICIOUS_COUNT or self.left_out < self.polled:
            return False
        self._has_warned = True
        return True


def sift_fetched(filtering: Filtering[Record], fetched: Fetched) -> Fetched:
    """Divide what a fetch found: the records that go on, and all the rest of it as it was.

    The position stays that of the whole list, so a reader moves past what was left out, also where that is everything.
    """
    before = len(fetched.records)
    kept = filtering.sift(fetched.records).kept
    if len(kept) == before:
        return fetched
    return msgspec.structs.replace(fetched, records=list(kept), bytes_count=sum(map(raw_bytes, kept)))
