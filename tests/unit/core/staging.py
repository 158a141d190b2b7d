"""A shard on a stage: its source, store and destination answer at once, and the test says what the function does.

After each step it checks what must hold at any time: the books balance, no position goes back, a note fits.
"""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import count
from typing import Any

from penstock.api import (
    NOTE_BYTES_MAX,
    AssignedShard,
    Checkpoint,
    Fetched,
    FunctionFailed,
    InvocationResult,
    Record,
    Returned,
    Start,
)
from penstock.core import commands as do
from penstock.core import facts, reports
from penstock.core.invocation_record import InvocationRecord
from penstock.core.settings import StreamSettings
from penstock.core.stream_machine import StreamMachine
from penstock.core.views import LaneView, StreamView
from simulation.layout import PlainLayout
from unit.core.driving import FAILED, RETURNED, Driven, no_jitter, positions

Function = Callable[[do.Invoke], InvocationResult | None]
"""Says how an invocation ends; None: it goes on until `finish`."""
Destination = Callable[[do.Deliver], facts.Delivered | facts.DeliveryFailed | None]

STEPS_MAX = 5_000


def at(position: int, timestamp_ms: int = 0, *, key: str | None = None, size: int = 10) -> Record:
    return Record(position, bytes(size), key.encode() if key is not None else None, timestamp_ms)


def succeed(_invoke: do.Invoke) -> InvocationResult:
    return RETURNED


def fail(_invoke: do.Invoke) -> InvocationResult:
    return FAILED


def go_on(_invoke: do.Invoke) -> None:
    """Neither succeed nor fail yet."""


def in_turn(*results: InvocationResult | None) -> Function:
    """End the invocations like this, one after another; what comes after succeeds."""
    left = deque(results)
    return lambda _invoke: left.popleft() if left else RETURNED


def poisoned(*poisons: int) -> Function:
    """Fail on a batch that holds one of these records."""
    return lambda invoke: FAILED if set(positions(invoke.batch)) & set(poisons) else RETURNED


def reporting(*poisons: int) -> Function:
    """Report those of these records that a batch holds."""
    return lambda invoke: reported(*(one for one in positions(invoke.batch) if one in poisons))


def reported(*failures: Any) -> Returned:
    """Answer with these records, or with these identifiers where they are no numbers."""
    names = [str(one) if isinstance(one, int) else one for one in failures]
    return answered({"batchItemFailures": [{"itemIdentifier": name} for name in names]})


def answered(response: Any, duration_ms: int = 5) -> Returned:
    return Returned(json.dumps(response).encode(), duration_ms)


def error(error_type: str) -> FunctionFailed:
    return FunctionFailed(error_type, "no good", json.dumps({"errorType": error_type}).encode(), 5)


def silent(_deliver: do.Deliver) -> None:
    """Neither take nor refuse anything."""


def away(deliver: do.Deliver) -> facts.DeliveryFailed:
    return facts.DeliveryFailed(deliver.id, "the queue is away")


def refusing(deliver: do.Deliver) -> facts.DeliveryFailed:
    return facts.DeliveryFailed(deliver.id, "it may not be written", refused=True)


