"""Drives one machine by hand: answers its last commands, and meets its deadlines as time passes."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import count
from typing import Any, TypeVar

from penstock.api import (
    AssignedShard,
    Checkpoint,
    Fetched,
    FunctionFailed,
    Gap,
    InvocationResult,
    Message,
    NotRun,
    Record,
    Returned,
    Start,
)
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import MessageBatch, RecordBatch
from penstock.core.queue_machine import QueueMachine
from penstock.core.settings import QueueSettings, StreamSettings
from penstock.core.stream_machine import StreamMachine
from simulation.layout import PlainLayout

CommandT = TypeVar("CommandT")

RETURNED = Returned(b"null", 5)
FAILED = FunctionFailed("ValueError", "no good", b"{}", 5)
NOT_RUN = NotRun("too many requests")


def record(position: int, size: int = 10) -> Record:
    return Record(position, bytes(size), None, 0)


def message(name: str, size: int = 10, *, receive_count: int = 1) -> Message:
    return Message(name, f"{name}/{receive_count}", bytes(size), receive_count, 0, 0)


def grouped(name: str, group: str, *, receive_count: int = 1, size: int = 10) -> Message:
    """Make a message of a FIFO queue; its sequence is its name."""
    return Message(name, f"{name}/{receive_count}", bytes(size), receive_count, 0, 0, group=group, sequence=name)


def no_jitter() -> float:
    return 0.0


class Driven:
    """Remembers every command with the time at which it was said."""

    machine: Any

    def __init__(self) -> None:
        self.now_ms = 0
        self.said: list[tuple[int, Any]] = []

    def tell(self, fact: Any = None) -> list[Any]:
        commands = self.machine.handle(fact, now_ms=self.now_ms)
        self.said += [(self.now_ms, command) for command in commands]
        deadline_ms = self.machine.next_deadline_ms()
        assert deadline_ms is None or deadline_ms > self.now_ms, "the shell would spin"
        return commands

    def pass_time(self, duration_ms: int) -> list[Any]:
        """Let time pass, meeting each deadline on the way; gives what was said meanwhile."""
        end_ms = self.now_ms + duration_ms
        said: list[Any] = []
        while (deadline_ms := self.machine.next_deadline_ms()) is not None and deadline_ms <= end_ms:
            self.now_ms = deadline_ms
            said += self.tell()
        self.now_ms = end_ms
        return said

    def all_of(self, kind: type[CommandT]) -> list[CommandT]:
        return [command for _, command in self.said if isinstance(command, kind)]

    def last(self, kind: type[CommandT]) -> CommandT:
        return self.all_of(kind)[-1]

    def count(self, kind: type) -> int:
        return len(self.all_of(kind))

    def times_of(self, kind: type) -> list[int]:
        return [at_ms for at_ms, command in self.said if isinstance(command, kind)]

    def reports(self, kind: type[CommandT]) -> list[CommandT]:
        return [said.report for said in self.all_of(do.Announce) if isinstance(said.report, kind)]

    def grant(self) -> list[Any]:
        return self.tell(facts.EnvironmentGranted(self.last(do.RequestEnvironment).id))

    def respond(self, result: InvocationResult) -> list[Any]:
        return self.tell(facts.Responded(self.last(do.Invoke).id, result))

    def revoke(self, grace_ms: int) -> list[Any]:
        return self.tell(facts.Revoked(self.now_ms + grace_ms, "a rebalance"))


class DrivenStream(Driven):
    """A stream machine that has been told to begin."""

    def __init__(
        self,
        *,
        checkpoint: Checkpoint | None = Checkpoint(-1),  # noqa: B008 - frozen
        appeared_later: bool = False,
        buffer_bytes_max: int = 1_000_000,
        start: Start = Start("TRIM_HORIZON"),  # noqa: B008 - frozen
        record_filter: Any = None,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.settings = StreamSettings(start=start, **settings)
        self.machine = StreamMachine(
            AssignedShard("orders-0", checkpoint, appeared_later),
            self.settings,
            PlainLayout(),
            jitter=no_jitter,
            request_ids=map(str, count(1)),
            buffer_bytes_max=buffer_bytes_max,
            record_filter=record_filter,
        )
        self.tell()

    def fetch(self, *records: int | Record, position: int | None = None, gap: Gap | None = None) -> list[Any]:
        """Answer the fetch with these records; whole numbers are positions."""
        found = [record(one) if isinstance(one, int) else one for one in records]
        asked = self.last(do.Fetch)
        reached = position if position is not None else found[-1].position
        size = sum(len(one.value or b"") for one in found)
        return self.tell(facts.RecordsFetched(asked.id, Fetched("orders-0", found, reached, size, 0, gap)))

    def commit(self) -> list[Any]:
        return self.tell(facts.Committed(self.last(do.Commit).id))

    def fail_commit(self, *, refused: bool = False) -> list[Any]:
        return self.tell(facts.CommitFailed(self.last(do.Commit).id, "the broker is away", refused=refused))

    def invoke(self, *records: int | Record, position: int | None = None) -> do.Invoke:
        """Bring records as far as their invocation."""
        self.fetch(*records, position=position)
        self.grant()
        return self.last(do.Invoke)

    def fail_until_given_up(self) -> None:
        """Fail every attempt, storing every checkpoint on the way."""
        while self.machine.view().in_flight is not None:
            self.respond(FAILED)
            self.commit()
            if any(isinstance(command, do.RequestEnvironment) for command in self.pass_time(60_000)):
                self.grant()

    def invoked(self) -> list[list[int]]:
        return [positions(invoke.batch) for invoke in self.all_of(do.Invoke)]

    def committed(self) -> list[int]:
        return [commit.checkpoint.position for commit in self.all_of(do.Commit)]


class DrivenQueue(Driven):
    """A queue machine that has been told to begin. Its source extends leases when asked to, while `extends`."""

    def __init__(self, *, record_filter: Any = None, extends: bool = True, **settings: Any) -> None:
        super().__init__()
        self.extends = extends
        self.settings = QueueSettings(**settings)
        self.machine = QueueMachine(
            self.settings,
            PlainLayout(),
            jitter=no_jitter,
            request_ids=map(str, count(1)),
            record_filter=record_filter,
        )
        self.tell()

    def tell(self, fact: Any = None) -> list[Any]:
        commands = super().tell(fact)
        if self.extends:
            for command in [one for one in commands if isinstance(one, do.Extend)]:
                commands += self.tell(facts.Settled(command.id))
        return commands

    def receive(self, *messages: str | Message) -> list[Any]:
        found = [message(one) if isinstance(one, str) else one for one in messages]
        return self.tell(facts.Received(self.last(do.Receive).id, found))

    def invoke(self, *messages: str | Message) -> do.Invoke:
        self.receive(*messages)
        self.grant()
        return self.last(do.Invoke)

    def settle(self, command: do.Ack | do.Nack | do.Count) -> list[Any]:
        return self.tell(facts.Settled(command.id))


def positions(batch: RecordBatch | MessageBatch) -> list[int]:
    assert isinstance(batch, RecordBatch)
    return [one.position for one in batch.records]


def names(batch: RecordBatch | MessageBatch) -> list[str]:
    assert isinstance(batch, MessageBatch)
    return [one.message_id for one in batch.messages]


def kinds(commands: Sequence[Any]) -> list[type]:
    return [type(command) for command in commands]
