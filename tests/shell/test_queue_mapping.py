import asyncio
import json

from penstock.api import FunctionFailed, Invocation, InvocationResult, NotRun, SourceUnavailable
from shell.twins import QueueBroker, never, queue_config, run, start, succeed, until


async def fail(_: Invocation) -> InvocationResult:
    return FunctionFailed("KeyError", "'id'", b"{}", 1)


def test_messages_reach_the_function_and_are_acknowledged():
    async def scenario() -> None:
        broker = QueueBroker()
        broker.put(b"one", b"two", b"three")
        bench = start(queue_config(broker))

        await until(lambda: len(broker.acked) == 3)
        await bench.drain()

        bodies = [record["body"] for run in bench.executor.started for record in json.loads(run.event)["Records"]]
        assert sorted(bodies) == ["one", "three", "two"]
        assert broker.nacked == []

    run(scenario())


def test_a_failed_batch_comes_back_after_the_visibility_timeout():
    async def scenario() -> None:
        broker = QueueBroker()
        broker.put(b"one", b"two")
        bench = start(queue_config(broker), fail)

        await until(lambda: broker.nacked)
        await bench.drain()

        assert broker.nacked == [("r-0", 30_000, True), ("r-1", 30_000, True)]

    run(scenario())


def test_nothing_is_received_while_no_environment_is_free():
    async def scenario() -> None:
        broker = QueueBroker()
        bench = start(queue_config(broker), never, node_max=1)
        broker.put(b"one", b"two")
        await until(lambda: bench.executor.running == 1)
        receives = broker.receives

        broker.put(*(b"more" for _ in range(20)))
        await asyncio.sleep(0.1)

        # One batch may be in our hands ahead of the one that runs (D20).
        assert broker.receives <= receives + 1
        assert len(broker.ready) >= 18
        await bench.drain(grace_ms=20)

    run(scenario())


def test_what_was_received_and_not_run_goes_back_uncounted_when_the_node_stops():
    async def scenario() -> None:
        broker = QueueBroker()
        broker.put(b"one", b"two")
        bench = start(queue_config(broker), never)
        await until(lambda: bench.executor.started)

        await bench.drain(grace_ms=20)

        assert sorted(broker.nacked) == [("r-0", 0, False), ("r-1", 0, False)]
        assert (broker.acked, bench.executor.ended, bench.environments.concurrency.held) == ([], 1, 0)

    run(scenario())


def test_a_connection_that_is_lost_is_opened_again():
    async def scenario() -> None:
        broker = QueueBroker()
        bench = start(queue_config(broker))
        await until(lambda: broker.receives)

        broker.failure = SourceUnavailable("the broker is away")
        broker.changed.set()
        await until(lambda: broker.opened >= 2)
        assert bench.mapping.health.last_result == "PROBLEM: the broker is away"
        broker.failure = None
        broker.put(b"one")
        await until(lambda: broker.acked == ["r-0"])
        await bench.drain()

        assert bench.mapping.health.last_result == "OK"

    run(scenario())


def test_a_lease_that_ran_out_meanwhile_is_told_of_and_settles_the_others():
    async def scenario() -> None:
        broker = QueueBroker()
        open_gate = asyncio.Event()

        async def gated(invocation: Invocation) -> InvocationResult:
            await open_gate.wait()
            return await succeed(invocation)

        bench = start(queue_config(broker), gated)
        broker.put(b"one", b"two")
        await until(lambda: bench.executor.started)

        del broker.held["r-0"]
        open_gate.set()
        await until(lambda: "leases expired" in bench.log.getvalue())

        assert "r-1" not in broker.held
        await bench.drain()

    run(scenario())


def test_what_could_not_be_run_goes_back_uncounted_and_says_why():
    async def scenario() -> None:
        broker = QueueBroker()

        async def throttle(_: Invocation) -> InvocationResult:
            return NotRun("too many at once")

        bench = start(queue_config(broker), throttle)
        broker.put(b"one")
        await until(lambda: broker.nacked)

        assert [(receipt, counted) for receipt, _, counted in broker.nacked] == [("r-0", False)]
        assert bench.mapping.health.last_result == "PROBLEM: too many at once"
        await bench.drain()

    run(scenario())