class StagedStream(Driven):
    """`log` is what the source has, in order; whole numbers are positions of records from time 0.

    The machine's clock is Unix time, unless a `facts.ClockChanged` says otherwise.
    """

    def __init__(
        self,
        function: Function = succeed,
        *,
        log: Iterable[int | Record] = (),
        destination: Destination | None = None,
        checkpoint: Checkpoint = Checkpoint(-1),  # noqa: B008 - frozen
        buffer_bytes_max: int = 1_000_000,
        states: dict[str, bytes] | None = None,
        names: Iterator[str] | None = None,
        now_ms: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__()
        self.function = function
        self.log = [at(one) if isinstance(one, int) else one for one in log]
        self.destination = destination
        self.stored = checkpoint
        self.states = {} if states is None else states
        self.is_committing = True
        """Commits are answered."""
        self.is_storing = True
        """What is asked of the store of states is answered."""
        self.fetching: do.Fetch | None = None
        self.running: dict[int, do.Invoke] = {}
        self.settings = StreamSettings(**{"start": Start("TRIM_HORIZON")} | settings)
        self.now_ms = now_ms
        self._names = names or map(str, count(1))
        self._buffer_bytes_max = buffer_bytes_max
        self._unanswered: deque[Any] = deque()
        self.machine = StreamMachine(
            AssignedShard("orders-0", checkpoint),
            self.settings,
            PlainLayout(),
            jitter=no_jitter,
            request_ids=self._names,
            buffer_bytes_max=buffer_bytes_max,
        )
        self.tell()
        self.play()

    # What is checked after each step.

    def tell(self, fact: Any = None) -> list[Any]:
        commands = super().tell(fact)
        for command in commands:
            self._check(command)
        self._unanswered += commands
        view = self.view
        counted = view.counters
        assert counted.polled == counted.filtered + counted.invoked_first + counted.dropped_before + view.buffered
        return commands

    def _check(self, command: Any) -> None:
        if isinstance(command, do.Commit):
            note = command.checkpoint.note
            assert note.isascii()
            assert len(note) <= NOTE_BYTES_MAX
            assert command.checkpoint.position >= self.stored.position
        elif isinstance(command, do.ForgetState):
            assert f'"{command.version}"' not in self.stored.note, "the stored checkpoint names it"
        elif isinstance(command, do.SaveState):
            assert self.states.get(command.version, command.state) == command.state, "a version is new"

    # Who answers.

    def play(self) -> None:
        """Answer whatever was asked, until nothing more is."""
        for _ in range(STEPS_MAX):
            if self._unanswered:
                self._answer(self._unanswered.popleft())
            elif not self._answer_fetch():
                return
        raise AssertionError("it never comes to rest")

    def _answer(self, command: Any) -> None:  # noqa: C901, PLR0912 - an arm for each
        match command:
            case do.Fetch():
                self.fetching = command
            case do.RequestEnvironment(id=asked):
                self.tell(facts.EnvironmentGranted(asked))
            case do.Invoke(id=asked):
                self.running[asked] = command
                result = self.function(command)
                if result is not None:
                    self.finish(command, result)
            case do.Cancel(id=asked) if asked in self.running:
                self.finish(self.running[asked], RETURNED)
            case do.Deliver(id=asked):
                answer = self.destination(command) if self.destination else facts.Delivered(asked)
                if answer is not None:
                    self.tell(answer)
            case do.Commit(id=asked) if self.is_committing:
                self.stored = command.checkpoint
                self.tell(facts.Committed(asked))
            case do.SaveState() | do.LoadState() if not self.is_storing:
                pass
            case do.SaveState(id=asked):
                self.states[command.version] = command.state
                self.tell(facts.StateSaved(asked, "store"))
            case do.LoadState(id=asked) if command.version in self.states:
                self.tell(facts.StateLoaded(asked, self.states[command.version]))
            case do.LoadState(id=asked):
                self.tell(facts.StateMissing(asked, f"there is no {command.version}"))
            case do.ForgetState():
                del self.states[command.version]
            case _:
                pass

    def _answer_fetch(self) -> bool:
        asked = self.fetching
        if asked is None:
            return False
        found = [one for one in self.log if one.position > asked.after]
        taken: list[Record] = []
        for one in found[: asked.records_max]:
            if taken and sum(len(each.value or b"") for each in [*taken, one]) > asked.bytes_max:
                break
            taken.append(one)
        if not taken:
            return False
        self.fetching = None
        size = sum(len(one.value or b"") + len(one.key or b"") for one in taken)
        fetched = Fetched("orders-0", taken, taken[-1].position, size, len(found) - len(taken))
        self.tell(facts.RecordsFetched(asked.id, fetched))
        return True

    # What a test does.

    def write(self, *records: int | Record) -> None:
        """Append to the source's log, and see what comes of it."""
        self.log += [at(one) if isinstance(one, int) else one for one in records]
        self.play()

    def finish(self, invoke: do.Invoke, result: InvocationResult) -> None:
        """End an invocation."""
        del self.running[invoke.id]
        self.tell(facts.Responded(invoke.id, result))

    def finish_all(self, result: InvocationResult = RETURNED) -> None:
        """End all invocations that run, and see what comes of it."""
        for invoke in list(self.running.values()):
            self.finish(invoke, result)
        self.play()

    def deliver(self) -> None:
        """Let the last delivery arrive, and all that follow it."""
        self.destination = None
        self.act(facts.Delivered(self.last(do.Deliver).id))

    def act(self, fact: Any) -> None:
        """Tell it something, and see what comes of it."""
        self.tell(fact)
        self.play()

    def pass_time(self, duration_ms: int) -> list[Any]:
        end_ms, before = self.now_ms + duration_ms, len(self.said)
        self.play()
        for _ in range(STEPS_MAX):
            deadline_ms = self.machine.next_deadline_ms()
            if deadline_ms is None or deadline_ms > end_ms:
                break
            self.now_ms = deadline_ms
            self.tell()
            self.play()
        self.now_ms = end_ms
        return [command for _, command in self.said[before:]]

    def rest(self) -> None:
        """Let time pass until nothing is left to do."""
        self.play()
        for _ in range(STEPS_MAX):
            if self.view.is_idle:
                return
            deadline_ms = self.machine.next_deadline_ms()
            assert deadline_ms is not None, "it waits for nothing"
            self.now_ms = deadline_ms
            self.tell()
            self.play()
        raise AssertionError("it never comes to rest")

    def change(self, **settings: Any) -> None:
        """Change the mapping's settings while it runs."""
        self.settings = replace(self.settings, **settings)
        self.act(facts.StreamSettingsChanged(self.settings))

    def restart(self, function: Function | None = None, **changed: Any) -> StagedStream:
        """Kill the node, and have another one go on from what is stored."""
        settings = {name: getattr(self.settings, name) for name in self.settings.__slots__}
        kept = {
            "log": self.log,
            "destination": self.destination,
            "checkpoint": self.stored,
            "buffer_bytes_max": self._buffer_bytes_max,
            "states": self.states,
            "names": self._names,
            "now_ms": self.now_ms,
        }
        return StagedStream(function or self.function, **kept | settings | changed)

    # What a test looks at.

    @property
    def view(self) -> StreamView:
        return self.machine.view()

    def lane(self, number: int) -> LaneView:
        return self.view.lanes[number]

    def invoked(self) -> list[list[int]]:
        return [positions(invoke.batch) for invoke in self.all_of(do.Invoke)]

    def attempts(self) -> list[int]:
        return [invoke.attempt for invoke in self.all_of(do.Invoke)]

    def delivered(self) -> list[InvocationRecord]:
        return [deliver.record for deliver in self.all_of(do.Deliver)]

    def dropped(self) -> list[tuple[str, str, str, int]]:
        """Give what was given up: why, first, last, and after how many attempts."""
        return [
            (report.condition, report.first, report.last, report.attempts)
            for report in self.reports(reports.RecordsDropped)
        ]


def told(record: InvocationRecord) -> Sequence[Any]:
    """Give the outlines of what a destination is told: why, of which records, and after how many tries."""
    return record.condition, [one.position for one in record.records], record.invoke_count
