"""Documents for real embedded sources, real files, functions of the project and what plugins register."""

import asyncio
import json
import os
import re
import time
from dataclasses import replace
from typing import Any

import pytest

from penstock.api import (
    DestinationType,
    FunctionFailed,
    Invocation,
    InvocationResult,
    NotRun,
    Returned,
    SourceError,
    SourceType,
)
from penstock.configuration.project import DestinationConfig
from penstock.core import facts
from penstock.core.events import stream_layout
from penstock.core.events.invocation_documents import DocumentForm, InvocationDocuments
from penstock.embedded.plugin import QUEUE, STREAM
from penstock.plugins import Registry
from shell.twins import run, until
from shell.wire import ENDED_MS, FUNCTION, ORIGIN, Scripted, contents, embedded, failed, folder, wired


def test_an_embedded_queue_and_an_embedded_stream_take_documents(tmp_path):
    async def scenario(kind: SourceType) -> None:
        destination = embedded(kind, "failed")
        async with wired(destination, data_dir=tmp_path) as wire:
            await wire.outlet.check()

            assert await wire.delivered(failed(b"one", b"two")) == facts.Delivered(1)

        (found,) = await contents(destination, tmp_path)
        document = json.loads(found[1].value if kind.kind == "stream" else found.body)
        assert document["KinesisBatchInfo"]["batchSize"] == 2
        assert len(json.loads(document["payload"])["Records"]) == 2
        assert document["responsePayload"]["errorType"] == "KeyError"

    run(scenario(STREAM))
    run(scenario(QUEUE))


def test_a_source_that_is_missing_is_named_until_it_is_there(tmp_path):
    async def scenario() -> None:
        async with wired(embedded(QUEUE, "failed", create=False), data_dir=tmp_path) as wire:
            with pytest.raises(SourceError, match=r"^destination 'failed': "):
                await wire.outlet.check()
            fact = await wire.delivered(failed(b"one"))
            assert isinstance(fact, facts.DeliveryFailed)
            assert not fact.refused
            assert fact.reason.startswith("destination 'failed': ")

            async with wired(embedded(QUEUE, "failed"), data_dir=tmp_path) as other:
                await other.outlet.check()

            assert await wire.delivered(failed(b"one")) == facts.Delivered(2)

    run(scenario())


def test_a_document_too_large_for_an_embedded_queue_arrives_without_its_payload(tmp_path):
    async def scenario() -> None:
        destination = embedded(QUEUE, "failed")
        async with wired(destination, data_dir=tmp_path) as wire:
            await wire.outlet.check()

            fact = await wire.delivered(failed(b"x" * 13_000_000))

        assert fact == facts.Delivered(1, shrunk=True)
        (message,) = await contents(destination, tmp_path)
        document = json.loads(message.body)
        assert "payload" not in document
        assert document["payloadOmitted"].startswith("too large for the destination: ")
        assert document["responsePayload"]["errorType"] == "KeyError"

    run(scenario())


def test_a_file_is_laid_out_as_aws_lays_it_out_and_is_there_whole(tmp_path):
    async def scenario() -> None:
        # The folder around it is not there either.
        path = tmp_path / "given" / "up"
        async with wired(folder(path)) as wire:
            await wire.outlet.check()
            assert list(path.iterdir()) == []

            assert await wire.delivered(failed(b"one")) == facts.Delivered(1)
            assert await wire.delivered(failed(b"two", ended_ms=ENDED_MS + 1)) == facts.Delivered(2)

        found = sorted(str(each.relative_to(path)) for each in path.rglob("*") if each.is_file())
        assert len(found) == 2
        shape = (
            r"aws/lambda/6e2c1a0e-0000-4000-8000-000000000001/shardId-000000000003/2019/11/14/"
            r"2019-11-14T00\.38\.06-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}"
        )
        assert all(re.fullmatch(shape, each) for each in found)
        documents = [json.loads((path / each).read_text()) for each in found]
        assert all(isinstance(each["payload"], str) for each in documents)
        values = {json.loads(each["payload"])["Records"][0]["kinesis"]["data"] for each in documents}
        assert values == {"b25l", "dHdv"}

    run(scenario())


def test_a_folder_that_is_taken_away_is_made_again_by_the_next_try(tmp_path):
    async def scenario() -> None:
        path = tmp_path / "failed"
        async with wired(folder(path)) as wire:
            assert await wire.delivered(failed(b"one")) == facts.Delivered(1)
            path.rename(tmp_path / "moved")

            lost = await wire.delivered(failed(b"two"))
            assert isinstance(lost, facts.DeliveryFailed)
            assert str(path) in lost.reason

            assert await wire.delivered(failed(b"two")) == facts.Delivered(3)
        assert len([each for each in path.rglob("*") if each.is_file()]) == 1

    run(scenario())


def test_a_folder_that_can_not_be_made_is_said_before_anything_is_written(tmp_path):
    async def scenario() -> None:
        (tmp_path / "failed").write_text("a file is in the way")
        async with wired(folder(tmp_path / "failed")) as wire:
            with pytest.raises(SourceError, match=f"the folder {tmp_path}/failed can not be written: "):
                await wire.outlet.check()
            fact = await wire.delivered(failed(b"one"))
            assert isinstance(fact, facts.DeliveryFailed)
            assert not fact.refused

    run(scenario())


