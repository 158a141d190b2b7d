"""How a plugin registers what it has: hooks that are called once, when the node starts.

```python
from penstock.api import API_VERSION, SourceType, hookimpl

PENSTOCK_API_VERSION = 1   # the API version the plugin was written for

@hookimpl
def register_sources(register):
    register(SourceType(name="tape", kind="stream", ...))
```

The module is named by an entry point of the group `penstock`. Hooks are never on the data path.
"""

from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import pluggy

from penstock.api.destination import Destination
from penstock.api.executor import Executor, FunctionSpec
from penstock.api.positions import Positions
from penstock.api.queue import QueueCapabilities, QueueSource
from penstock.api.records import Message, Record, Start
from penstock.api.settings import Setting
from penstock.api.stream import StreamCapabilities, StreamSource

API_VERSION = 1
"""Grows when something a plugin relies on changes its meaning. A plugin written for another one is refused."""

hookspec = pluggy.HookspecMarker("penstock")
hookimpl = pluggy.HookimplMarker("penstock")


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceContext:
    """A source as the configuration has it: its name, its settings (checked, with defaults), and whose it is."""

    project: str
    name: str
    settings: Mapping[str, Any]
    data_dir: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class MappingContext:
    """A mapping that wants to read a source.

    `mapping` is `<function>.<event>`, `uuid` is the same for ever for one project and that name, `settings` are the
    keys of the mapping that the source type itself declared. `node` differs for each node and stays with its data
    directory. `buffer_bytes_max` is what the plugin may hold in memory for this mapping. `lease_ms` is how long
    a message that was received is held unless it is extended: the queue's visibility timeout.
    """

    mapping: str
    uuid: str
    node: str
    settings: Mapping[str, Any]
    buffer_bytes_max: int
    lease_ms: int = 30_000


class SourceOperations(Protocol):
    """What an operator needs of a source besides reading it: used by `validate --connect`, `up` and `penstock peek`."""

    async def check(self, *, write: bool = False, mapping: MappingContext | None = None) -> None:
        """Connect and look: is it there, may we read it (or write it)? Raises the `SourceError` that says what not.

        With a mapping: may we read it as that mapping would, in its consumer group for instance? Nothing is joined.
        """

    async def create(self) -> bool:
        """Make what is missing, with the settings at hand; True when something was. Never changes what is there."""

    def peek(
        self, start: Start | int, *, limit: int | None, follow: bool
    ) -> AsyncIterator[tuple[str, Record] | Message]:
        """Show what is there without taking it: (shard, record) for a stream, messages for a queue."""

    async def close(self) -> None:
        """Let go of everything."""


@runtime_checkable
class ShowsSource(Protocol):
    """What `SourceOperations` may have besides, for `penstock source show`."""

    async def show(self) -> Mapping[str, str]:
        """Connect, and tell what is there now: what the broker is, how records are held and counted, how many wait.

        Names in a few words and what they stand for, in the order in which somebody wants to read them. Nothing is
        taken or changed. Raises the `SourceError` that says what is wrong.
        """


@runtime_checkable
class PeeksByTaking(Protocol):
    """What `SourceOperations` may have besides, where a broker shows messages only by giving them out.

    `peek` is then refused with the reason, and an operator who accepts what it says may ask for this.
    """

    def peek_by_taking(self, *, limit: int) -> AsyncIterator[Message]:
        """Take up to so many messages, show them, and give all of them back at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceType:
    """A type of source that a plugin brings.

    `settings` are the source's own; one of the name `Create` only changes that key's default. Those with a name in
    `connection_settings` may stand in a `Connection` instead. `mapping_settings` are keys that a mapping on such a
    source may have besides Lambda's. The first of `event_formats` is the default. `check_settings` may refuse
    combinations with a `SettingsError`; so may `check_mapping_settings`, which gets the source's settings and the
    mapping's. Neither connects to anything. What is None the type can not do, and the engine says so.
    """

    name: str
    kind: Literal["stream", "queue"]
    doc: str
    capabilities: StreamCapabilities | QueueCapabilities
    settings: tuple[Setting, ...]
    event_formats: tuple[str, ...]
    connection_settings: tuple[str, ...] = ()
    mapping_settings: tuple[Setting, ...] = ()
    check_settings: Callable[[Mapping[str, Any]], None] | None = None
    check_mapping_settings: Callable[[Mapping[str, Any], Mapping[str, Any]], None] | None = None
    open_stream: Callable[[SourceContext, MappingContext], StreamSource] | None = None
    open_queue: Callable[[SourceContext, MappingContext], QueueSource] | None = None
    open_destination: Callable[[SourceContext], Destination] | None = None
    open_positions: Callable[[SourceContext, MappingContext], Positions] | None = None
    """What moves a mapping's position; without it `penstock mapping seek` is refused on such a source."""
    operate: Callable[[SourceContext], SourceOperations] | None = None
    describe: Callable[[Mapping[str, Any]], Mapping[str, str]] | None = None
    """Facts of a source that its event layout needs: `topic`, `bootstrapServers`, `stream`, `queue`, `virtualHost`."""
    is_same: Callable[[SourceContext, SourceContext], bool] | None = None
    """Whether two sources of this type are one and the same stream or queue, as far as their settings can tell. It
    keeps a mapping from sending to what it reads. None: only sources of the same name are."""
    destination_scheme: str = ""
    """With `kafka` here, a mapping on such a source may send to `kafka://orders-failed`: to its own source, but with
    that text as `destination_setting`. Empty: there are no such addresses."""
    destination_setting: str = ""
    endless_retries_with_destination: int | None = None
    """How many retries -1 means where a mapping has an on-failure destination (D2). None: without end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DestinationType:
    """A kind of destination that is no source, named by the scheme of its address (`https`)."""

    scheme: str
    doc: str
    settings: tuple[Setting, ...]
    open_destination: Callable[[str, Mapping[str, Any]], Destination]


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecutorType:
    """A way to run functions, chosen by a function's `Runtime`."""

    runtime: str
    doc: str
    settings: tuple[Setting, ...]
    open_executor: Callable[[FunctionSpec, Path], Executor]


class Hooks:
    """The hooks a plugin may have. Each is called once, with a function that takes one thing to register."""

    @hookspec
    def register_sources(self, register: Callable[[SourceType], None]) -> None:
        """Register source types."""

    @hookspec
    def register_destinations(self, register: Callable[[DestinationType], None]) -> None:
        """Register destination types."""

    @hookspec
    def register_executors(self, register: Callable[[ExecutorType], None]) -> None:
        """Register executor types."""
