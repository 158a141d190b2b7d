"""Carries out `SendAway`: dead letters are written to their queue's target, one by one. When to try again is the
machine's matter.
"""

import asyncio
from collections.abc import Callable
from functools import partial

from penstock.api import RecordRefused, SourceError
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.events.dead_letters import Letters
from penstock.shell.logs import Log
from penstock.shell.outlet import Outlet

ENDED_BY_NODE = "the delivery was ended by the node"


class DeadLetters:
    """One per mapping. Every `SendAway` is answered by exactly one fact, as long as this is not closed."""

    def __init__(self, outlet: Outlet, letters: Letters, *, post: Callable[[facts.QueueFact], None], log: Log) -> None:
        """Take where letters go, how they are written, and where to report to."""
        self._outlet = outlet
        self._letters = letters
        self._post = post
        self._log = log
        self._sending: dict[int, asyncio.Task[None]] = {}
        self._is_closed = False

    def send(self, command: do.SendAway) -> None:
        """Carry out `SendAway`."""
        task = asyncio.get_running_loop().create_task(self._send(command))
        self._sending[command.id] = task
        task.add_done_callback(partial(self._on_done, command.id))

    def cancel(self, command_id: int) -> bool:
        """End a delivery; False when there is none of this id."""
        task = self._sending.get(command_id)
        return task is not None and task.cancel()

    async def close(self) -> None:
        """End what is on its way, and let go of the target; nothing is told to the machine any more."""
        self._is_closed = True
        tasks = list(self._sending.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        await self._outlet.close()

    async def _send(self, command: do.SendAway) -> None:
        answers = await self._outlet.write([self._letters.build(command.letter)])
        if len(answers) != 1:
            raise RuntimeError(f"it gave {len(answers)} answers for 1 record")
        if answers[0] is not None:
            raise RecordRefused(f"{self._outlet.name}: {answers[0]}")

    def _on_done(self, command_id: int, task: "asyncio.Task[None]") -> None:
        del self._sending[command_id]
        if not self._is_closed:
            self._post(self._answer(command_id, task))
        elif not task.cancelled():
            task.exception()

    def _answer(self, command_id: int, task: "asyncio.Task[None]") -> facts.QueueFact:
        if task.cancelled():
            return facts.DeliveryFailed(command_id, ENDED_BY_NODE)
        match task.exception():
            case None:
                return facts.Delivered(command_id)
            case RecordRefused() as error:
                return facts.DeliveryFailed(command_id, str(error), refused=True)
            case SourceError() as error:
                return facts.DeliveryFailed(command_id, str(error))
            case error:
                reason = f"internal error, {type(error).__name__}: {error}".removesuffix(": ")
                self._log.error("dead-letter target failed", reason=reason, exc_info=error)
                return facts.DeliveryFailed(command_id, reason)
