"""What writes documents: every kind of destination behind one face. The ones that plugins bring are here."""

from collections.abc import Callable, Sequence
from typing import Protocol

from penstock.api import Destination, RecordRefused
from penstock.core.events.invocation_documents import Document
from penstock.plugins import check_source

ANSWER_S = 60.0
"""A destination of a plugin's that has not answered by then is taken to be down."""


class Writer(Protocol):
    """Writes documents. Made for one opening: after `close` nothing more is called.

    `answer_s` is how long `write` may take, None where the writer itself knows an end to it.
    """

    answer_s: float | None

    async def open(self) -> None:
        """Get ready, or raise the `SourceError` that says what is wrong."""

    async def close(self) -> None:
        """Let go of everything. Called once, also after a failed `open`."""

    async def write(self, documents: Sequence[Document]) -> Sequence[RecordRefused | None]:
        """Store documents for good. Answers and errors are those of `penstock.api.Destination.send`."""


class PluginWriter:
    """Writes to a source, or to a destination that a plugin registered under a scheme."""

    answer_s: float | None = ANSWER_S

    def __init__(self, make: Callable[[], Destination]) -> None:
        """Take what makes the plugin's own part; it is not called before `open`."""
        self._make = make
        self._destination: Destination | None = None

    async def open(self) -> None:
        self._destination = self._make()
        check_source(self._destination, Destination)
        await self._destination.open()

    async def close(self) -> None:
        if self._destination is not None:
            await self._destination.close()

    async def write(self, documents: Sequence[Document]) -> Sequence[RecordRefused | None]:
        assert self._destination is not None
        return await self._destination.send([each.outgoing() for each in documents])
