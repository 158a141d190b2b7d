"""Drives one machine: facts go in through one inbox, its commands come out, and it wakes at its next deadline.

There is no task here: one callback of the loop empties the inbox, however many facts there are. The driver decides
nothing; what a command means is its performer's matter.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

FactT = TypeVar("FactT")
CommandT = TypeVar("CommandT")
FactT_contra = TypeVar("FactT_contra", contravariant=True)
CommandT_co = TypeVar("CommandT_co", covariant=True)

OVERDUE_MS = 100
"""A machine whose deadline stays in the past (it waits for something else as well) is looked at again after so long."""


CLOCK_STEP_MS = 20
"""Unix time may differ by so much from what a machine was told before it is told again."""


class Machine(Protocol[FactT_contra, CommandT_co]):
    """The face that all machines have (`design.md §4`)."""

    def handle(self, fact: FactT_contra | None, *, now_ms: int) -> Sequence[CommandT_co]: ...

    def next_deadline_ms(self) -> int | None: ...


def clock_ms(loop: asyncio.AbstractEventLoop) -> int:
    """Read the loop's own clock, which is monotonic, in milliseconds: the `now_ms` of every machine."""
    return int(loop.time() * 1000)


class MachineDriver(Generic[FactT, CommandT]):
    """One machine in the loop that was running when it was made.

    `perform` carries a command out or starts to; it may `post` facts at once. Whatever is raised by it or by the
    machine ends the driver, for good, and is given to `on_failure` once. A machine that wants to know Unix time gives
    `clock_fact`, which makes the fact that tells what to add to its own clock, in milliseconds: it is told that first
    of all, and again when either clock was set.
    """

    def __init__(
        self,
        machine: Machine[FactT, CommandT],
        *,
        perform: Callable[[CommandT], None],
        on_failure: Callable[[BaseException], None],
        clock_fact: Callable[[int], FactT] | None = None,
    ) -> None:
        """Take the machine and what to do with its commands. Nothing happens before `post` or `wake`."""
        self._loop = asyncio.get_running_loop()
        self._machine = machine
        self._perform = perform
        self._on_failure = on_failure
        self._inbox: deque[FactT | None] = deque()
        self._is_awake = False
        self._is_stopped = False
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ms = 0
        self._clock_fact = clock_fact
        self._offset_ms: int | None = None

    def now_ms(self) -> int:
        """Read the machine's clock."""
        return clock_ms(self._loop)

    def post(self, fact: FactT | None) -> None:
        """Tell the machine what happened, soon; None: only time passed."""
        if self._is_stopped:
            return
        self._inbox.append(fact)
        if not self._is_awake:
            self._is_awake = True
            self._loop.call_soon(self._drain)

    def wake(self) -> None:
        """Let the machine begin, or look again."""
        self.post(None)

    async def catch_up(self) -> None:
        """Return when the machine has met every deadline that has passed: it may want things undone."""
        deadline_ms = self._machine.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= clock_ms(self._loop):
            self.wake()
            # What was called soon before us comes before us.
            await asyncio.sleep(0)

    def stop(self) -> None:
        """Hear no more facts and meet no more deadlines."""
        self._is_stopped = True
        self._inbox.clear()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _drain(self) -> None:
        try:
            if self._clock_fact is not None:
                self._tell_time(self._clock_fact)
            while self._inbox:
                self._take_in(self._inbox.popleft())
            if not self._is_stopped:
                self._arm()
        except Exception as error:  # noqa: BLE001 - a bug stops this machine, whatever it is, and nothing else
            self.stop()
            self._on_failure(error)
        finally:
            self._is_awake = False

    def _take_in(self, fact: FactT | None) -> None:
        for command in self._machine.handle(fact, now_ms=clock_ms(self._loop)):
            self._perform(command)

    def _tell_time(self, clock_fact: Callable[[int], FactT]) -> None:
        offset_ms = time.time_ns() // 1_000_000 - clock_ms(self._loop)
        if self._offset_ms is None or abs(offset_ms - self._offset_ms) >= CLOCK_STEP_MS:
            self._offset_ms = offset_ms
            self._take_in(clock_fact(offset_ms))

    def _arm(self) -> None:
        deadline_ms = self._machine.next_deadline_ms()
        if deadline_ms is None:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            return
        now_ms = clock_ms(self._loop)
        if deadline_ms <= now_ms:
            deadline_ms = now_ms + OVERDUE_MS
        if self._timer is not None:
            # A timer that rings too early costs one look; moving it at each batch would cost more.
            if self._timer_ms <= deadline_ms:
                return
            self._timer.cancel()
        self._timer_ms = deadline_ms
        # Half a millisecond later, so that rounding never wakes the machine just before its time.
        self._timer = self._loop.call_at((deadline_ms + 0.5) / 1000, self._ring)

    def _ring(self) -> None:
        self._timer = None
        if self._is_stopped or self._is_awake:
            return
        deadline_ms = self._machine.next_deadline_ms()
        if deadline_ms is not None and deadline_ms <= clock_ms(self._loop):
            self.wake()
        else:
            self._arm()
