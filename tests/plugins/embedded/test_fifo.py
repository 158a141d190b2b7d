"""FIFO queues in an embedded file: how receivers share the groups, and what is refused. The contract has the rest."""

import asyncio
import contextlib
import sqlite3
import time
from functools import partial

import pytest

from penstock.api import MappingContext, Outgoing, ReceiptExpired, RecordRefused, SourceBroken, SourceContext
from penstock.embedded import fifo
from penstock.embedded.file import SourceFile
from penstock.embedded.plugin import QUEUE
from penstock.embedded.queue import EmbeddedQueue

LEASE_MS = 30_000


@pytest.fixture
def source(tmp_path):
    source = SourceContext(project="tests", name="jobs", settings={"FifoQueue": True}, data_dir=tmp_path)
    assert asyncio.run(QUEUE.operate(source).create())
    return source


@contextlib.asynccontextmanager
async def receiver(source, *, lease_ms=LEASE_MS):
    mapping = MappingContext(
        mapping="f.e", uuid="u", node="n", settings={}, buffer_bytes_max=1 << 24, lease_ms=lease_ms
    )
    opened = EmbeddedQueue(source, mapping)
    try:
        await opened.open()
        yield opened
    finally:
        await opened.close()


async def send(source, *texts, **more):
    """Send texts such as `a1`: the first letter is the group."""
    writer = QUEUE.open_destination(source)
    try:
        await writer.open()
        answers = await writer.send([Outgoing(value=text.encode(), group=text[0], **more) for text in texts])
        assert answers == [None] * len(texts)
    finally:
        await writer.close()


async def receive(queue, messages_max=10, wait_ms=0):
    messages = await queue.receive(messages_max=messages_max, wait_ms=wait_ms)
    return {message.body.decode(): message.receipt for message in messages}


def test_nobody_else_gets_the_later_ones_of_a_group_that_somebody_has_and_the_others_flow(source):
    async def scenario():
        await send(source, "a1", "a2", "b1", "b2")
        async with receiver(source) as first, receiver(source) as second:
            assert list(await receive(first, 1)) == ["a1"]
            assert list(await receive(second)) == ["b1", "b2"]
            await send(source, "a3", "b3")
            assert list(await receive(first)) == ["a2", "a3"]
            assert list(await receive(second)) == ["b3"]

    asyncio.run(scenario())


def test_what_is_hidden_for_a_while_holds_up_its_group_and_no_other(source):
    async def scenario():
        await send(source, "a1", "a2", "b1")
        async with receiver(source) as queue:
            held = await receive(queue, 1)
            await queue.nack([held["a1"]], delay_ms=300, counted=True)
            assert list(await receive(queue)) == ["b1"]
            began = time.monotonic()
            assert list(await receive(queue, wait_ms=5_000)) == ["a1", "a2"]
            assert time.monotonic() - began >= 0.2

    asyncio.run(scenario())


def test_a_receiver_that_waits_gets_the_rest_of_a_group_as_soon_as_another_one_is_done(source):
    async def scenario():
        await send(source, "a1", "a2")
        async with receiver(source) as first, receiver(source) as second:
            held = await receive(first, 1)
            waiting = asyncio.create_task(receive(second, wait_ms=10_000))
            await asyncio.sleep(0.05)
            await first.ack([held["a1"]])
            async with asyncio.timeout(5):
                assert list(await waiting) == ["a2"]

    asyncio.run(scenario())


def test_a_receiver_that_waits_for_others_does_not_look_all_the_time(source):
    async def scenario():
        await send(source, "a1", "a2")
        async with receiver(source) as first, receiver(source) as second:
            await receive(first, 1)
            file = await SourceFile.acquire(source.data_dir / "sources.db")
            before = file.transactions_count
            assert await receive(second, wait_ms=300) == {}
            assert file.transactions_count - before <= 3
            await file.release()

    asyncio.run(scenario())


def test_a_group_whose_owner_let_its_lease_lapse_goes_to_another_whole_and_in_order(source):
    async def scenario():
        await send(source, "a1", "a2", "a3")
        async with receiver(source, lease_ms=200) as first, receiver(source) as second:
            held = await receive(first, 2)
            assert list(await receive(second, wait_ms=5_000)) == ["a1", "a2", "a3"]
            with pytest.raises(ReceiptExpired):
                await first.ack(list(held.values()))

    asyncio.run(scenario())


