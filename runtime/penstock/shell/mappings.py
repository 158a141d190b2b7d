"""The mappings of a node, as its endpoint knows them: found by name or UUID, shown, run, stopped, moved, explained.

What is refused is refused with a sentence (`penstock.shell.refusals`), and then nothing has changed.
"""

import asyncio
import difflib
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, overload

import msgspec

from penstock.configuration import MappingConfig, Project
from penstock.shell.composition import Mapping
from penstock.shell.explaining import Explainer
from penstock.shell.explanation import MappingExplanation
from penstock.shell.inspection import inspect_mapping
from penstock.shell.mapping_control import MappingControl
from penstock.shell.overrides import Override, Overrides
from penstock.shell.queue_mapping import QueueMapping
from penstock.shell.refusals import NotKnown, NotNow
from penstock.shell.seeking import Move, PositionsOf, Target, carry_out, plan
from penstock.shell.status import MappingStatus
from penstock.shell.stream_mapping import StreamMapping
from penstock.shell.wall_clock import WallClock, iso


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingDetails:
    """One whole mapping: its status, and its settings, its source's and its function's as they are understood."""

    status: MappingStatus
    settings: Any
    source: Any
    function: Any


class Mappings:
    """One per node."""

    def __init__(
        self,
        project: Project,
        *,
        overrides: Overrides,
        node_id: str,
        drain_timeout_s: float,
        now_ms: Callable[[], int],
    ) -> None:
        """Take what commands have said before, and how long what runs may take to end."""
        self.is_ending = False
        self._project = project
        self._overrides = overrides
        self._grace_ms = round(drain_timeout_s * 1000)
        self._now_ms = now_ms
        self._positions = PositionsOf(project=project.name, node=node_id, data_dir=project.settings.data_dir)
        self._controls: list[MappingControl] = []
        self._commanding = asyncio.Lock()

    def make(self, make: Callable[[MappingConfig], Mapping]) -> None:
        """Make what the configuration has; those that are enabled run as soon as their `run` does."""
        for config in self._project.mappings:
            override = self._overrides.of(config.uuid)
            if override is not None and override.enabled == config.enabled:
                # The configuration says the same by now, and so it has the word again.
                self._overrides.put(config.uuid, None)
                override = None
            is_wanted = config.enabled if override is None else override.enabled
            control = MappingControl(config, make=_maker(make, config), is_wanted=is_wanted)
            self._controls.append(control)
            if override is not None:
                event = "enabled by a command" if override.enabled else "disabled by a command"
                control.mapping.reporting.log.warning(event, since=override.since)

    def __iter__(self) -> Iterator[MappingControl]:
        """Give every mapping, in the order of the configuration."""
        return iter(self._controls)

    @property
    def active(self) -> Sequence[Mapping]:
        """Those that are wanted or still let go: a view, which changes as they do."""
        return _Active(self._controls)

    def statuses(self) -> list[MappingStatus]:
        """Show all."""
        return [self._status(control) for control in self._controls]

    def status(self, name: str) -> MappingStatus:
        """Show one. Raises NotKnown, as every method does that takes a name (or UUID)."""
        return self._status(self._find(name))

    def details(self, name: str) -> MappingDetails:
        """Show one with its settings, defaults included and secrets masked."""
        control = self._find(name)
        function, _, event = control.config.name.partition(".")
        masked = self._project.masked
        shown_function = dict(masked.get("Functions", {}).get(function, {}))
        events = shown_function.pop("Events", {})
        return MappingDetails(
            status=self._status(control),
            settings=events.get(event, {}),
            source=masked.get("Sources", {}).get(control.config.source.name, {}),
            function=shown_function,
        )

    async def enable(self, name: str) -> MappingStatus:
        """Let a mapping run, from its checkpoint on, and do so after a restart too."""
        control = self._find(name)
        async with self._commanding:
            self._refuse_at_the_end()
            await self._keep(control, enabled=True)
            if not control.is_wanted:
                control.mapping.reporting.log.info("enabling")
            control.enable()
        return self._status(control)

    async def disable(self, name: str) -> MappingStatus:
        """Begin to let a mapping go (D40), and keep it so after a restart."""
        control = self._find(name)
        async with self._commanding:
            self._refuse_at_the_end()
            await self._keep(control, enabled=False)
            if control.is_wanted:
                control.mapping.reporting.log.info("disabling", drain_timeout_s=self._grace_ms / 1000)
            control.disable(grace_ms=self._grace_ms)
        return self._status(control)

    async def seek(self, name: str, target: Target, shards: Sequence[str], *, dry_run: bool) -> list[Move]:
        """Move a disabled mapping's position; gives what moved, or would.

        Raises WrongRequest for what is not there, NotNow while this node has the mapping enabled, StillRead while
        another one does, and the SourceError that keeps us from it.
        """
        control = self._find(name)
        config = control.config
        async with control.standing_still() as stands_still:
            if not stands_still and not dry_run:
                raise NotNow(f"{config.name} is {self._status(control).state} on this node; disable it first")
            async with self._positions.opened(config) as positions:
                moves = await plan(config, positions, target, shards)
                if not dry_run:
                    await carry_out(positions, moves)
        if not dry_run:
            for move in moves:
                control.mapping.reporting.log.warning(
                    "position moved", shard=move.shard, before=move.before, after=move.after
                )
        return moves

    async def explain(self, name: str) -> MappingExplanation:
        """Tell why a mapping is where it is."""
        control = self._find(name)
        explainer = Explainer(self._status(control), WallClock(self._now_ms()))
        mapping = control.mapping
        if isinstance(mapping, QueueMapping):
            return await explainer.queue(mapping)
        assert isinstance(mapping, StreamMapping)
        if control.is_running or control.is_wanted:
            return await explainer.stream(mapping)
        return await explainer.standing(control.config, self._positions)

    def _find(self, name: str) -> MappingControl:
        for control in self._controls:
            if name in {control.config.name, control.config.uuid}:
                return control
        names = [config.name for config in self._project.mappings]
        if names and not self._controls:
            raise NotNow("the node is starting; ask again in a moment")
        near = difflib.get_close_matches(name, names, n=1)
        hint = f"the nearest name is {near[0]}" if near else f"there are {', '.join(names) or 'none'}"
        raise NotKnown(f"there is no mapping {name}; {hint}")

    def _status(self, control: MappingControl) -> MappingStatus:
        status = inspect_mapping(control.mapping, self._now_ms())
        if status.state_reason:
            return status
        return msgspec.structs.replace(status, state_reason=self._reason(control))

    def _reason(self, control: MappingControl) -> str:
        """Say why a mapping is not as its configuration says, or why it is off."""
        override = self._overrides.of(control.config.uuid)
        if override is not None:
            return f"{'enabled' if override.enabled else 'disabled'} by a command, since {override.since}"
        return "" if control.config.enabled else "Enabled is false in the configuration"

    async def _keep(self, control: MappingControl, *, enabled: bool) -> None:
        config = control.config
        before = self._overrides.of(config.uuid)
        if enabled == config.enabled:
            kept = None
        elif before is not None and before.enabled == enabled:
            kept = before
        else:
            kept = Override(config.name, enabled, iso(time.time()))
        if kept != before:
            await asyncio.to_thread(self._overrides.put, config.uuid, kept)

    def _refuse_at_the_end(self) -> None:
        if self.is_ending:
            raise NotNow("the node is stopping")


class _Active(Sequence[Mapping]):
    def __init__(self, controls: Sequence[MappingControl]) -> None:
        self._controls = controls

    def __len__(self) -> int:
        return len(self._now())

    @overload
    def __getitem__(self, index: int) -> Mapping: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[Mapping]: ...

    def __getitem__(self, index: int | slice) -> Mapping | Sequence[Mapping]:
        return self._now()[index]

    def __iter__(self) -> Iterator[Mapping]:
        return iter(self._now())

    def _now(self) -> list[Mapping]:
        return [control.mapping for control in self._controls if control.is_wanted or control.is_running]


def _maker(make: Callable[[MappingConfig], Mapping], config: MappingConfig) -> Callable[[], Mapping]:
    return lambda: make(config)
