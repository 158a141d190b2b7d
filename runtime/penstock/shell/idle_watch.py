"""Looks at a node's mappings, again and again, for `--until-idle`. Asks brokers only while the node itself is quiet."""

import asyncio
from collections.abc import Sequence

from penstock.api import SourceError
from penstock.core.events.instants import iso_seconds
from penstock.core.views import DeliveryView, QueueView, StreamView
from penstock.shell.composition import Mapping
from penstock.shell.health import add_counters
from penstock.shell.idleness import Idleness, MappingObservation, PartObservation, Verdict
from penstock.shell.inspection import HELD, records_in_flight
from penstock.shell.machine_driver import clock_ms
from penstock.shell.queue_mapping import QueueMapping
from penstock.shell.stream_mapping import StreamMapping

LOOK_MS = 100
ASK_MS = 500
ANSWER_MS = 10_000


class IdleWatch:
    """One per run of a node."""

    def __init__(self, mappings: Sequence[Mapping], idleness: Idleness) -> None:
        """Take the enabled mappings and who decides."""
        self._mappings = mappings
        self._idleness = idleness
        self._backlogs: dict[tuple[str, str], int] = {}
        self._activity = -1
        self._asked_s = 0.0

    async def verdict(self) -> Verdict:
        """Wait until the node is done, one way or another."""
        loop = asyncio.get_running_loop()
        while True:
            observations = [self._observe(mapping) for mapping in self._mappings]
            found = self._idleness.observe(observations, clock_ms(loop))
            if found is not None:
                return found
            activity = sum(each.activity for each in observations)
            if activity != self._activity:
                self._activity = activity
                self._backlogs.clear()
            if all(each.is_quiet for each in observations) and loop.time() >= self._asked_s + ASK_MS / 1000:
                await self._ask()
                self._asked_s = loop.time()
            await asyncio.sleep(LOOK_MS / 1000)

    async def _ask(self) -> None:
        self._backlogs.clear()
        await asyncio.gather(*(self._ask_one(mapping) for mapping in self._mappings))

    async def _ask_one(self, mapping: Mapping) -> None:
        try:
            async with asyncio.timeout(ANSWER_MS / 1000):
                if isinstance(mapping, StreamMapping):
                    views = mapping.views()
                    await asyncio.gather(*(self._ask_shard(mapping, shard, view) for shard, view in views.items()))
                else:
                    await self._ask_queue(mapping)
        except SourceError as error:
            mapping.reporting.on_source(error, "ask for the backlog")
        except TimeoutError:
            mapping.reporting.log.warning("backlog not told in time", waited_ms=ANSWER_MS)
        except Exception:
            mapping.reporting.log.exception("backlog could not be asked")

    async def _ask_shard(self, mapping: StreamMapping, shard: str, view: StreamView) -> None:
        if view.reached is not None:
            backlog = await mapping.backlog(shard, view.reached)
            if backlog is not None:
                self._backlogs[mapping.config.name, shard] = backlog.count

    async def _ask_queue(self, mapping: QueueMapping) -> None:
        backlog = await mapping.backlog()
        if backlog is not None:
            self._backlogs[mapping.config.name, ""] = backlog.count + backlog.delayed

    def _observe(self, mapping: Mapping) -> MappingObservation:
        health, name = mapping.health, mapping.config.name
        counters = health.counted
        if isinstance(mapping, StreamMapping):
            views = mapping.views()
            for view in views.values():
                counters = add_counters(counters, view.counters)
            parts = tuple(self._shard(name, shard, view) for shard, view in views.items())
            is_ready = mapping.is_assigned and all(view.is_anchored for view in views.values())
        else:
            queue = mapping.view()
            counters = add_counters(counters, queue.counters)
            parts = (self._queue(name, queue),)
            is_ready = health.phase == "reading"
        return MappingObservation(
            name=name,
            phase=health.phase,
            is_ready=is_ready,
            activity=counters.polled + counters.invocations + counters.lost,
            dropped=counters.dropped,
            delivered=counters.delivered,
            failure=health.failure,
            trouble=health.trouble,
            parts=parts,
        )

    def _shard(self, mapping: str, shard: str, view: StreamView) -> PartObservation:
        return PartObservation(
            name=shard,
            is_idle=view.is_idle,
            is_held=view.state == HELD,
            backlog=self._backlogs.get((mapping, shard)),
            refusal=_refusal(view),
            waits_for=_waits_for(view),
            attempts=view.attempts_ended,
            in_flight=records_in_flight(view),
            last_error=view.last_error,
        )

    def _queue(self, mapping: str, view: QueueView) -> PartObservation:
        return PartObservation(
            name="",
            is_idle=view.is_idle,
            backlog=self._backlogs.get((mapping, "")),
            refusal=view.delivering.last_error if view.delivering is not None and view.delivering.refused else "",
            waits_for="dead letters wait for their target" if view.sending_away else "",
            in_flight=sum(batch.records for batch in view.in_flight),
            last_error=view.last_error,
        )


def _refusal(view: StreamView) -> str:
    return next((one.last_error for one in _deliveries(view) if one.refused), "")


def _waits_for(view: StreamView) -> str:
    waiting = _deliveries(view)
    if waiting:
        errors = [one.last_error for one in waiting if one.last_error]
        return f"waiting for its destination: {errors[0]}" if errors else "waiting for its destination"
    if view.window is not None:
        return f"a window is open that ends at {iso_seconds(view.window.end_ms)}"
    return ""


def _deliveries(view: StreamView) -> list[DeliveryView]:
    return [lane.delivering for lane in view.lanes if lane.delivering is not None]