def test_what_was_sent_before_under_its_deduplication_id_is_not_sent_again_for_five_minutes_after_its_end(
    source, monkeypatch
):
    async def scenario():
        await send(source, "a1", "b1", deduplication_id="one")
        await send(source, "a2", deduplication_id="two")
        async with receiver(source) as queue:
            held = await receive(queue)
            assert list(held) == ["a1", "a2"], "the same id is the same message, whatever its group"
            await queue.ack([held["a1"]])
            await send(source, "a3", deduplication_id="one")
            await send(source, "a4", deduplication_id="two")
            assert await receive(queue) == {}

            monkeypatch.setattr(fifo, "DEDUPLICATION_MS", -1)
            await queue.ack([held["a2"]])
            await send(source, "a5", deduplication_id="two")
            assert list(await receive(queue)) == ["a5"]

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (Outgoing(value=b"x"), "a message of a FIFO queue needs a message group"),
        (Outgoing(value=b"x", group="g", delay_ms=5), "no delay of its own"),
    ],
)
def test_what_a_fifo_queue_can_not_keep_in_order_is_refused(source, record, why):
    async def scenario():
        writer = QUEUE.open_destination(source)
        await writer.open()
        (refusal,) = await writer.send([record])
        await writer.close()
        assert isinstance(refusal, RecordRefused)
        assert why in str(refusal)

    asyncio.run(scenario())


@pytest.mark.parametrize(("made", "wanted", "said"), [(True, False, "a FIFO queue"), (False, True, "a standard queue")])
def test_a_queue_of_the_other_kind_is_refused_by_name(tmp_path, made, wanted, said):
    def context(is_fifo):
        return SourceContext(project="tests", name="jobs", settings={"FifoQueue": is_fifo}, data_dir=tmp_path)

    asyncio.run(QUEUE.operate(context(made)).create())
    with pytest.raises(SourceBroken, match=f"queue 'jobs' in .* is {said}, and FifoQueue is {str(wanted).lower()}"):
        asyncio.run(QUEUE.operate(context(wanted)).check())


def test_a_file_of_the_first_format_is_brought_up_to_date_and_keeps_its_messages(tmp_path):
    source = SourceContext(project="tests", name="jobs", settings={}, data_dir=tmp_path)
    path = tmp_path / "sources.db"

    async def prepare():
        await QUEUE.operate(source).create()
        writer = QUEUE.open_destination(source)
        await writer.open()
        await writer.send([Outgoing(value=b"old")])
        await writer.close()

    asyncio.run(prepare())
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in (
            "DROP INDEX message_in_order",
            "DROP TABLE deduplication",
            "ALTER TABLE message DROP COLUMN owner",
            "ALTER TABLE message DROP COLUMN deduplication_id",
            "ALTER TABLE message DROP COLUMN group_name",
            "ALTER TABLE queue DROP COLUMN is_fifo",
            "PRAGMA user_version = 1",
        ):
            connection.execute(statement)

    async def look():
        async with receiver(source) as queue:
            return list(await receive(queue))

    assert asyncio.run(look()) == ["old"]
    fifo_source = SourceContext(project="tests", name="ordered", settings={"FifoQueue": True}, data_dir=tmp_path)
    assert asyncio.run(QUEUE.operate(fifo_source).create())
    asyncio.run(send(fifo_source, "a1"))


def test_a_blocked_group_in_front_costs_a_receive_little(source):
    async def scenario():
        await send(source, *(f"a{number}" for number in range(2_000)), "b1")
        async with receiver(source) as first, receiver(source) as second:
            await receive(first, 1)
            file = await SourceFile.acquire(source.data_dir / "sources.db")
            plan = await file.read(partial(_plan, owner="x"))
            await file.release()
            assert any("message_in_order" in line for line in plan), plan
            assert list(await receive(second)) == ["b1"]

    asyncio.run(scenario())


def _plan(connection, owner):
    rows = connection.execute(
        "EXPLAIN QUERY PLAN " + fifo._NEXT_IN_ORDER,
        (1, 0, owner, 10, 1 << 20),
    )
    return [row[3] for row in rows.fetchall()]
