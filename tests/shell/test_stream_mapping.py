import asyncio
import json

from penstock.api import (
    FunctionFailed,
    Invocation,
    InvocationResult,
    Returned,
    ShardsLost,
    ShardsRevoked,
    SourceDenied,
    SourceUnavailable,
    Start,
)
from penstock.core.settings import StreamSettings
from shell.twins import QUICK, HoldingTwin, StreamBroker, never, run, start, stream_config, succeed, until


class Gate:
    """A function that runs until the test lets it through."""

    def __init__(self) -> None:
        self.open = asyncio.Event()

    async def __call__(self, _: Invocation) -> InvocationResult:
        await self.open.wait()
        return Returned(b"null", 1)


async def fail(_: Invocation) -> InvocationResult:
    return FunctionFailed("KeyError", "'id'", b"{}", 1)


def test_records_reach_the_function_in_order_and_are_committed():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(*(str(number).encode() for number in range(25)))
        bench = start(stream_config(broker))

        await until(lambda: broker.committed() == 24)
        await bench.drain()

        events = [json.loads(invocation.event)["Records"] for invocation in bench.executor.started]
        assert [record["kinesis"]["sequenceNumber"] for records in events for record in records] == [
            str(number) for number in range(25)
        ]
        assert [len(records) for records in events] == [10, 10, 5]
        assert bench.mapping.health.last_result == "OK"

    run(scenario())


def test_a_record_that_comes_later_is_fetched_without_being_polled_for():
    async def scenario() -> None:
        broker = StreamBroker()
        bench = start(stream_config(broker))
        await until(lambda: broker.fetches)
        await asyncio.sleep(0.2)
        fetches_idle = len(broker.fetches)

        broker.put(b"late")
        await until(lambda: broker.committed() == 0)
        await bench.drain()

        assert fetches_idle == 1

    run(scenario())


def test_a_broker_that_is_down_is_a_problem_that_mends_itself():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        broker.failure = SourceUnavailable("the broker is away")
        bench = start(stream_config(broker))
        await until(lambda: bench.mapping.health.trouble is not None)
        assert bench.mapping.health.last_result == "PROBLEM: the broker is away"

        broker.failure = None
        await until(lambda: broker.committed() == 0)
        await bench.drain()

        assert bench.mapping.health.last_result == "OK"
        assert bench.log.getvalue().count("the broker is away") == 1
        assert "source recovered" in bench.log.getvalue()

    run(scenario())


def test_a_broker_that_goes_away_while_reading_keeps_its_source_open():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker))
        await until(lambda: broker.committed() == 0)

        broker.failure = SourceUnavailable("the broker is away")
        broker.changed.set()
        await until(lambda: bench.mapping.health.trouble is not None)
        broker.failure = None
        broker.put(b"two")
        await until(lambda: broker.committed() == 1)
        await bench.drain()

        assert (broker.opened, broker.closed) == (1, 1)

    run(scenario())


def test_a_source_that_goes_on_failing_for_good_is_made_anew():
    async def scenario() -> None:
        broker = StreamBroker()
        bench = start(stream_config(broker))
        await until(lambda: broker.fetches)

        broker.failure = SourceDenied("no more")
        broker.changed.set()
        await until(lambda: broker.opened >= 2)
        broker.failure = None
        broker.put(b"one")
        await until(lambda: broker.committed() == 0)
        await bench.drain()

    run(scenario())


def test_a_revoked_shard_is_let_go_after_what_runs_has_ended_and_is_committed():
    async def scenario() -> None:
        broker, gate = StreamBroker(), Gate()
        broker.put(b"one")
        bench = start(stream_config(broker), gate)
        await until(lambda: bench.executor.started)
        assert broker.assignments is not None

        broker.assignments.put_nowait(ShardsRevoked(("s-0",), grace_ms=5_000))
        await asyncio.sleep(0.05)
        assert broker.released == []
        gate.open.set()
        await until(lambda: broker.released)

        assert (broker.released, broker.committed(), bench.executor.ended) == (["s-0"], 0, 0)
        await bench.drain()

    run(scenario())


def test_at_the_end_of_the_grace_what_runs_is_ended_and_not_committed():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker), never)
        await until(lambda: bench.executor.started)
        assert broker.assignments is not None

        broker.assignments.put_nowait(ShardsRevoked(("s-0",), grace_ms=50))
        await until(lambda: broker.released)

        assert (bench.executor.ended, broker.committed()) == (1, -1)
        assert bench.mapping.health.counted.failed_invocations == 0
        await bench.drain()

    run(scenario())


