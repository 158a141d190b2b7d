import asyncio
import json
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.api import Invocation, InvocationResult, NotRun, Record, Returned
from penstock.core import commands as do
from penstock.core import facts
from penstock.core.batch import RecordBatch
from penstock.core.events import Origin, stream_layout
from penstock.core.events.window import WindowFrame
from penstock.shell.environments import Environments, MachineEnvironments, room_told
from shell.twins import ExecutorTwin, never, run, succeed, until


class Letters:
    """A layout that counts how often it encoded."""

    def __init__(self) -> None:
        self.encoded: list[bytes] = []

    def encode(self, records: Sequence[Record]) -> bytes:
        self.encoded.append(b"".join(record.value or b"" for record in records))
        return self.encoded[-1]


def batch(*values: bytes) -> RecordBatch:
    records = tuple(Record(number, value, None, 0) for number, value in enumerate(values))
    return RecordBatch(records, len(records) - 1)


def join(environments: Environments, mapping: str, heard: list[Any], layout: Any = None) -> MachineEnvironments:
    environments.join(mapping, "f")
    return environments.client(mapping, "f", layout or Letters(), post=heard.append, on_failure=heard.append)


def node(executor: ExecutorTwin, *, node_max: int = 1) -> Environments:
    environments = Environments(node_max=node_max)
    environments.add_function("f", executor, None)
    return environments


def test_a_batch_that_was_prepared_is_not_encoded_again():
    async def scenario() -> None:
        heard: list[Any] = []
        layout, executor = Letters(), ExecutorTwin(succeed)
        client = join(node(executor), "f.a", heard, layout)
        client.request(1)
        client.prepare(batch(b"a", b"b"))
        await until(lambda: layout.encoded == [b"ab"])

        client.invoke(do.Invoke(2, 1, "id", batch(b"a", b"b"), 1))
        await until(lambda: len(heard) == 2)

        assert layout.encoded == [b"ab"]
        assert executor.started == [Invocation("id", b"ab")]

    run(scenario())


def test_a_batch_that_is_another_than_the_prepared_one_is_encoded_and_the_prepared_one_kept():
    async def scenario() -> None:
        heard: list[Any] = []
        layout = Letters()
        client = join(node(ExecutorTwin(succeed)), "f.a", heard, layout)
        client.prepare(batch(b"next"))
        await until(lambda: layout.encoded == [b"next"])
        client.request(1)
        client.invoke(do.Invoke(2, 1, "id", batch(b"again"), 1))
        await until(lambda: len(heard) == 2)

        client.request(3)
        client.invoke(do.Invoke(4, 3, "id", batch(b"next"), 1))
        await until(lambda: len(heard) == 4)

        assert layout.encoded == [b"next", b"again"]

    run(scenario())


def test_a_batch_that_is_invoked_before_it_could_be_prepared_is_encoded_once():
    async def scenario() -> None:
        heard: list[Any] = []
        layout = Letters()
        client = join(node(ExecutorTwin(succeed)), "f.a", heard, layout)
        client.request(1)
        client.prepare(batch(b"a"))
        client.invoke(do.Invoke(2, 1, "id", batch(b"a"), 1))
        client.prepare(batch(b"b"))
        await until(lambda: len(layout.encoded) > 1)

        assert layout.encoded == [b"a", b"b"]

    run(scenario())


def test_an_invocation_that_is_cancelled_before_it_began_is_answered_and_its_environment_free():
    async def scenario() -> None:
        heard: list[Any] = []
        environments = node(ExecutorTwin(never))
        client = join(environments, "f.a", heard)
        client.request(1)

        client.invoke(do.Invoke(2, 1, "id", batch(b"a"), 1))
        client.cancel(2)
        await until(lambda: len(heard) == 2)

        assert isinstance(heard[1], facts.Responded)
        assert isinstance(heard[1].result, NotRun)
        assert environments.concurrency.held == 0

    run(scenario())


def test_a_machine_that_is_closed_gives_its_environment_on_when_its_process_is_dead():
    async def scenario() -> None:
        first: list[Any] = []
        second: list[Any] = []
        executor = ExecutorTwin(never)
        environments = node(executor)
        running, waiting = join(environments, "f.a", first), join(environments, "f.b", second)
        running.request(1)
        running.invoke(do.Invoke(2, 1, "id", batch(b"a"), 1))
        waiting.request(1)
        await until(lambda: executor.running == 1)

        closing = asyncio.create_task(running.close())
        await asyncio.sleep(0)
        assert second == []
        await closing

        assert second == [facts.EnvironmentGranted(1)]
        assert (executor.ended, first) == (1, [facts.EnvironmentGranted(1)])

    run(scenario())


