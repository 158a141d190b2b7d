"""One mapping for as long as its node lives: run while it is enabled, drained when it is not, and run again (D40)."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Literal

from penstock.api import PenstockError
from penstock.configuration import MappingConfig
from penstock.core.views import Counters
from penstock.shell.composition import Mapping
from penstock.shell.health import add_counters
from penstock.shell.stream_mapping import StreamMapping

DRAIN_SLACK_S = 1.0
"""What is left when the drain's time is over gets so long to be killed and settled, before everything is cancelled."""


class MappingControl:
    """Runs one mapping again and again, each time as a new one that begins at the checkpoint.

    ```python
    control = MappingControl(config, make=partial(composition.mapping, config), is_wanted=config.enabled)
    task = loop.create_task(control.run())      # until `end`
    control.disable(grace_ms=25_000)
    ```
    """

    def __init__(self, config: MappingConfig, *, make: Callable[[], Mapping], is_wanted: bool) -> None:
        """Take how the mapping is made, and whether it is to run at once. Belongs to the running loop."""
        self.config = config
        self.mapping = make()
        """The one that runs, or that ran last."""
        self.is_wanted = is_wanted
        self._make = make
        self._loop = asyncio.get_running_loop()
        self._task: asyncio.Task[None] | None = None
        self._was_run = False
        self._is_ending = False
        self._standing_still = asyncio.Lock()
        self._go = asyncio.Event()
        if is_wanted:
            self._go.set()
        else:
            self.mapping.health.phase = "disabled"

    @property
    def is_running(self) -> bool:
        """It reads, or is letting go of what it has read."""
        return self._task is not None

    async def run(self) -> None:
        """Run whenever it is wanted, until `end`. What ends the mapping ends nothing else."""
        while await self._until_wanted():
            task = await self._begin()
            if task is None:
                continue
            try:
                await asyncio.wait({task})
            finally:
                # Only when the node has no more patience is it still running here.
                task.cancel()
                await asyncio.wait({task})
                self._task = None
                self._settle_phase()

    def enable(self) -> None:
        """Let it run. One that is being disabled begins anew when that is done; one that has failed begins again."""
        was_wanted, self.is_wanted = self.is_wanted, True
        if was_wanted and not self.mapping.health.failure:
            return
        self._go.set()
        if not self.is_running:
            self._refresh("starting")

    def disable(self, *, grace_ms: int) -> None:
        """Stop reading now; what runs may end and be settled within the grace, and then everything is released."""
        self.is_wanted = False
        if self._is_ending:
            return
        self._go.clear()
        if self.is_running:
            self._drain(grace_ms, comes_back=False)
        elif self.mapping.health.phase != "disabled":
            self._refresh("disabled")

    def end(self, grace_ms: int) -> None:
        """Do the same because the node ends; `run` returns then."""
        self._is_ending = True
        self._go.set()
        if self.is_running:
            self._drain(grace_ms, comes_back=True)

    @asynccontextmanager
    async def standing_still(self) -> AsyncIterator[bool]:
        """While this is entered the mapping does not begin to run. Gives whether it is disabled and stands still."""
        async with self._standing_still:
            yield not self.is_wanted and not self.is_running

    async def _until_wanted(self) -> bool:
        await self._go.wait()
        self._go.clear()
        return not self._is_ending

    async def _begin(self) -> asyncio.Task[None] | None:
        async with self._standing_still:
            if not self.is_wanted or self._is_ending:
                return None
            self._refresh("starting")
            self._was_run = True
            self._task = self._loop.create_task(self._supervise(), name=self.config.name)
            return self._task

    async def _supervise(self) -> None:
        mapping = self.mapping
        log = mapping.reporting.log
        try:
            await mapping.run()
        except asyncio.CancelledError:
            mapping.health.phase = "stopped"
            raise
        except PenstockError as error:
            mapping.health.fail(str(error))
            log.error("mapping stopped", reason=str(error))  # noqa: TRY400 - a sentence for the user, no bug of ours
        except Exception as error:
            reason = f"internal error, {type(error).__name__}: {error}".removesuffix(": ")
            mapping.health.fail(reason)
            log.exception("mapping stopped", reason=reason)
        else:
            mapping.health.phase = "stopped"
        finally:
            mapping.reporting.close()

    def _drain(self, grace_ms: int, *, comes_back: bool) -> None:
        task = self._task
        assert task is not None
        self.mapping.health.phase = "draining"
        if not self.mapping.drain(grace_ms, comes_back=comes_back):
            task.cancel()
            return
        timer = self._loop.call_later(grace_ms / 1000 + DRAIN_SLACK_S, task.cancel)
        task.add_done_callback(lambda _: timer.cancel())

    def _settle_phase(self) -> None:
        """Name the end of a run: one that failed keeps its failure, unless somebody wants it off."""
        if self._is_ending:
            return
        if self.is_wanted and self._go.is_set():
            self._refresh("starting")
        elif not self.is_wanted:
            self.mapping.health.phase = "disabled"
            self.mapping.reporting.log.info("disabled")

    def _refresh(self, phase: Literal["starting", "disabled"]) -> None:
        """Make the mapping anew, with what the one before has counted."""
        if self._was_run:
            before, self.mapping = self.mapping, self._make()
            self.mapping.health.keep(counted(before))
            self._was_run = False
        self.mapping.health.phase = phase


def counted(mapping: Mapping) -> Counters:
    """Add up what a mapping's machines have counted, those that are gone among them."""
    views = mapping.views().values() if isinstance(mapping, StreamMapping) else (mapping.view(),)
    total = mapping.health.counted
    for view in views:
        total = add_counters(total, view.counters)
    return total
