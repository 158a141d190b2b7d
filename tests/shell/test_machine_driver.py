import asyncio
from collections.abc import Sequence

from penstock.shell.machine_driver import MachineDriver, clock_ms
from shell.twins import run, until


class Recorder:
    """A machine that remembers what it was told, and has the deadline that it was given."""

    def __init__(self) -> None:
        self.heard: list[object] = []
        self.heard_ms: list[int] = []
        self.deadline_ms: int | None = None
        self.answers: dict[object, list[str]] = {}

    def handle(self, fact: object, *, now_ms: int) -> Sequence[str]:
        self.heard.append(fact)
        self.heard_ms.append(now_ms)
        if self.deadline_ms is not None and now_ms >= self.deadline_ms:
            self.deadline_ms = None
        if fact == "broken":
            raise AssertionError("it can not be")
        return self.answers.get(fact, [])

    def next_deadline_ms(self) -> int | None:
        return self.deadline_ms


def drive(machine: Recorder, commands: list[str], failures: list[BaseException]) -> MachineDriver[object, str]:
    return MachineDriver(machine, perform=commands.append, on_failure=failures.append)


def test_facts_are_taken_in_order_and_their_commands_carried_out_in_order():
    async def scenario() -> None:
        machine, commands, failures = Recorder(), [], []
        machine.answers = {"a": ["one", "two"], "b": ["three"]}
        driver = drive(machine, commands, failures)

        driver.post("a")
        driver.post("b")
        await until(lambda: len(commands) == 3)

        assert (machine.heard, commands, failures) == (["a", "b"], ["one", "two", "three"], [])

    run(scenario())


def test_a_fact_posted_while_a_command_is_carried_out_is_taken_in_the_same_turn():
    async def scenario() -> None:
        machine = Recorder()
        machine.answers = {"ask": ["answer me"]}
        driver: MachineDriver[object, str] = MachineDriver(
            machine, perform=lambda _: driver.post("answer"), on_failure=lambda _: None
        )

        driver.post("ask")
        await asyncio.sleep(0)

        assert machine.heard == ["ask", "answer"]

    run(scenario())


def test_a_machine_is_woken_at_its_deadline_and_not_before():
    async def scenario() -> None:
        machine = Recorder()
        driver = drive(machine, [], [])
        deadline_ms = machine.deadline_ms = clock_ms(asyncio.get_running_loop()) + 30

        driver.wake()
        await until(lambda: len(machine.heard) == 2)

        assert machine.heard_ms[1] >= deadline_ms

    run(scenario())


def test_a_deadline_that_comes_nearer_is_met():
    async def scenario() -> None:
        machine = Recorder()
        driver = drive(machine, [], [])
        now_ms = clock_ms(asyncio.get_running_loop())
        machine.deadline_ms = now_ms + 60_000
        driver.post("far")
        await until(lambda: machine.heard == ["far"])

        # Counted from now, and far enough that telling it comes before, however busy the machine is.
        machine.deadline_ms = clock_ms(asyncio.get_running_loop()) + 300
        driver.post("near")

        await until(lambda: machine.heard == ["far", "near", None])

    run(scenario())


def test_a_deadline_that_moves_away_does_not_wake_the_machine_early():
    async def scenario() -> None:
        machine = Recorder()
        driver = drive(machine, [], [])
        now_ms = clock_ms(asyncio.get_running_loop())
        machine.deadline_ms = now_ms + 10
        driver.post("near")
        await until(lambda: machine.heard == ["near"])
        later_ms = machine.deadline_ms = now_ms + 60
        driver.post("later")

        await until(lambda: len(machine.heard) == 3)

        assert machine.heard_ms[2] >= later_ms

    run(scenario())


def test_a_deadline_that_stays_in_the_past_does_not_spin():
    async def scenario() -> None:
        machine = Recorder()
        machine.next_deadline_ms = lambda: 1  # type: ignore[method-assign] # a machine that waits for something else
        driver = drive(machine, [], [])

        driver.wake()
        await asyncio.sleep(0.25)
        driver.stop()

        assert 2 <= len(machine.heard) <= 4

    run(scenario())


def test_a_machine_that_raises_is_stopped_and_told_of_once():
    async def scenario() -> None:
        machine, failures = Recorder(), []
        driver = drive(machine, [], failures)

        for fact in ("broken", "more", "broken"):
            driver.post(fact)
        await until(lambda: failures)
        driver.post("later")
        await asyncio.sleep(0.01)

        assert (machine.heard, [str(failure) for failure in failures]) == (["broken"], ["it can not be"])

    run(scenario())


def test_who_catches_up_goes_on_after_the_deadlines_that_have_passed():
    async def scenario() -> None:
        machine = Recorder()
        driver = drive(machine, [], [])
        await driver.catch_up()
        assert machine.heard == []

        machine.deadline_ms = clock_ms(asyncio.get_running_loop())
        await driver.catch_up()
        assert machine.heard == [None]

        machine.deadline_ms = clock_ms(asyncio.get_running_loop()) + 60_000
        await driver.catch_up()
        assert machine.heard == [None]

    run(scenario())
