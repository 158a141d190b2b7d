"""A whole mapping with tumbling windows, on a real store."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.api import Invocation, InvocationResult, Record, Returned, Start
from penstock.configuration import MappingConfig
from penstock.core.settings import StreamSettings
from penstock.shell.window_states import WindowStates
from shell.twins import QUICK, Bench, StreamBroker, run, start, stream_config, until

MINUTE_MS = 60_000
MAPPING = "6e2c1a0e-0000-4000-8000-000000000002"


async def count(invocation: Invocation) -> InvocationResult:
    """Count the window's records in its state."""
    event = json.loads(invocation.event)
    state = {"count": event["state"].get("count", 0) + len(event["Records"])}
    return Returned(json.dumps({"state": state}).encode(), 1)


def config(broker: StreamBroker) -> MappingConfig:
    settings = StreamSettings(
        start=Start("TRIM_HORIZON"), batch_size=2, tumbling_window_ms=MINUTE_MS, tumbling_idle_ms=100, backoff=QUICK
    )
    return replace(stream_config(broker, settings=settings), uuid=MAPPING)


def broker_with(*times_ms: int) -> StreamBroker:
    broker = StreamBroker()
    broker.shards["s-0"] = [Record(number, b"r", None, time_ms) for number, time_ms in enumerate(times_ms)]
    return broker


def events(bench: Bench) -> list[Any]:
    return [json.loads(invocation.event) for invocation in bench.executor.started]


def test_a_windows_state_goes_from_one_invocation_to_the_next_and_over_a_restart(tmp_path: Path):
    async def scenario() -> None:
        broker = broker_with(0, 1, 2, 3, MINUTE_MS, MINUTE_MS + 1)
        broker.shards["s-0"][4:], later = [], broker.shards["s-0"][4:]
        states = WindowStates(tmp_path / "store.db")
        first = start(
            replace(config(broker), stream=replace(config(broker).stream, tumbling_idle_ms=10**9)), count, states=states
        )
        await until(lambda: broker.committed() == 3)
        await first.drain()
        await states.close()

        broker.shards["s-0"] += later
        states = WindowStates(tmp_path / "store.db")
        second = start(config(broker), count, states=states)
        await until(lambda: broker.committed() == 5)
        await until(lambda: len([each for each in events(second) if each["isFinalInvokeForWindow"]]) == 2)
        await second.drain()
        await states.close()

        assert [each["state"] for each in events(first)] == [{}, {"count": 2}]
        finals = [each for each in events(second) if each["isFinalInvokeForWindow"]]
        assert [(each["window"]["end"], each["state"]) for each in finals] == [
            ("1970-01-01T00:01:00Z", {"count": 4}),
            ("1970-01-01T00:02:00Z", {"count": 2}),
        ]

    run(scenario())


def test_a_state_that_this_nodes_store_lacks_holds_the_shard_and_says_so(tmp_path: Path):
    async def scenario() -> None:
        broker = broker_with(0, 1)
        states = WindowStates(tmp_path / "store.db")
        first = start(
            replace(config(broker), stream=replace(config(broker).stream, tumbling_idle_ms=10**9)), count, states=states
        )
        await until(lambda: broker.committed() == 1)
        await first.drain()
        await states.close()

        other = WindowStates(tmp_path / "other.db")
        second = start(config(broker), count, states=other)
        await until(lambda: "store" in second.mapping.health.last_result)
        (view,) = second.mapping.views().values()
        await second.drain()
        await other.close()

        assert view.state == "held"
        assert "StateLost" in second.mapping.health.last_result
        assert second.executor.started == []

    run(scenario())
