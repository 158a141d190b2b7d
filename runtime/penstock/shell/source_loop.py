"""Opens a source, lets it be used, closes it, and does it again after a pause for as long as it fails (D1)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from penstock.api import SourceError
from penstock.core import retry
from penstock.core.settings import RetryBackoff
from penstock.shell.reporting import Reporting

CLOSE_MS = 5_000
STEADY_S = 30.0
"""A source that worked for so long fails anew, with the shortest pause."""


class Openable(Protocol):
    """What stream and queue sources have in common."""

    async def open(self) -> None: ...

    async def close(self) -> None: ...


class Preparation(Protocol):
    """What is done before a source is opened. `SourceOperations` is one."""

    async def create(self) -> bool: ...

    async def close(self) -> None: ...


SourceT = TypeVar("SourceT", bound=Openable)


async def keep_open(
    make: Callable[[], SourceT],
    use: Callable[[SourceT], Awaitable[None]],
    *,
    operate: Callable[[], Preparation] | None,
    reporting: Reporting,
    jitter: retry.Jitter,
) -> None:
    """Return when `use` returns; whatever it or the source raises that is no `SourceError` goes on up.

    `operate` is given where something has to be there first: a source that is to be created, destinations.
    """
    failures = 0
    loop = asyncio.get_running_loop()
    while True:
        began_s = loop.time()
        try:
            if operate is not None:
                await _create(operate())
            await _use_once(make(), use, reporting)
        except SourceError as error:
            reporting.on_source(error, "open")
        else:
            return
        failures = 1 if loop.time() - began_s > STEADY_S else failures + 1
        await asyncio.sleep(retry.wait_ms(RetryBackoff(), failures, jitter) / 1000)


async def _create(operations: Preparation) -> None:
    try:
        await operations.create()
    finally:
        await operations.close()


async def _use_once(source: SourceT, use: Callable[[SourceT], Awaitable[None]], reporting: Reporting) -> None:
    try:
        await source.open()
        reporting.on_source(None)
        await use(source)
    finally:
        try:
            async with asyncio.timeout(CLOSE_MS / 1000):
                await source.close()
        except TimeoutError:
            reporting.log.warning("source did not close in time", waited_ms=CLOSE_MS)