def test_an_executor_that_raises_is_a_bug_and_its_environment_is_free():
    async def scenario() -> None:
        heard: list[Any] = []

        async def broken(_: Invocation) -> InvocationResult:
            raise ZeroDivisionError

        environments = node(ExecutorTwin(broken))
        client = join(environments, "f.a", heard)
        client.request(1)
        client.invoke(do.Invoke(2, 1, "id", batch(b"a"), 1))
        await until(lambda: len(heard) == 2)

        assert isinstance(heard[1], ZeroDivisionError)
        assert environments.concurrency.held == 0

    run(scenario())


def test_who_watches_hears_when_an_environment_is_free_and_when_not():
    async def scenario() -> None:
        heard: list[Any] = []
        environments = node(ExecutorTwin(succeed), node_max=2)
        client = join(environments, "f.a", [])

        environments.watch(99, "f", heard.append)
        client.request(1)
        client.request(2)
        client.give_back(1)
        environments.unwatch(99, "f")
        client.request(3)

        assert [fact.free for fact in heard] == [2, 1, 0, 1]

    run(scenario())


def test_who_watches_hears_of_what_is_left_before_it_is_granted_any():
    async def scenario() -> None:
        heard: list[Any] = []
        environments = node(ExecutorTwin(succeed), node_max=1)
        client = join(environments, "f.a", heard)
        environments.watch(99, "f", heard.append)

        client.request(1)

        assert heard == [facts.HeadroomChanged(1), facts.HeadroomChanged(0), facts.EnvironmentGranted(1)]

    run(scenario())


@pytest.mark.parametrize(("free", "told"), [(0, 0), (1, 1), (2, 2), (3, 2), (9, 8), (16, 16), (99, 16)])
def test_few_changes_of_what_is_free_are_worth_telling(free: int, told: int):
    assert room_told(free) == told


def test_a_windows_keys_stand_behind_the_records_of_its_event():
    async def scenario() -> None:
        heard: list[Any] = []
        executor = ExecutorTwin(succeed)
        layout = stream_layout("kinesis", Origin(source_arn="arn:stream", region="us-east-1", shard="0"))
        client = join(node(executor), "f.a", heard, layout)
        client.request(1)
        frame = WindowFrame(start_ms=0, end_ms=60_000, state=b'{"sum":7}', is_final=True)

        client.invoke(do.Invoke(2, 1, "id", batch(b"a"), 1, frame))
        await until(lambda: len(heard) == 2)

        event = json.loads(executor.started[0].event)
        assert list(event) == [
            "Records",
            "window",
            "state",
            "shardId",
            "eventSourceARN",
            "isFinalInvokeForWindow",
            "isWindowTerminatedEarly",
        ]
        assert event["window"] == {"start": "1970-01-01T00:00:00Z", "end": "1970-01-01T00:01:00Z"}
        assert event["state"] == {"sum": 7}
        assert len(event["Records"]) == 1

    run(scenario())


def test_a_run_that_belongs_to_no_machine_waits_for_its_turn_and_gives_its_environment_back():
    async def scenario() -> None:
        environments = node(ExecutorTwin(succeed))
        environments.join("f.a > f", "f")
        heard: list[Any] = []
        client = join(environments, "f.a", heard)
        client.request(1)
        once = asyncio.create_task(environments.run_once("f.a > f", "f", Invocation("id", b"{}")))
        await asyncio.sleep(0.02)
        assert not once.done()

        client.give_back(1)

        assert await once == Returned(b"null", 1)
        assert environments.concurrency.held == 0

    run(scenario())


def test_a_run_that_is_cancelled_while_it_waits_holds_nothing():
    async def scenario() -> None:
        environments = node(ExecutorTwin(succeed))
        environments.join("f.a > f", "f")
        heard: list[Any] = []
        client = join(environments, "f.a", heard)
        client.request(1)
        once = asyncio.create_task(environments.run_once("f.a > f", "f", Invocation("id", b"{}")))
        await asyncio.sleep(0.02)

        once.cancel()
        await asyncio.wait({once})
        client.give_back(1)

        assert environments.concurrency.held == 0

    run(scenario())