def test_what_a_killed_node_left_half_written_is_removed_and_younger_drafts_are_not(tmp_path):
    old, young = tmp_path / ".old.draft", tmp_path / ".young.draft"
    old.touch()
    young.touch()
    two_hours_ago_s = time.time() - 7200
    os.utime(old, (two_hours_ago_s, two_hours_ago_s))

    async def scenario() -> None:
        async with wired(folder(tmp_path)) as wire:
            assert await wire.delivered(failed(b"one")) == facts.Delivered(1)

    run(scenario())
    assert not old.exists()
    assert young.exists()


@pytest.mark.parametrize("shard", ["..", "a/b", "", "."])
def test_a_shard_of_any_name_stays_inside_the_folder(tmp_path, shard):
    async def scenario() -> None:
        async with wired(folder(tmp_path / "failed")) as wire:
            writer = wire.outlet._make()
            await writer.open()
            documents = [replace(_document(), shard=shard)]
            assert await writer.write(documents) == [None]
            await writer.close()

    run(scenario())
    (found,) = (each for each in tmp_path.rglob("*") if each.is_file())
    assert len(found.relative_to(tmp_path).parts) == len(
        ["failed", "aws", "lambda", "uuid", "shard", "2019", "11", "14", "name"]
    )


def _document() -> Any:
    documents = InvocationDocuments(
        "kinesis",
        ORIGIN,
        form=DocumentForm(),
        function_arn="arn",
        mapping="m",
        encode=stream_layout("kinesis", ORIGIN).encode,
    )
    return documents.build(failed(b"one"))


def test_a_function_is_invoked_with_the_document_in_its_turn():
    events: list[Any] = []

    async def archive(invocation: Invocation) -> InvocationResult:
        events.append(json.loads(invocation.event))
        return Returned(b"null", 1)

    async def scenario() -> None:
        async with wired(FUNCTION, handler=archive) as wire:
            # The node's only environment is taken.
            wire.environments.join("other", "archive")
            heard: list[Any] = []
            layout: Any = None
            other = wire.environments.client("other", "archive", layout, post=heard.append, on_failure=heard.append)
            other.request(1)
            wire.deliver(failed(b"one"))
            await asyncio.sleep(0.05)
            assert (events, wire.facts) == ([], [])

            other.give_back(1)
            await until(lambda: wire.facts)

            assert wire.facts == [facts.Delivered(1)]
            assert events[0]["KinesisBatchInfo"]["batchSize"] == 1
            assert wire.environments.concurrency.held == 0

    run(scenario())


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (FunctionFailed("KeyError", "'id'", b"{}", 1), "function 'archive' failed: KeyError: 'id'"),
        (NotRun("no process could be started"), "function 'archive' was not run: no process could be started"),
    ],
)
def test_a_function_that_fails_is_a_failure_that_may_pass(result, words):
    results = [result, Returned(b"null", 1)]

    async def archive(_: Invocation) -> InvocationResult:
        return results.pop(0)

    async def scenario() -> None:
        async with wired(FUNCTION, handler=archive) as wire:
            record = failed(b"one")
            first = await wire.delivered(record)
            assert first == facts.DeliveryFailed(1, f"destination 'function:archive': {words}")
            assert await wire.delivered(record) == facts.Delivered(2)

    run(scenario())


def test_a_document_too_large_for_a_function_reaches_it_without_its_payload():
    events: list[Any] = []

    async def archive(invocation: Invocation) -> InvocationResult:
        events.append(json.loads(invocation.event))
        return Returned(b"null", 1)

    async def scenario() -> None:
        async with wired(FUNCTION, handler=archive) as wire:
            assert await wire.delivered(failed(b"x" * 6_000_000)) == facts.Delivered(1, shrunk=True)
        assert [list(each)[-2] for each in events] == ["payloadOmitted"]

    run(scenario())


def test_a_destination_that_does_not_keep_to_the_api_is_told_and_stops_nothing():
    class Half:
        async def open(self) -> None: ...

        async def close(self) -> None: ...

    def open_it(_address: str, _settings: Any) -> Any:
        return Half()

    kind = DestinationType(scheme="half", doc="", settings=(), open_destination=open_it)
    registry = Registry(destination_types={"half": kind})

    async def scenario() -> None:
        destination = DestinationConfig(kind="scheme", text="half:way", scheme="half")
        async with wired(destination, registry=registry) as wire:
            with pytest.raises(SourceError, match="Half is not a Destination: it has no method 'send'"):
                await wire.outlet.check()
            fact = await wire.delivered(failed(b"one"))
            assert isinstance(fact, facts.DeliveryFailed)
            assert "Half is not a Destination" in fact.reason

    run(scenario())


def test_a_scheme_that_a_plugin_registered_gets_the_whole_address():
    scripted, addresses = Scripted(), []

    def open_it(address: str, settings: Any) -> Scripted:
        addresses.append((address, settings))
        return scripted

    kind = DestinationType(scheme="https", doc="", settings=(), open_destination=open_it)

    async def scenario() -> None:
        destination = DestinationConfig(kind="scheme", text="https://archive/failed", scheme="https")
        async with wired(destination, registry=Registry(destination_types={"https": kind})) as wire:
            assert await wire.delivered(failed(b"one")) == facts.Delivered(1)

    run(scenario())
    assert addresses == [("https://archive/failed", {})]
    assert len(scripted.stored) == 1
