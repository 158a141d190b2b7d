"""Ending a task for sure.

A client may take a cancellation for the failure of its connection when both come at one moment, and go on. So it is
asked again until it has ended.
"""

import asyncio
from typing import Any

_AGAIN_S = 0.2


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel a task and wait for its end; what it raises or returns nobody wants to know any more."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()
