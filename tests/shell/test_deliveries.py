"""Invocation records on their way: what is sent again, what is not, and what the machine is told of it."""

import asyncio
import json
import re
from collections.abc import Sequence
from typing import Any

import pytest

from penstock.api import Outgoing, RecordRefused, SourceDenied, SourceMissing, SourceUnavailable
from penstock.core import facts
from penstock.shell.deliveries import Deliveries
from penstock.shell.outlet import Outlet
from penstock.shell.writers import PluginWriter
from shell.twins import never, run, until
from shell.wire import FUNCTION, Scripted, failed, wired


def test_a_cancelled_delivery_ends_its_invocation_and_gives_the_environment_back():
    async def scenario() -> None:
        async with wired(FUNCTION, handler=never) as wire:
            command_id = wire.deliver(failed(b"one"))
            await until(lambda: wire.environments.concurrency.held == 1)

            assert wire.shard.cancel(command_id)
            await until(lambda: wire.facts)

            assert wire.facts == [facts.DeliveryFailed(1, "the delivery was ended by the node")]
            assert wire.environments.concurrency.held == 0
            assert not wire.shard.cancel(99)

    run(scenario())


def test_closing_ends_what_is_on_its_way_and_tells_nobody():
    async def scenario() -> None:
        async with wired(FUNCTION, handler=never) as wire:
            wire.deliver(failed(b"one"))
            await until(lambda: wire.environments.concurrency.held == 1)
            await wire.shard.close()
            assert wire.facts == []
            assert wire.environments.concurrency.held == 0

    run(scenario())


def test_a_record_asked_for_again_while_it_is_being_sent_is_sent_once():
    gate = asyncio.Event()

    async def wait(records: Sequence[Outgoing]) -> list[None]:
        await gate.wait()
        return [None] * len(records)

    async def scenario() -> None:
        scripted = Scripted(wait)
        async with wired(outlet=scripted.outlet) as wire:
            record = failed(b"one")
            wire.deliver(record)
            await until(lambda: scripted.calls)
            wire.deliver(record)
            gate.set()
            await until(lambda: wire.facts)

            assert wire.facts == [facts.Delivered(2)]
            assert len(scripted.calls) == 1

    run(scenario())


def test_only_the_documents_that_were_too_large_are_sent_again_smaller():
    async def scenario() -> None:
        scripted = Scripted(bytes_max=3000)
        async with wired(outlet=scripted.outlet, per_record=True) as wire:
            fact = await wire.delivered(failed(b"small", b"x" * 5000, b"small too"))

        assert fact == facts.Delivered(1, shrunk=True)
        assert [len(call) for call in scripted.calls] == [3, 1]
        assert [each.key for each in scripted.stored] == [b"k0", b"k2", b"k1"]
        assert ["payload" in json.loads(each.value or b"") for each in scripted.stored] == [True, True, False]

    run(scenario())


def test_what_is_too_large_at_its_smallest_is_refused():
    async def scenario() -> None:
        scripted = Scripted(bytes_max=100)
        async with wired(outlet=scripted.outlet) as wire:
            fact = await wire.delivered(failed(b"one"))

        assert isinstance(fact, facts.DeliveryFailed)
        assert fact.refused
        assert re.fullmatch(r"destination 'scripted': \d+ bytes are too many", fact.reason)
        sizes = [len(call[0].value or b"") for call in scripted.calls]
        assert sizes == sorted(sizes, reverse=True)
        assert len(sizes) == 3

    run(scenario())


def test_a_refused_record_that_is_tried_again_does_not_repeat_what_was_taken():
    async def refuse_keys(records: Sequence[Outgoing]) -> list[RecordRefused | None]:
        return [RecordRefused("no such key") if each.key == b"k1" else None for each in records]

    async def scenario() -> None:
        scripted = Scripted(refuse_keys)
        async with wired(outlet=scripted.outlet, per_record=True) as wire:
            record = failed(b"one", b"two", b"three")
            first = await wire.delivered(record)
            second = await wire.delivered(record)

        assert first == facts.DeliveryFailed(1, "destination 'scripted': no such key", refused=True)
        assert second == facts.Delivered(2)
        assert [[each.key for each in call] for call in scripted.calls] == [[b"k0", b"k1", b"k2"], [b"k1"]]

    run(scenario())