def test_a_lost_shard_commits_nothing_and_is_not_released():
    async def scenario() -> None:
        broker, gate = StreamBroker(), Gate()
        broker.put(b"one")
        bench = start(stream_config(broker), gate)
        await until(lambda: bench.executor.started)
        assert broker.assignments is not None

        broker.assignments.put_nowait(ShardsLost(("s-0",)))
        await until(lambda: not bench.mapping.views())
        gate.open.set()
        await asyncio.sleep(0.05)

        assert (bench.executor.ended, broker.committed(), broker.released) == (1, -1, [])
        await bench.drain()

    run(scenario())


def test_a_shard_that_comes_back_waits_for_its_machine_of_before():
    async def scenario() -> None:
        broker, gate = StreamBroker(), Gate()
        broker.put(b"one", b"two")
        settings = StreamSettings(start=Start("TRIM_HORIZON"), batch_size=1)
        bench = start(stream_config(broker, settings=settings), gate)
        await until(lambda: bench.executor.started)
        assert broker.assignments is not None

        broker.assignments.put_nowait(ShardsRevoked(("s-0",), grace_ms=5_000))
        broker.assignments.put_nowait(broker.assigned("s-0"))
        await asyncio.sleep(0.05)
        assert len(bench.executor.started) == 1
        gate.open.set()
        await until(lambda: broker.committed() == 1)

        assert bench.executor.running_most == 1
        assert broker.released == []
        await bench.drain()

    run(scenario())


def test_a_late_commit_that_is_refused_stops_invoking():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker))
        await until(lambda: broker.committed() == 0)

        broker.refuses_commits = True
        broker.put(b"two")
        await until(lambda: "commit refused" in bench.log.getvalue())
        broker.put(b"three")
        await asyncio.sleep(0.1)

        assert (len(bench.executor.started), broker.committed()) == (2, 0)
        await bench.end()

    run(scenario())


def test_nothing_is_run_while_a_shard_may_be_another_nodes_and_no_attempt_is_counted():
    async def scenario() -> None:
        broker, gate = StreamBroker(), Gate()
        broker.put(b"one", b"two")
        settings = StreamSettings(start=Start("TRIM_HORIZON"), batch_size=1, backoff=QUICK, retry_attempts_max=0)
        bench = start(stream_config(broker, settings=settings, twin=HoldingTwin), gate)
        await until(lambda: bench.executor.started)

        broker.is_in_doubt = True
        gate.open.set()
        await until(lambda: bench.log.getvalue().count("batch not run") >= 3)
        assert "the shard may be another node's by now" in bench.log.getvalue()
        # What ran already is settled as far as the source lets it be; nothing begins, and no environment is kept.
        assert (len(bench.executor.started), broker.committed()) == (1, 0)
        assert bench.environments.concurrency.held == 0

        broker.is_in_doubt = False
        await until(lambda: broker.committed() == 1)
        await bench.drain()

        assert len(bench.executor.started) == 2
        assert bench.mapping.health.counted.failed_invocations == 0
        succeeded = [line for line in bench.log.getvalue().splitlines() if "batch succeeded" in line]
        assert [line.count("attempt=1") for line in succeeded] == [1, 1]

    run(scenario())


def test_a_shard_in_doubt_that_turns_out_to_be_lost_is_never_run():
    async def scenario() -> None:
        broker = StreamBroker(is_in_doubt=True)
        broker.put(b"one")
        bench = start(stream_config(broker, twin=HoldingTwin))
        await until(lambda: "batch not run" in bench.log.getvalue())
        assert broker.assignments is not None

        broker.assignments.put_nowait(ShardsLost(("s-0",)))
        await until(lambda: not bench.mapping.views())

        assert (bench.executor.started, broker.committed(), broker.released) == ([], -1, [])
        assert bench.environments.concurrency.held == 0
        await bench.drain()

    run(scenario())


def test_a_drain_lets_what_runs_end_and_commits_it():
    async def scenario() -> None:
        broker, gate = StreamBroker(), Gate()
        broker.put(b"one")
        bench = start(stream_config(broker), gate)
        await until(lambda: bench.executor.started)

        draining = asyncio.create_task(bench.drain())
        await asyncio.sleep(0.02)
        broker.put(b"two")
        gate.open.set()
        await draining

        assert (broker.committed(), len(bench.executor.started), broker.closed) == (0, 1, 1)
        assert broker.released == ["s-0"]

    run(scenario())


