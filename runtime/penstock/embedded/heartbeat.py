"""Renewing the leases of all mappings that a process has on one file: one small write for all of them."""

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from penstock.api import SourceError
from penstock.embedded.commits import Transaction

if TYPE_CHECKING:
    from penstock.embedded.file import SourceFile

_log = logging.getLogger(__name__)
_RENEWALS_PER_LEASE = 3


class _Session(NamedTuple):
    lease_ms: int
    on_renewed: Callable[[int], None]
    on_gone: Callable[[], None]


class Heartbeat:
    """Keeps sessions alive, and tells those whose lease was taken away meanwhile (their process had stopped)."""

    def __init__(self, file: "SourceFile") -> None:
        self._file = file
        self._sessions: dict[str, _Session] = {}
        self._beating: asyncio.Task[None] | None = None
        self._interval_ms = 0.0

    def join(
        self, session: str, *, lease_ms: int, on_renewed: Callable[[int], None], on_gone: Callable[[], None]
    ) -> None:
        """Renew a session's lease from now on, three times in each lease; `on_renewed` hears when it ends."""
        self._sessions[session] = _Session(lease_ms, on_renewed, on_gone)
        interval_ms = lease_ms / _RENEWALS_PER_LEASE
        if self._beating is not None and not self._beating.done():
            if interval_ms >= self._interval_ms:
                return
            self._beating.cancel()
        self._interval_ms = interval_ms
        self._beating = asyncio.create_task(self._beat(), name=f"leases of {self._file.path.name}")

    def leave(self, session: str) -> None:
        """Renew it no longer."""
        self._sessions.pop(session, None)

    async def close(self) -> None:
        """End."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self) -> None:
        while self._sessions:
            await asyncio.sleep(self._interval_ms / 1000)
            leases_ms = {name: session.lease_ms for name, session in self._sessions.items()}
            try:
                renewed = await self._file.write(partial(_renew, leases_ms=leases_ms), relaxed=True)
            except SourceError as error:
                _log.warning("leases in %s could not be renewed: %s", self._file.path, error)
                continue
            for name, expires_ms in renewed.items():
                if (session := self._sessions.get(name)) is None:
                    continue
                if expires_ms is None:
                    session.on_gone()
                else:
                    session.on_renewed(expires_ms)


def _renew(transaction: Transaction, leases_ms: dict[str, int]) -> dict[str, int | None]:
    """Give until when each session's lease lasts now; None for one that was taken away."""
    renewed: dict[str, int | None] = {}
    for session, lease_ms in leases_ms.items():
        expires_ms = transaction.now_ms + lease_ms
        found = transaction.connection.execute(
            "UPDATE member SET expires_ms = ? WHERE session = ?", (expires_ms, session)
        )
        renewed[session] = expires_ms if found.rowcount else None
    return renewed