@pytest.mark.parametrize(
    "error", [SourceUnavailable("it is away"), SourceDenied("it may not be written"), SourceMissing("it is gone")]
)
def test_a_destination_that_fails_is_told_and_opened_anew(error):
    async def scenario() -> None:
        scripted = Scripted(error)
        async with wired(outlet=scripted.outlet) as wire:
            record = failed(b"one")
            assert await wire.delivered(record) == facts.DeliveryFailed(1, f"destination 'scripted': {error}")
            assert await wire.delivered(record) == facts.Delivered(2)
            assert await wire.delivered(failed(b"two")) == facts.Delivered(3)
            assert scripted.opened == 2
        assert scripted.closed == 2

    run(scenario())


def test_a_destination_that_can_not_be_opened_is_told_with_the_kind_of_error_it_is():
    async def scenario() -> None:
        scripted = Scripted()
        scripted.opening = SourceDenied("no right to write")
        async with wired(outlet=scripted.outlet) as wire:
            with pytest.raises(SourceDenied, match=r"^destination 'scripted': no right to write$"):
                await wire.outlet.check()
            assert await wire.delivered(failed(b"one")) == facts.DeliveryFailed(
                1, "destination 'scripted': no right to write"
            )
            scripted.opening = None
            assert await wire.delivered(failed(b"one")) == facts.Delivered(2)
        assert scripted.opened == scripted.closed

    run(scenario())


def test_a_destination_that_does_not_answer_is_away():
    async def silence(_: Sequence[Outgoing]) -> list[None]:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    class Impatient(PluginWriter):
        answer_s = 0.05

    async def scenario() -> None:
        scripted = Scripted(silence)

        def outlet(log: Any) -> Outlet:
            return Outlet("destination 'scripted'", lambda: Impatient(lambda: scripted), check=None, log=log)

        async with wired(outlet=outlet) as wire:
            record = failed(b"one")
            first = await wire.delivered(record)
            assert first == facts.DeliveryFailed(1, "destination 'scripted': it has not answered within 0 s")
            assert await wire.delivered(record) == facts.Delivered(2)
            assert scripted.opened == 2

    run(scenario())


def test_a_bug_of_a_destination_is_logged_and_stops_nothing():
    async def too_few(_: Sequence[Outgoing]) -> list[None]:
        return []

    async def scenario() -> None:
        scripted = Scripted(ZeroDivisionError("division by zero"), too_few)
        async with wired(outlet=scripted.outlet) as wire:
            record = failed(b"one")
            first, second, third = [await wire.delivered(record) for _ in range(3)]

            assert first == facts.DeliveryFailed(1, "internal error, ZeroDivisionError: division by zero")
            assert "it gave 0 answers for 1 records" in second.reason
            assert third == facts.Delivered(3)
            assert "Traceback" in wire.log.getvalue()
            assert "orders-3" in wire.log.getvalue()

    run(scenario())


def test_shards_share_one_writer_and_one_that_failed_is_closed_when_nobody_uses_it():
    gate = asyncio.Event()

    async def wait(records: Sequence[Outgoing]) -> list[None]:
        await gate.wait()
        return [None] * len(records)

    async def scenario() -> None:
        scripted = Scripted(wait, SourceUnavailable("it is away"))
        async with wired(outlet=scripted.outlet) as wire:
            slow = wire.deliver(failed(b"slow"))
            await until(lambda: scripted.calls)
            quick = await wire.delivered(failed(b"quick", ended_ms=1))
            assert isinstance(quick, facts.DeliveryFailed)
            assert (scripted.opened, scripted.closed) == (1, 0)

            gate.set()
            await until(lambda: len(wire.facts) == 2)
            assert wire.facts[-1] == facts.Delivered(slow)
            await until(lambda: scripted.closed == 1)

    run(scenario())


def test_thousands_of_documents_are_sent_in_portions():
    async def scenario() -> None:
        scripted = Scripted()
        async with wired(outlet=scripted.outlet, per_record=True) as wire:
            fact = await wire.delivered(failed(*(b"%d" % number for number in range(1200))))

        assert fact == facts.Delivered(1)
        assert len(scripted.stored) == 1200
        assert [len(call) for call in scripted.calls] == [500, 500, 200]

    run(scenario())


def test_a_mapping_without_destinations_has_nothing_to_check_or_close():
    async def scenario() -> None:
        deliveries = Deliveries()
        deliveries.join("f.From", on_failure=None, on_success=None)
        await deliveries.check("f.From")
        await deliveries.close("f.From")
        await deliveries.close("f.Unknown")

    run(scenario())
