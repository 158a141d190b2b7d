"""Whether brokers that had stopped answering answer again, asked beside the consumer, whose thread must not wait."""

import asyncio
from collections.abc import Mapping
from typing import Any

from penstock.api import Blocking, SourceError
from penstock_kafka.connection import Connection

AGAIN_S = 1.0
"""An answer is good for so long: each shard of a mapping asks after a pause of its own."""


class Recovery:
    """One question at a time, each by a client of its own: a short try, then nothing is left open."""

    def __init__(self, settings: Mapping[str, Any]) -> None:
        """Take a source's settings; nothing is connected to before `ask`."""
        self._settings = settings
        self._thread = Blocking(f"kafka {settings['Topic']} recovery")
        self._connection: Connection | None = None
        self._asking: asyncio.Task[SourceError | None] | None = None
        self._asked_s = float("-inf")

    async def ask(self) -> SourceError | None:
        """Tell why the topic can not be read now, or None. Being cancelled loses nothing: the next one hears it too."""
        now_s = asyncio.get_running_loop().time()
        if self._asking is None or (self._asking.done() and now_s - self._asked_s > AGAIN_S):
            self._asked_s = now_s
            self._asking = asyncio.create_task(self._look())
        return await asyncio.shield(self._asking)

    async def close(self) -> None:
        """Ask no more, and wait for no answer."""
        if self._connection is not None:
            self._connection.give_up()
        if self._asking is not None:
            await asyncio.gather(self._asking, return_exceptions=True)
            await self._thread.close()

    async def _look(self) -> SourceError | None:
        try:
            self._connection = await self._thread.call(Connection, self._settings)
            await self._thread.call(self._connection.check, read=True)
        except SourceError as error:
            return error
        finally:
            self._connection = None
        return None