def test_a_shard_that_is_lost_during_the_drain_is_ended_at_once():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker), never)
        await until(lambda: bench.executor.started)
        assert broker.assignments is not None

        draining = asyncio.create_task(bench.drain(grace_ms=60_000))
        await asyncio.sleep(0.02)
        broker.assignments.put_nowait(ShardsLost(("s-0",)))
        await draining

        assert (bench.executor.ended, broker.committed(), broker.released) == (1, -1, [])

    run(scenario())


def test_assignments_that_end_by_themselves_are_a_bug_of_the_plugin():
    async def scenario() -> None:
        broker = StreamBroker()
        bench = start(stream_config(broker))
        await until(lambda: broker.fetches)
        assert broker.assignments is not None

        broker.assignments.put_nowait(None)
        await asyncio.wait({bench.task})

        assert "ended by itself" in str(bench.task.exception())

    run(scenario())


def test_a_source_that_loses_track_of_its_shards_is_made_anew():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker))
        await until(lambda: broker.committed() == 0)
        assert broker.assignments is not None

        broker.assignments.put_nowait(SourceUnavailable("the group has forgotten us"))
        await until(lambda: broker.opened == 2)
        broker.put(b"two")
        await until(lambda: broker.committed() == 1)
        await bench.drain()

        assert len(bench.executor.started) == 2

    run(scenario())


def test_what_outlasts_the_drain_is_ended_without_an_attempt():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(stream_config(broker), never)
        await until(lambda: bench.executor.started)

        await bench.drain(grace_ms=50)

        assert (bench.executor.ended, broker.checkpoints["s-0"].note, broker.committed()) == (1, "", -1)
        assert bench.environments.concurrency.held == 0

    run(scenario())


def test_a_failed_batch_is_logged_with_its_coordinates_and_given_up_in_the_end():
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one", b"two")
        settings = StreamSettings(start=Start("TRIM_HORIZON"), batch_size=2, retry_attempts_max=1)
        bench = start(stream_config(broker, settings=settings), fail)

        await until(lambda: broker.committed() == 1)
        await bench.drain()

        lines = [line for line in bench.log.getvalue().splitlines() if "records dropped" in line]
        assert len(lines) == 1
        for field in ("mapping=tally.From", "shard=s-0", "first=0", "last=1", "records=2", "attempts=2", "KeyError"):
            assert field in lines[0]
        assert bench.mapping.health.last_result == "PROBLEM: Function call failed"

    run(scenario())


def test_an_assertion_in_one_machine_ends_its_mapping_without_committing_anything():
    async def scenario() -> None:
        broker, gate = StreamBroker(shards={"s-0": [], "s-1": []}), Gate()
        broker.put(b"one", shard="s-0")
        bench = start(stream_config(broker), gate)
        await until(lambda: bench.executor.started)

        shard = bench.mapping._shards._shards["s-1"]
        shard._machine.handle = broken
        broker.put(b"two", shard="s-1")
        await asyncio.wait({bench.task})

        assert "a bug of ours" in str(bench.task.exception())
        assert (bench.executor.ended, broker.committed("s-0"), broker.closed) == (1, -1, 1)
        assert bench.environments.concurrency.held == 0

    run(scenario())


def broken(*_: object, **__: object) -> list[object]:
    raise AssertionError("a bug of ours")


def test_one_environment_is_shared_by_all_shards():
    async def scenario() -> None:
        broker = StreamBroker(shards={f"s-{number}": [] for number in range(5)})
        for shard in broker.shards:
            broker.put(*(b"x" for _ in range(30)), shard=shard)
        bench = start(stream_config(broker), succeed, node_max=1)

        await until(lambda: all(broker.committed(shard) == 29 for shard in broker.shards))
        await bench.drain()

        assert bench.executor.running_most == 1
        assert len(bench.executor.started) == 15

    run(scenario())


def test_the_bytes_of_the_node_are_shared_among_its_shards():
    async def scenario() -> None:
        broker = StreamBroker(shards={f"s-{number}": [] for number in range(4)})
        bench = start(stream_config(broker))
        await until(lambda: len(bench.mapping.views()) == 4 and len(broker.fetches) > 0)
        await asyncio.sleep(0.05)

        machines = [shard._machine for shard in bench.mapping._shards._shards.values()]

        assert {machine._buffer_bytes_max for machine in machines} == {8 * 1024 * 1024}
        await bench.drain()

    run(scenario())
