"""A whole stream mapping with destinations: what it checks before it reads, and what it does with what it gives up."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from penstock.api import (
    DestinationType,
    FunctionFailed,
    Invocation,
    InvocationResult,
    Returned,
    SourceDenied,
    SourceUnavailable,
    Start,
)
from penstock.configuration import MappingConfig
from penstock.configuration.project import DestinationConfig
from penstock.core.settings import DeliverySettings, StreamSettings
from penstock.plugins import Registry
from shell.twins import QUICK, StreamBroker, run, start, stream_config, succeed, until
from shell.wire import Scripted, folder

SCRIPTED = DestinationConfig(kind="scheme", text="scripted:", scheme="scripted")


async def fail(_: Invocation) -> InvocationResult:
    return FunctionFailed("KeyError", "'id'", b'{"errorType":"KeyError","errorMessage":"\'id\'"}', 1)


def config(broker: StreamBroker, destination: DestinationConfig, *, on: str = "failure") -> MappingConfig:
    settings = StreamSettings(
        start=Start("TRIM_HORIZON"),
        batch_size=10,
        retry_attempts_max=0,
        backoff=QUICK,
        delivery=DeliverySettings(on_failure=on == "failure", on_success=on == "success"),
    )
    return replace(stream_config(broker, settings=settings), **{f"on_{on}": destination})


def registry(scripted: Scripted) -> Registry:
    kind = DestinationType(
        scheme="scripted", doc="", settings=(), open_destination=lambda _address, _settings: scripted
    )
    return Registry(destination_types={"scripted": kind})


def told(path: Path) -> list[Any]:
    return [json.loads(each.read_text()) for each in path.rglob("*") if each.is_file()]


def test_what_is_given_up_is_in_the_folder_before_it_is_committed(tmp_path):
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one", b"two")
        bench = start(config(broker, folder(tmp_path / "failed")), fail)
        await until(lambda: broker.committed() == 1)
        await bench.drain()

        (document,) = told(tmp_path / "failed")
        assert document["requestContext"]["requestId"] == bench.executor.started[-1].request_id
        assert document["requestContext"]["condition"] == "RetryAttemptsExhausted"
        assert document["requestContext"]["approximateInvokeCount"] == 1
        assert document["responsePayload"]["errorType"] == "KeyError"
        assert document["payload"].encode() == bench.executor.started[-1].event

    run(scenario())


def test_what_succeeded_is_told_where_that_is_wanted(tmp_path):
    async def scenario() -> None:
        broker = StreamBroker()
        broker.put(b"one")
        bench = start(config(broker, folder(tmp_path), on="success"), succeed)
        await until(lambda: broker.committed() == 0)
        await bench.drain()

        (document,) = told(tmp_path)
        assert document["requestContext"]["condition"] == "Success"
        assert document["responsePayload"] is None

    run(scenario())


def test_a_destination_that_can_not_be_written_is_a_problem_before_anything_is_read():
    async def scenario() -> None:
        broker, scripted = StreamBroker(), Scripted()
        broker.put(b"one")
        scripted.opening = SourceDenied("no right to write")
        bench = start(config(broker, SCRIPTED), registry=registry(scripted))
        await until(lambda: bench.mapping.health.trouble is not None)

        assert bench.mapping.health.trouble.kind == "wrong"
        assert bench.mapping.health.last_result == "PROBLEM: destination 'scripted:': no right to write"
        assert (broker.opened, bench.executor.started) == (0, [])

        scripted.opening = None
        await until(lambda: broker.committed() == 0)
        await bench.drain()
        assert bench.mapping.health.last_result == "OK"
        assert scripted.opened == scripted.closed

    run(scenario())


def test_a_destination_that_is_away_holds_the_shard_and_is_let_go_of_when_the_node_ends():
    async def scenario() -> None:
        broker, scripted = StreamBroker(), Scripted(*[SourceUnavailable("it is away")] * 1000)
        broker.put(b"one")
        bench = start(config(broker, SCRIPTED), fail, registry=registry(scripted))
        await until(lambda: len(scripted.calls) >= 3)

        (view,) = bench.mapping.views().values()
        assert view.lanes[0].delivering.last_error == "destination 'scripted:': it is away"
        assert broker.committed() < 0
        await bench.drain(grace_ms=200)

        assert broker.committed() < 0
        assert scripted.opened == scripted.closed
        assert len(bench.executor.started) == 1

    run(scenario())


def test_a_delivery_that_never_ends_is_ended_with_the_mapping():
    async def silence(_: Any) -> Any:
        await asyncio.get_running_loop().create_future()

    async def scenario() -> None:
        broker, scripted = StreamBroker(), Scripted(silence)
        broker.put(b"one")
        bench = start(config(broker, SCRIPTED), fail, registry=registry(scripted))
        await until(lambda: scripted.calls)

        await bench.drain(grace_ms=200)

        assert broker.released == ["s-0"]
        assert broker.committed() < 0
        assert scripted.opened == scripted.closed

    run(scenario())


def test_a_function_that_is_mended_while_its_letter_waits_is_not_asked_again():
    async def scenario() -> None:
        broker, scripted = StreamBroker(), Scripted(*[SourceUnavailable("it is away")] * 3)
        broker.put(b"one")
        results: list[InvocationResult] = [FunctionFailed("KeyError", "'id'", b"{}", 1), Returned(b"null", 1)]

        async def once(_: Invocation) -> InvocationResult:
            return results.pop(0)

        bench = start(config(broker, SCRIPTED), once, registry=registry(scripted))
        await until(lambda: broker.committed() == 0)
        broker.put(b"two")
        await until(lambda: broker.committed() == 1)
        await bench.drain()

        assert [len(json.loads(each.event)["Records"]) for each in bench.executor.started] == [1, 1]
        assert len(scripted.stored) == 1

    run(scenario())
