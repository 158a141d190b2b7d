"""What a kind of queue has to offer to be tortured. A new broker is a property of `Brokers` and a file of kinds."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Protocol

from brokers import PrivateRedis


class Broker(Protocol):
    """A server that is restarted, and keeps what it has answered."""

    def start(self) -> None: ...

    def wait_ready(self) -> None: ...

    def stop(self) -> None: ...

    def kill(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sending:
    """A message on its way to a queue. `group` and `deduplication_id` are for FIFO queues."""

    body: bytes
    group: str | None = None
    deduplication_id: str | None = None


class Brokers:
    """The servers of one torture, each started when a kind needs it, and gone when `stack` ends.

    `kafka` is the address of one that other tests share; dead letters of some kinds go there. Without it they go to
    an embedded stream. Not `persistent`, a broker forgets everything when it is restarted.
    """

    def __init__(self, folder: Path, stack: ExitStack, *, kafka: str | None = None, persistent: bool = True) -> None:
        self.folder = folder
        self.kafka = kafka
        self._stack = stack
        self._persistent = persistent

    @cached_property
    def redis(self) -> PrivateRedis:
        """A Redis with an append-only file, of which every write is forced to the disk."""
        return self._stack.enter_context(PrivateRedis(persistent=self._persistent))


class Kind(ABC):
    """One kind of queue, in one torture. `broker` is None where there is none to restart."""

    name: ClassVar[str]
    is_fifo: ClassVar[bool] = False

    def __init__(self, brokers: Brokers) -> None:
        self.brokers = brokers

    @property
    def broker(self) -> Broker | None:
        """The server that the queues are on."""
        return None

    @abstractmethod
    def source(self, queue: str) -> dict[str, Any]:
        """Give the settings of a source for a queue of this name, `FifoQueue` included."""

    @abstractmethod
    def make(self, queue: str) -> None:
        """Create a queue, where that is needed."""

    @abstractmethod
    def send(self, queue: str, messages: Sequence[Sending]) -> None:
        """Put messages on a queue as a producer does, and return when they are there."""

    @abstractmethod
    def count(self, queue: str) -> int:
        """Ask the broker itself how many messages a queue has: those that wait, are held and are delayed."""

    def has_buried(self, queue: str, nodes: int) -> bool:  # noqa: ARG002 - most brokers notice a death by themselves
        """Tell whether the broker knows of no more than so many nodes on a queue: the dead are gone."""
        return True

    @abstractmethod
    def leftovers(self, queue: str) -> list[str]:
        """Name what a queue has left behind at the broker that is documented nowhere, once nobody is there any more."""

    @property
    def sends_to_kafka(self) -> bool:
        """Dead letters that leave the kind go to a Kafka topic; else to an embedded stream."""
        return self.broker is not None and self.brokers.kafka is not None
