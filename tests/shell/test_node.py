import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace

from penstock.api import Fetched, SourceUnavailable, Want
from penstock.configuration import MappingConfig
from penstock.shell.idleness import Idleness, Verdict
from penstock.shell.machine_driver import clock_ms
from shell.node_of_twins import node_of_twins
from shell.twins import (
    QueueBroker,
    StreamBroker,
    StreamTwin,
    never,
    queue_config,
    run,
    stream_config,
    until,
)


class Backwards(StreamTwin):
    """A source with a bug: it answers with a position before the one that it was asked about."""

    async def fetch(self, wants: Sequence[Want], *, wait_ms: int) -> Sequence[Fetched]:  # noqa: ARG002 - the protocol's
        return [Fetched(want.shard, [], want.after - 5, 0, 0) for want in wants]


def reading(config: MappingConfig, make: Callable[..., object]) -> MappingConfig:
    kind = replace(config.source.type, open_stream=make)
    return replace(config, source=replace(config.source, type=kind))


def test_a_machine_whose_assertion_fails_stops_its_mapping_loudly_and_only_it(tmp_path):
    async def scenario() -> None:
        healthy, ill = StreamBroker(), StreamBroker()
        broken = reading(stream_config(ill, name="f.Ill"), lambda *_: Backwards(ill))
        async with node_of_twins(tmp_path / "d", stream_config(healthy, name="f.Well"), broken) as node:
            await until(lambda: node.mapping("f.Ill").get("state") == "Disabled")
            healthy.put(b"one")
            await until(lambda: healthy.committed() == 0)

            shown = node.mapping("f.Ill")
            [stopped] = [event for event in node.events if event["event"] == "mapping stopped"]

            assert "a position before the one asked about" in str(shown["state_reason"])
            assert str(shown["last_result"]).startswith("PROBLEM: internal error, AssertionError: ")
            assert (stopped["mapping"], stopped["level"]) == ("f.Ill", "error")
            assert "Traceback" in stopped["exception"]
            assert (ill.committed(), ill.closed) == (-1, 1)

    run(scenario())


def test_a_plugin_that_raises_what_it_may_not_stops_its_mapping_and_only_it(tmp_path):
    async def scenario() -> None:
        healthy = StreamBroker()
        ill = reading(stream_config(StreamBroker(), name="f.Ill"), lambda *_: 1 / 0)
        async with node_of_twins(tmp_path / "d", ill, stream_config(healthy, name="f.Well")) as node:
            healthy.put(b"one")
            await until(lambda: healthy.committed() == 0)

            assert "ZeroDivisionError" in str(node.mapping("f.Ill")["last_result"])

    run(scenario())


def test_a_stopped_mapping_is_an_end_with_1_for_who_waits_for_idleness(tmp_path):
    async def scenario() -> None:
        ill = StreamBroker()
        broken = reading(stream_config(ill, name="f.Ill"), lambda *_: Backwards(ill))
        async with node_of_twins(tmp_path / "d", broken, idleness=idleness()) as node:
            verdict = await node.task

        assert verdict.exit_code == 1
        assert verdict.lines[0].startswith("mapping 'f.Ill' has stopped: internal error, AssertionError")

    run(scenario())


def test_it_is_over_when_stream_and_queue_are_empty(tmp_path):
    async def scenario() -> None:
        stream, queue = StreamBroker(), QueueBroker()
        stream.put(*(b"x" for _ in range(30)))
        queue.put(b"a", b"b", b"c")
        configs = stream_config(stream, name="f.Stream"), queue_config(queue, name="f.Queue")
        async with node_of_twins(tmp_path / "d", *configs, idleness=idleness()) as node:
            verdict = await node.task

        assert (verdict, stream.committed(), len(queue.acked)) == (Verdict(0), 29, 3)

    run(scenario())


def test_a_message_in_somebody_elses_hands_is_not_the_end(tmp_path):
    async def scenario() -> None:
        queue = QueueBroker()
        async with node_of_twins(tmp_path / "d", queue_config(queue, name="f.Queue"), idleness=idleness()) as node:
            await until(lambda: queue.receives)
            queue.put(b"a")
            queue.held["elsewhere"] = queue.ready.pop()
            await asyncio.sleep(0.8)
            assert not node.task.done()

            del queue.held["elsewhere"]
            assert await node.task == Verdict(0)

    run(scenario())


def test_a_node_is_ready_when_every_mapping_reads_or_shows_its_problem(tmp_path):
    async def scenario() -> None:
        well, away = StreamBroker(), StreamBroker(failure=SourceUnavailable("the broker is away"))
        well.holds_opening.clear()
        configs = stream_config(well, name="f.Well"), stream_config(away, name="f.Away")
        async with node_of_twins(tmp_path / "d", *configs) as node:
            await until(lambda: node.mapping("f.Away")["last_result"] == "PROBLEM: the broker is away")
            assert not node.node.is_ready
            well.holds_opening.set()
            await until(lambda: node.node.is_ready)

            assert node.mapping("f.Well")["state"] == "Enabled"
            assert node.mapping("f.Away")["last_result"] == "PROBLEM: the broker is away"
            assert node.mapping("f.Away")["state"] == "Enabling"

    run(scenario())


def test_a_mapping_that_is_disabled_reads_nothing(tmp_path):
    async def scenario() -> None:
        broker, other = StreamBroker(), StreamBroker()
        disabled = replace(stream_config(broker, name="f.Off"), enabled=False)
        async with node_of_twins(tmp_path / "d", disabled, stream_config(other, name="f.On")) as node:
            await until(lambda: other.fetches)

            assert (node.mapping("f.Off")["state"], broker.opened) == ("Disabled", 0)

    run(scenario())


def test_the_status_shows_what_runs(tmp_path):
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(*(b"x" for _ in range(15)))
        async with node_of_twins(tmp_path / "d", stream_config(broker, name="f.On"), handler=never) as node:
            await until(lambda: node.executor.started)

            [shard] = node.mapping("f.On")["shards"]  # type: ignore[misc] # a list of one
            status = node.node.status()

            assert (shard["in_flight"]["first"], shard["in_flight"]["last"], shard["lag"]) == ("0", "9", 15)
            assert shard["in_flight"]["since"].endswith("Z")
            assert (status.concurrency_in_use, status.functions[0].in_use) == (1, 1)

    run(scenario())


def test_the_second_time_it_is_told_to_stop_it_waits_for_nothing(tmp_path):
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        async with node_of_twins(tmp_path / "d", stream_config(broker, name="f.On"), handler=never) as node:
            await until(lambda: node.executor.started)
            node.node.stop("SIGTERM")
            await asyncio.sleep(0.05)
            assert not node.task.done()

            node.node.stop("SIGTERM")
            verdict = await node.task

        assert verdict.exit_code == 130
        assert (node.executor.ended, broker.committed()) == (1, -1)

    run(scenario())


def idleness() -> Idleness:
    started_ms = clock_ms(asyncio.get_running_loop())
    return Idleness(idle_ms=200, timeout_ms=10_000, fail_on_dropped=False, started_ms=started_ms)
