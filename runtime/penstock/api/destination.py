"""What a destination is: somewhere records can be written, and are there when the call returns."""

from collections.abc import Sequence
from typing import Protocol

from penstock.api.errors import RecordRefused
from penstock.api.records import Outgoing


class Destination(Protocol):
    """A writer of one source or destination, used by `penstock send` and for what is given up.

    A mapping has one, shared by its shards: `send` may be called while earlier calls are still under way. One whose
    call failed, was cancelled or took longer than a minute is used no more: it is closed when its last call has ended,
    and another one is made for the next try.
    """

    async def open(self) -> None:
        """Connect and check that it is there and may be written. Creates nothing that is missing."""

    async def close(self) -> None:
        """Let go of everything, also of what still waits for an answer. Called once, also after a failed `open`."""

    async def send(self, records: Sequence[Outgoing]) -> Sequence[RecordRefused | None]:
        """Write records in order; when this returns, those with None are stored for good.

        The answer has one entry per record: None, or why the destination refuses that one for good. One refused with
        `too_large` is sent again smaller, if it can be. A failure that may pass raises a `SourceError`; then any
        number of the records may have been written, and all are sent again.
        """
